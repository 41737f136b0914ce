import { describe, expect, it } from 'vitest';
import { judge } from '../../src/session/judge.js';
import type { Report } from '../../src/verdict/report.js';
import type { Role } from '../../src/verdict/words.js';
import { type Carrier, CARRIERS } from '../../src/world/carriers.js';
import { buildInternet, type Internet, type UplinkOptions } from '../../src/world/internet.js';
import { VirtualRun } from '../../src/world/virtual-run.js';
import { hello, INTERFACES, hostInterface, plan, Victim } from '../support/hostile.js';
import { mesh, PLAN } from '../world/worlds.js';

// Interfaces that are not there, or have no address, when a run begins (issue 6: "Interfaces come and go"): told to the far
// end, gathered on, checked, joined to the data, and judged by what was seen since.

const WIFI = [{ client: 'wlan0', server: 'wlan0' }];
/** To the server's phone: over the client's WiFi, and over its modem. */
const OF_PHONE = ['wlan0-usb0-v4', 'wwan0-usb0-v4'];

interface Plugged {
  readonly starts?: UplinkOptions['starts'];
  readonly carrier?: Carrier;
  readonly at: number;
  readonly seconds?: number;
  /** What the user asks about; `null`: all without an Ethernet end, also those that come late (verdicts.md). */
  readonly wanted?: typeof WIFI | null;
  readonly more?: (run: VirtualRun, internet: Internet) => void;
}

/** The server's phone is plugged in at `at` ms of the run. */
function plugged({ starts = 'absent', carrier = CARRIERS.open, wanted = WIFI, at, seconds, more }: Plugged): {
  readonly run: VirtualRun;
  readonly report: Report;
  readonly path: (id: string) => Report['paths'][number] | undefined;
} {
  const internet = buildInternet({ seed: 1, uplinks: mesh({ telekom: { starts, carrier } }) });
  const transfer = { seconds: seconds ?? 0, direction: 'both', rateBps: 8e4 } as const;
  const run = new VirtualRun({
    internet,
    seed: 1,
    version: 'test',
    plan: { ...PLAN, wanted, ...(seconds === undefined ? {} : { arms: ['random', 'stun'], transfer }) },
  });
  run.at(internet.network.now + at, () => {
    internet.hosts.server.setUp('usb0', true);
  });
  more?.(run, internet);
  const report = run.run();
  return { run, report, path: (id) => report.paths.find((one) => one.id === id) };
}

const interfacesOf = ({ run }: Report, host: Role): Report['run']['hosts'][number]['interfaces'] =>
  run.hosts.find(({ role }) => role === host)?.interfaces ?? [];
const accused = ({ carriers }: Report): unknown[] =>
  carriers.filter(({ verdict }) => /^(?:blocks|filters)/.test(verdict));

describe.each(['absent', 'down'] as const)('an interface that is %s when the run begins', (starts) => {
  it('is gathered on, checked and joined once it is there', () => {
    const { run, report, path } = plugged({ starts, at: 3000 });
    for (const id of OF_PHONE) {
      expect(path(id)).toMatchObject({ state: 'established', cause: null });
      expect(path(id)?.lapses).toBeUndefined();
      const valid = run.client.events.flatMap((event) =>
        event.type === 'valid' && event.host === 'client' && event.path === id ? [event.t] : [],
      );
      // 2 RTT of 88 ms to gather and to check, and 100 ms.
      expect(valid[0]).toBeGreaterThan(3000);
      expect(valid[0]).toBeLessThanOrEqual(3276);
    }
    const phone = path('wlan0-usb0-v4')?.server;
    expect(phone).toMatchObject({ kind: 'cellular', label: 'telekom' });
    expect(interfacesOf(report, 'server').map(({ label }) => label)).toEqual(['lan', 'hh2', 'telekom']);
    expect(accused(report)).toEqual([]);
  });

  it('carries data', () => {
    const { report } = plugged({ starts, at: 4000, seconds: 10 });
    expect(report.transfer).toMatchObject({ complete: true, error: null });
    const carried = report.transfer?.perPath.filter(({ path }) => OF_PHONE.includes(path)) ?? [];
    expect(carried).toHaveLength(2);
    for (const { bytes } of carried) expect(bytes).toBeGreaterThan(0);
  });
});

