import { describe, expect, test } from 'vitest';
import { transportAddress } from '../../src/base/address.js';
import { buildInternet, REFERENCE_ADDRESSES } from '../../src/world/internet.js';
import { judge } from '../../src/session/judge.js';
import { CARRIERS } from '../../src/world/carriers.js';
import { TURN_PORT } from '../../src/world/turn-host.js';
import { VirtualRun } from '../../src/world/virtual-run.js';

type CarrierName = keyof typeof CARRIERS;

/** One modem each, no LAN, and a TURN server that both know. */
function run(client: CarrierName, server: CarrierName, options: { readonly relay?: boolean } = {}) {
  const seed = 1;
  const uplinks = [
    { host: 'client', interface: 'wwan0', kind: 'cellular', label: 'o2', metric: 700, carrier: CARRIERS[client] },
    { host: 'server', interface: 'usb0', kind: 'tethered', label: 'telekom', metric: 700, carrier: CARRIERS[server] },
  ] as const;
  const internet = buildInternet({ seed, lan: {}, uplinks });
  const virtual = new VirtualRun({
    internet,
    seed,
    version: 'test',
    relay: options.relay ?? true,
    plan: {
      ...{ policy: 'cellular,tethered,wifi,ethernet', arms: ['random', 'stun'], ownArms: [], deep: false },
      ...{ firstOnly: false, wanted: [{ client: 'wwan0', server: 'usb0' }], pin: true, checksPerPair: 7 },
      references: [transportAddress(REFERENCE_ADDRESSES.ipv4[0], 3478)],
      webrtc: false,
    },
  });
  const report = virtual.run();
  const path = report.paths.find(({ id }) => id === 'wwan0-usb0-v4');
  if (!path) throw new Error('no path');
  return { report, path, virtual };
}

describe('a relay beside the direct way', () => {
  test('carries a path whose NATs cannot be punched; the report names its candidates', () => {
    const { report, path, virtual } = run('symmetric', 'symmetric');
    expect(path).toMatchObject({ state: 'failed', cause: 'nat-incompatible' });
    expect([path.client.candidate?.type, path.server.candidate?.type]).toContain('relay');
    // Up and down the access links of 20 ms and the backbone's of 2 ms, twice, for both hosts.
    expect(path.relay?.rttMs).toBeGreaterThanOrEqual(4 * (20 + 2 + 2));
    expect(path.summary).toContain('a relay carries it in');
    expect(report.relays).toContainEqual(
      expect.objectContaining({ host: 'client', interface: 'wwan0', server: `192.0.2.10:${TURN_PORT}`, error: null }),
    );
    // The record alone gives the same.
    expect(judge(virtual.client.events)).toEqual(report);
  });

  test('takes nothing from the verdict on those who block the direct way', () => {
    const without = run('o2', 'telekom', { relay: false });
    const { report, path } = run('o2', 'telekom');
    expect(path).toMatchObject({ state: 'blocked', cause: 'peer-udp-blocked' });
    expect(path.relay).toBeDefined();
    expect(report.exit.code).toBe(without.report.exit.code);
    expect(report.carriers.map(({ verdict }) => verdict)).toEqual(
      without.report.carriers.map(({ verdict }) => verdict),
    );
  });

  test('user and password stand in no line of the record', () => {
    const { virtual } = run('symmetric', 'symmetric');
    expect(JSON.stringify([virtual.client.events, virtual.server.events, virtual.client.logs])).not.toContain(
      'of no worth',
    );
  });
});
