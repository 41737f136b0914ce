import { expect, it, vi } from 'vitest';
import { IceOnUdp } from '../support/ice-udp.js';
import { describeWith } from '../support/skip.js';

const ADDRESS = '127.0.0.1';
const MODES = ['all', 'first-only'] as const;
const WAYS = ['full', 'trickled'] as const;

describeWith(['node-datachannel'], 'libjuice as the far end', () => {
  for (const mode of MODES) {
    for (const way of WAYS) {
      it.each(['offer', 'answer'] as const)(`connects, ${mode}, ${way}, when our side is the %s`, async (ours) => {
        const { default: datachannel } = await import('node-datachannel');
        const far = new datachannel.PeerConnection('far', {
          iceServers: [],
          bindAddress: ADDRESS,
          disableAutoNegotiation: way === 'full',
        });
        const near = new IceOnUdp(ours === 'offer', mode);
        try {
          const states: string[] = [];
          const lines: string[] = [];
          let description = '';
          far.onIceStateChange((state) => states.push(state));
          far.onLocalDescription((sdp) => {
            description = sdp;
            if (way === 'trickled') near.takeDescription(sdp.replace(/a=candidate:.*\r?\n/g, ''));
          });
          far.onLocalCandidate((line) => {
            lines.push(line);
            if (way === 'trickled') near.takeCandidate(line);
          });
          const gathered = new Promise<void>((resolve) => {
            far.onGatheringStateChange((state) => {
              if (state === 'complete') resolve();
            });
          });
          await near.open(ADDRESS);
          const inline = way === 'full' ? near.candidates().map((line) => `a=${line}\r\n`) : [];
          const toFar = () => {
            far.setRemoteDescription(near.describe(ours) + inline.join(''), ours);
            if (way === 'trickled') for (const line of near.candidates()) far.addRemoteCandidate(line, '0');
          };
          if (ours === 'offer') toFar();
          else far.createDataChannel('peer');
          if (way === 'full') far.setLocalDescription();
          await gathered;
          if (way === 'full') near.takeDescription(description + lines.map((line) => `a=${line}\r\n`).join(''));
          near.takeCandidate('');
          if (ours === 'answer') toFar();

          await vi.waitFor(
            () => {
              expect(states.some((state) => state === 'connected' || state === 'completed')).toBe(true);
              expect(near.has('valid')).toBe(true);
              expect(near.has('selected')).toBe(true);
            },
            { timeout: 10_000 },
          );
          expect(states).not.toContain('failed');
          expect(near.has('role-changed')).toBe(false);
        } finally {
          far.close();
          near.close();
        }
      });
    }
  }
});