describe('what is said of one that came late', () => {
  it('nothing where it never comes: it is not in the report at all', () => {
    const { report } = plugged({ at: 500_000 });
    expect(report.paths.filter(({ server }) => server.interface === 'usb0')).toEqual([]);
    expect(report.exit.code).toBe(0);
  });

  it('not "blocked" where the rounds were over before it came', () => {
    const { path, report } = plugged({ at: 18_000, seconds: 22, carrier: CARRIERS.telekom });
    for (const id of OF_PHONE) expect(['inconclusive', 'failed']).toContain(path(id)?.state);
    expect(accused(report)).toEqual([]);
  });

  it('"blocked" where rounds enough were after it came, and not before 20 of them', () => {
    const { run, path } = plugged({ at: 3000, carrier: CARRIERS.telekom, wanted: null });
    expect(path('wlan0-usb0-v4')).toMatchObject({ state: 'blocked', cause: 'peer-udp-blocked' });
    const rounds = run.client.events.flatMap((event) =>
      event.type === 'sent' && event.host === 'client' && event.towards === 'usb0' && event.arm === 'random'
        ? [event.round]
        : [],
    );
    expect(new Set(rounds).size).toBeGreaterThanOrEqual(20);
  });

  it('lost where it is pulled out again', () => {
    const { path } = plugged({
      at: 3000,
      more: (run, { network, hosts }) => {
        run.at(network.now + 5000, () => {
          hosts.server.setUp('usb0', false);
        });
      },
    });
    for (const id of OF_PHONE) expect(path(id)).toMatchObject({ state: 'lost', cause: 'local-fault' });
  });
});

describe('the far end', () => {
  it('of a version that knows no such word pairs with its candidates all the same', () => {
    const { path } = plugged({
      at: 3000,
      more: ({ client }) => {
        const message = client.message.bind(client);
        client.message = (told) => {
          if ((told as { readonly type: string }).type !== 'interface') message(told);
        };
      },
    });
    for (const id of OF_PHONE) expect(path(id)).toMatchObject({ state: 'established' });
  });

  it('that names more than sixteen is not believed', () => {
    const victim = new Victim('server');
    victim.say(hello, plan());
    for (let n = 0; n < 500; n += 1)
      victim.say({ type: 'interface', interface: hostInterface(`usb${String(n)}`, 'tethered', 'x', '192.0.2.7') });
    const refused = victim.logs.filter(({ name }) => name === 'interface.refused');
    // usb0 is the greeting's.
    expect(refused[0]?.fields).toEqual({ interface: 'usb17' });
    // The first ten complaints of a kind are logged.
    expect(refused).toHaveLength(10);
    victim.end();
  });

  it('whose record names more than sixteen gives no more paths than with sixteen', () => {
    const victim = new Victim('server');
    victim.say(hello, plan());
    const host = { type: 'host', t: 1, host: 'client', name: 'c', pinning: 'device', interfaces: [INTERFACES[0]] };
    const added = { kind: 'tethered', label: 'x' };
    const addresses = [{ family: 'ipv4', address: '192.0.2.7', prefixLength: 24 }];
    const events = Array.from({ length: 400 }, (_, n) => ({
      ...{ type: 'interface', t: 2, host: 'client', interface: `usb${String(n)}`, addresses, added },
    }));
    victim.say({ type: 'events', events: [host, ...events] });
    victim.end();
    expect(interfacesOf(judge(victim.machine.events), 'client')).toHaveLength(17);
  });

  it('this host takes on no more than sixteen of its own either', () => {
    const victim = new Victim('server');
    victim.say(hello, plan());
    const more = Array.from({ length: 40 }, (_, n) =>
      hostInterface(`usb${String(n)}`, 'tethered', 'x', `192.0.2.${String(n + 1)}`),
    );
    victim.feed({ type: 'interfaces', interfaces: [...INTERFACES, ...more] });
    expect(victim.messages.filter(({ type }) => type === 'interface')).toHaveLength(16);
    victim.end();
  });
});
