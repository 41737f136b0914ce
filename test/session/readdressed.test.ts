import { describe, expect, it } from 'vitest';
import type { RecordEvent } from '../../src/session/record.js';
import { type Carrier, CARRIERS } from '../../src/world/carriers.js';
import { buildInternet } from '../../src/world/internet.js';
import { VirtualRun } from '../../src/world/virtual-run.js';
import { mesh, PLAN } from '../world/worlds.js';

// An interface gets another address during a run: from then on everything asks from the address that is there, and what
// is said of a path rests on that alone (verdicts.md: "egress verified at both ends", "≥ 20 successes of the control").

const OLD = '10.20.0.2';
const NEW = '10.20.0.12';
const WANTED = 'wwan0-usb0-v4';

interface Readdressed {
  readonly run: VirtualRun;
  readonly ends: readonly RecordEvent[];
}

/** The client's modem gets other addresses, each at its time; `carrier`: of the modem. */
function readdressed(
  changes: readonly (readonly [number, string | null])[],
  carrier: Carrier = CARRIERS.open,
): Readdressed {
  const internet = buildInternet({ seed: 1, uplinks: mesh({ o2: { carrier } }) });
  const run = new VirtualRun({ internet, seed: 1, version: 'test', plan: PLAN });
  for (const [ms, address] of changes) {
    run.at(internet.network.now + ms, () => {
      const own = address === null ? [] : [{ family: 'ipv4' as const, address, prefixLength: 24 }];
      internet.hosts.client.setAddresses('wwan0', own);
    });
  }
  return { run, ends: run.client.events };
}

const ofModem = (event: RecordEvent): boolean =>
  event.host === 'client' && 'interface' in event && event.interface === 'wwan0';
const changedAt = (events: readonly RecordEvent[]): number =>
  events.find((event) => event.type === 'interface' && ofModem(event))?.t ?? NaN;

describe('an interface that gets another address', () => {
  it('is asked about, measured and tried from the new one alone', () => {
    const { run, ends } = readdressed([[3500, NEW]]);
    const report = run.run();
    const at = changedAt(ends);
    const later = ends.filter((event) => ofModem(event) && event.t > at);
    const egress = later.flatMap((event) => (event.type === 'egress' ? [event] : []));
    expect([...new Set(egress.map(({ phase }) => phase))].sort()).toEqual(['after', 'before']);
    expect(egress.every(({ from, verdict }) => from === NEW && verdict === 'verified')).toBe(true);
    const tcp = later.flatMap((event) => (event.type === 'tcp' ? [event.code] : []));
    expect(tcp.length).toBeGreaterThan(0);
    expect(tcp.every((code) => code === null)).toBe(true);
    expect(later.some((event) => event.type === 'nat' && event.model.missing.length === 0)).toBe(true);
    // The kernel refuses none of its packets: nothing is sent from where the host no longer is.
    expect(later.filter((event) => event.type === 'sent' && event.error !== null)).toEqual([]);
    const asked = later.flatMap((event) =>
      event.type === 'sent' && event.leg === 'reference' && event.purpose === 'arm' ? [event.id] : [],
    );
    const answered = new Set(later.flatMap((event) => (event.type === 'received' ? [event.id] : [])));
    expect(asked.length).toBeGreaterThan(20);
    expect(asked.filter((id) => !answered.has(id))).toEqual([]);
    expect(report.paths.find(({ id }) => id === WANTED)).toMatchObject({ state: 'established', cause: null });
  });

  it('the far end sends nothing more to where it was, once it has heard of it', () => {
    const { run } = readdressed([[3500, NEW]]);
    run.run();
    const at = changedAt(run.client.events);
    const stale = run.server.events.filter(
      (event) =>
        event.type === 'sent' && event.host === 'server' && event.purpose === 'arm' && event.to.address === OLD,
    );
    expect(stale.length).toBeGreaterThan(0);
    // The two clocks began within one another's greeting, and the word of it takes the cable's 1 ms.
    expect(stale.filter(({ t }) => t > at + 100)).toEqual([]);
  });

  it('where its carrier blocks peers that is still said', () => {
    const { run } = readdressed([[3200, NEW]], CARRIERS.o2);
    const path = run.run().paths.find(({ id }) => id === WANTED);
    expect(path).toMatchObject({ state: 'blocked', cause: 'peer-udp-blocked' });
  });

  it.each([
    ['before the first round', [[400, NEW]]],
    ['in every block', [3200, 5600, 7000, 9000, 12_000].map((ms, n) => [ms, `10.20.0.${String(20 + n)}`] as const)],
    ['away and back every second', Array.from({ length: 16 }, (_, n) => [2500 + n * 500, n % 2 ? OLD : null] as const)],
  ] as const)('%s: nobody is accused, and no path is called blocked', (_when, changes) => {
    const { run } = readdressed(changes);
    const { paths, carriers } = run.run();
    expect(paths.filter(({ state }) => state === 'blocked')).toEqual([]);
    expect(paths.find(({ id }) => id === WANTED)).toMatchObject({ state: 'established' });
    expect(carriers.filter(({ verdict }) => /^(?:blocks|filters)/.test(verdict))).toEqual([]);
  });
});
