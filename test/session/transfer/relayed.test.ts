import { describe, expect, it } from 'vitest';
import type { TransferReport } from '../../../src/verdict/transfer.js';
import { CARRIERS, natCarrier } from '../../../src/world/carriers.js';
import { scheduleEvents } from '../../../src/world/events.js';
import { buildInternet, type UplinkOptions } from '../../../src/world/internet.js';
import { VirtualRun } from '../../../src/world/virtual-run.js';
import { PLAN } from '../../world/worlds.js';

// Data by a relay as long as there is no direct way, and by the direct one as soon as there is (issue 6, 4).

const SECONDS = 12;
const DATA = { seconds: SECONDS, direction: 'both', rateBps: 4e5 } as const;
const sent = (SECONDS * DATA.rateBps) / 8;
const { open, symmetric } = CARRIERS;
const plan = { ...PLAN, transfer: DATA, arms: ['random', 'stun'] } as const;

/** For the control channel: no UDP but with the public network that the TURN server is in. */
const noUdp = natCarrier('no-udp', 'a test', 'none', [
  { match: { remoteExcept: ['192.0.2.0/24'] }, action: { type: 'drop' } },
]);
const modem: UplinkOptions = {
  host: 'client',
  interface: 'wwan0',
  kind: 'cellular',
  label: 'o2',
  metric: 700,
  carrier: symmetric,
};
const wifi: UplinkOptions = {
  host: 'client',
  interface: 'wlan0',
  kind: 'wifi',
  label: 'hhg',
  metric: 800,
  carrier: open,
};
const phone: UplinkOptions = {
  host: 'server',
  interface: 'usb0',
  kind: 'tethered',
  label: 'telekom',
  metric: 700,
  carrier: symmetric,
};
const control: UplinkOptions = {
  host: 'server',
  interface: 'wlan0',
  kind: 'wifi',
  label: 'hh2',
  metric: 600,
  carrier: noUdp,
};

function run(uplinks: readonly UplinkOptions[]): {
  readonly virtual: VirtualRun;
  readonly internet: ReturnType<typeof buildInternet>;
} {
  const internet = buildInternet({ seed: 1, uplinks, lan: null });
  return { internet, virtual: new VirtualRun({ internet, seed: 1, version: 'test', plan, relay: true }) };
}

/** Bytes that arrived by relays, and directly, from one second to another. */
function carried({ perPath }: TransferReport, from: number, to: number): { relayed: number; direct: number } {
  const sums = { relayed: 0, direct: 0 };
  for (const { path, perSecond } of perPath)
    for (const bytes of perSecond.slice(from, to)) sums[path.startsWith('relay:') ? 'relayed' : 'direct'] += bytes;
  return sums;
}

describe('a transfer and a relay', () => {
  it('NATs that cannot be punched: all of it goes by relays, and the verdict stays what it was', () => {
    const { transfer, paths } = run([modem, phone, control]).virtual.run();
    expect(transfer).toMatchObject({ complete: true, error: null, bytesSent: 2 * sent, bytesReceived: 2 * sent });
    if (transfer) expect(carried(transfer, 0, SECONDS).direct).toBe(0);
    expect(transfer?.perPath.map(({ path }) => path)).toContain('relay:wwan0-usb0-v4');
    const path = paths.find(({ id }) => id === 'wwan0-usb0-v4');
    expect(path).toMatchObject({ state: 'failed', cause: 'nat-incompatible' });
  });

  it('direct, by a relay while the direct way is gone, and direct again: nothing is lost', () => {
    const { virtual, internet } = run([modem, wifi, { ...phone, carrier: open }, control]);
    const to = (atMs: number, up: boolean) => ({
      atMs,
      action: { type: 'interface', host: 'client', interface: 'wlan0', up } as const,
    });
    scheduleEvents([to(8000, false), to(11_000, true)], internet, () => undefined);
    const { transfer } = virtual.run();
    expect(transfer).toMatchObject({ complete: true, error: null, bytesSent: 2 * sent, bytesReceived: 2 * sent });
    if (!transfer) return;
    expect(transfer.longestPauseMs).toBeLessThanOrEqual(150);
    // Data began half a second after the run: down from 7.5 s of theirs on, up again from 10.5 s on. Probes of a path's MTU
    // go by relays, too, in the first two seconds; 400 kbit/s each way are 100 kB a second.
    expect(carried(transfer, 2, 7).relayed).toBe(0);
    expect(carried(transfer, 2, 7).direct).toBeGreaterThan(5 * 100_000);
    expect(carried(transfer, 8, 10).direct).toBe(0);
    expect(carried(transfer, 8, 10).relayed).toBeGreaterThan(1.5 * 100_000);
    expect(carried(transfer, 11, 12).direct).toBeGreaterThan(100_000);
    expect(carried(transfer, 11, 12).relayed).toBeLessThan(10_000);
  });
});
