import { describe, expect, it } from 'vitest';
import type { Report } from '../../../src/verdict/report.js';
import { natCarrier } from '../../../src/world/carriers.js';
import { mesh, type RunOptions, virtualRun } from '../../world/worlds.js';

// Data over the paths that ICE proves (issue 6, 1 and 2): one connection that every path joins, whatever happens to them.

const SECONDS = 4;
const DATA = { transfer: { seconds: SECONDS, direction: 'both', rateBps: 4e5 } } as const;
const PLAIN = { ...DATA, arms: ['random', 'stun'] } as const;
const sent = (SECONDS * DATA.transfer.rateBps) / 8;

const states = ({ paths }: Report): string[] => paths.map(({ id, state, cause }) => `${id} ${state} ${String(cause)}`);

/** A carrier that lets no QUIC version 1 through: neither long headers nor what follows them. */
const noQuic = natCarrier('no-quic', 'a test', { mapping: 'eim', filtering: 'apdf', ports: 'preserving' }, [
  { match: { bytes: [{ offset: 0, value: [0xc0], mask: [0xf0] }] }, action: { type: 'drop' } },
]);

describe('a transfer over the paths that ICE proves', () => {
  it('begins on the first, is joined by every other within 2 RTT and 100 ms, and changes no verdict', () => {
    const options: RunOptions = { plan: PLAIN };
    const one = virtualRun(options);
    const report = one.run();
    const { transfer } = report;
    expect(transfer).toMatchObject({ complete: true, error: null, bytesSent: 2 * sent, bytesReceived: 2 * sent });
    expect(transfer?.up).toMatchObject({ bytesSent: sent, bytesReceived: sent });
    expect(transfer?.down).toMatchObject({ bytesSent: sent, bytesReceived: sent });
    const up = report.paths.filter(({ state }) => state === 'established');
    expect(transfer?.perPath.map(({ path }) => path)).toEqual(up.map(({ id }) => id).sort());
    for (const { path, joined } of transfer?.perPath ?? []) {
      const rtt = up.find(({ id }) => id === path)?.rttMs?.median ?? 0;
      expect(joined).toHaveLength(1);
      expect(joined[0]?.afterMs).toBeLessThanOrEqual(2 * rtt + 100);
    }
    expect(transfer?.perPath.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1);
    expect(states(report)).toEqual(states(virtualRun({ plan: { arms: PLAIN.arms } }).run()));
  });

  it('upload and download: one end sends, and the report says so', () => {
    for (const direction of ['upload', 'download'] as const) {
      const { transfer } = virtualRun({ plan: { ...PLAIN, transfer: { ...DATA.transfer, direction } } }).run();
      expect(transfer).toMatchObject({ direction, complete: true, bytesSent: sent, bytesReceived: sent });
      expect(transfer?.[direction === 'upload' ? 'down' : 'up']).toBeNull();
    }
  });

  it('goes to another path where the first lets STUN through and no QUIC', () => {
    const report = virtualRun({
      plan: { ...PLAIN, policy: 'cellular' },
      uplinks: mesh({ o2: { carrier: noQuic } }),
    }).run();
    expect(report.transfer).toMatchObject({ complete: true, bytesReceived: 2 * sent });
    for (const { path, bytes } of report.transfer?.perPath ?? [])
      if (path.startsWith('wwan0')) expect(bytes).toBeLessThan(sent / 2);
  });

  it('a server that dies under way: the report says that it is not complete, and why', () => {
    const one = virtualRun({ plan: PLAIN });
    one.at(2000, () => {
      one.server.kill();
    });
    const { transfer } = one.run();
    expect(transfer?.complete).toBe(false);
    expect(transfer?.error).toMatch(/the run ended before it was complete|record ends before/);
  });

  it('nothing is sent without --duration', () => {
    expect(virtualRun({ plan: { arms: PLAIN.arms } }).run().transfer).toBeNull();
  });
});
