import { networkInterfaces } from 'node:os';
import { expect, it, vi } from 'vitest';
import { IceOnUdp } from '../support/ice-udp.js';
import { describeWith } from '../support/skip.js';

interface Description {
  readonly type: 'offer' | 'answer';
  readonly sdp: string;
}

/** What is used of RTCPeerConnection: the package's own types want a browser's. */
interface Connection {
  readonly localDescription: Description | null;
  readonly iceConnectionState: string;
  createOffer(): Promise<Description>;
  createAnswer(): Promise<Description>;
  setLocalDescription(description: Description): Promise<void>;
  setRemoteDescription(description: Description): Promise<void>;
  addIceCandidate(candidate: { readonly candidate: string; readonly sdpMid: string }): Promise<void>;
  createDataChannel(label: string): unknown;
  close(): void;
  onicecandidate: ((event: { readonly candidate: { readonly candidate: string } | null }) => void) | null;
}

/** libwebrtc gathers nothing on the loopback interface; packets to an own address stay on this machine all the same. */
const ADDRESS = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;

if (ADDRESS === undefined) {
  it('libwebrtc as the far end', (context) => {
    context.skip('no IPv4 address but loopback');
  });
} else
  describeWith(['@roamhq/wrtc'], 'libwebrtc as the far end', () => {
    connects(ADDRESS);
  });

function connects(address: string): void {
  for (const mode of ['all', 'first-only'] as const) {
    for (const way of ['full', 'trickled'] as const) {
      it.each(['offer', 'answer'] as const)(`connects, ${mode}, ${way}, when our side is the %s`, async (ours) => {
        const { default: wrtc } = (await import('@roamhq/wrtc')) as unknown as {
          readonly default: { readonly RTCPeerConnection: new () => Connection };
        };
        const far = new wrtc.RTCPeerConnection();
        const near = new IceOnUdp(ours === 'offer', mode);
        try {
          await near.open(address);
          const gathered = new Promise<void>((resolve) => {
            far.onicecandidate = ({ candidate }) => {
              if (candidate && way === 'trickled') near.takeCandidate(candidate.candidate);
              if (!candidate) resolve();
            };
          });
          const lines = near.candidates();
          const inline = way === 'full' ? lines.map((line) => `a=${line}\r\n`).join('') : '';
          const toFar = async () => {
            await far.setRemoteDescription({ type: ours, sdp: near.describe(ours) + inline });
            if (way === 'trickled')
              for (const candidate of lines) await far.addIceCandidate({ candidate, sdpMid: '0' });
          };
          if (ours === 'offer') await toFar();
          else far.createDataChannel('peer');
          await far.setLocalDescription(ours === 'offer' ? await far.createAnswer() : await far.createOffer());
          if (way === 'trickled') near.takeDescription(far.localDescription?.sdp ?? '');
          await gathered;
          if (way === 'full') near.takeDescription(far.localDescription?.sdp ?? '');
          near.takeCandidate('');
          if (ours === 'answer') await toFar();

          await vi.waitFor(
            () => {
              expect(['connected', 'completed']).toContain(far.iceConnectionState);
              expect(near.has('valid')).toBe(true);
              expect(near.has('selected')).toBe(true);
            },
            { timeout: 10_000 },
          );
          expect(near.has('role-changed')).toBe(false);
        } finally {
          far.close();
          near.close();
        }
      });
    }
  }
}
