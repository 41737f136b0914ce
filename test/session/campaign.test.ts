import { describe, expect, it } from 'vitest';
import { fraction, integerBetween, SeededRandom } from '../../src/base/random.js';
import type { PathReport, Report } from '../../src/verdict/report.js';
import type { NatBehaviour } from '../support/nat.js';
import { hostInterface, isReference, SessionWorld, type Filter, type Uplink } from '../support/session-world.js';

/**
 * Whole runs in random worlds. icepath's promise: what is merely lossy, late, cut off for a while, or behind NATs that do
 * not fit is never called blocked, and nobody is accused of it; what is filtered is found, with its guilty end, in spite
 * of loss. More seeds: CAMPAIGN=200.
 */
const SEEDS = Number(process.env.CAMPAIGN ?? 3);

const SITES = ['client.wlan0', 'client.wwan0', 'server.wlan0', 'server.usb0'] as const;
type Uplinks = Record<(typeof SITES)[number], Uplink>;
const INTERFACES = {
  client: [hostInterface('wlan0', 'wifi', 'hhg', '10.1.0.2'), hostInterface('wwan0', 'cellular', 'o2', '10.2.0.2')],
  server: [hostInterface('wlan0', 'wifi', 'hh2', '10.3.0.2'), hostInterface('usb0', 'cellular', 'telekom', '10.4.0.2')],
};
const MAPPINGS = ['eim', 'adm', 'apdm'] as const;
const FILTERINGS = ['eif', 'adf', 'apdf'] as const;
const EASY: NatBehaviour = { kind: 'rfc4787', mapping: 'eim', filtering: 'apdf', preserves: false };

const isCookie: Filter = ({ bytes }) =>
  Buffer.from(bytes.subarray(4, 8)).toString('hex') === '2112a442' ? 'drop' : 'pass';
const isPeer: Filter = ({ remote }) => (isReference(remote) ? 'pass' : 'drop');

const isFirstSeconds: Filter = ({ now }) => (now < 1000 ? 'drop' : 'pass');

class Draw {
  readonly #random: SeededRandom;

  constructor(seed: string) {
    this.#random = new SeededRandom(seed);
  }

  chance(share: number): boolean {
    return fraction(this.#random) < share;
  }

  between(low: number, high: number): number {
    return integerBetween(this.#random, low, high);
  }

  one<T>(...items: readonly [T, ...T[]]): T {
    return items[this.between(0, items.length - 1)] ?? items[0];
  }

  nat(): NatBehaviour {
    const [mapping, filtering] = [this.one(...MAPPINGS), this.one(...FILTERINGS)];
    return this.one<NatBehaviour>(
      EASY,
      { kind: 'rfc4787', mapping, filtering, preserves: this.chance(0.5) },
      { kind: 'linux', guarded: this.chance(0.5) },
    );
  }

  weather(mostLoss: number): Uplink {
    const share = (this.between(0, 100) / 100) * mostLoss;
    return {
      ...(this.chance(0.5)
        ? { loss: share }
        : { bursts: { loss: 0.02 + share / 2, burstMs: this.between(300, 2000) } }),
      oneWayMs: this.between(1, this.one(60, 400)),
      inwardMs: this.between(1, this.one(60, 400)),
      jitterMs: this.one(0, 0, this.between(1, 150)),
      duplicates: this.one(0, 0, 0.2),
    };
  }

  uplinks(of: (draw: this) => Uplink): Uplinks {
    return Object.fromEntries(SITES.map((site) => [site, of(this)])) as Uplinks;
  }
}

function run(seed: string, uplinks: Uplinks, options: ConstructorParameters<typeof SessionWorld>[0] = {}): Report {
  return new SessionWorld({ seed, interfaces: INTERFACES, uplinks, ...options }).run();
}

function blamed({ paths, carriers }: Report): string[] {
  const shut = paths.filter(
    ({ state, cause, up, down }) =>
      ['blocked', 'one-way', 'rejected', 'unresponsive'].includes(state) ||
      cause === 'stun-filtered' ||
      [up.state, down.state].includes('closed'),
  );
  return [...shut.map(({ summary }) => summary), ...accused({ carriers })];
}

function accused({ carriers }: Pick<Report, 'carriers'>): string[] {
  return carriers
    .filter(({ verdict }) => verdict.startsWith('blocks') || verdict.startsWith('filters'))
    .map(({ label, verdict }) => `${label} ${verdict}`);
}

function wanted(report: Report): PathReport {
  const path = report.paths.find(({ id }) => id === 'wwan0-usb0-v4');
  if (!path) throw new Error('no wanted path');
  return path;
}

const seeds = (kind: string): string[] => Array.from({ length: SEEDS }, (_, seed) => `${kind} ${String(seed)}`);

describe('where nothing is filtered, nothing is called blocked', () => {
  it.each(seeds('weather'))('%s: any NATs, up to 40 % loss', (seed) => {
    const draw = new Draw(seed);
    expect(
      blamed(
        run(
          seed,
          draw.uplinks(() => ({ nat: draw.nat(), ...draw.weather(0.4) })),
        ),
      ),
    ).toEqual([]);
  });

  it.each(seeds('light'))('%s: NATs that fit, up to 10 % loss: everything is established', (seed) => {
    const draw = new Draw(seed);
    const uplinks = draw.uplinks(() => ({
      nat: EASY,
      loss: draw.between(0, 10) / 100,
      oneWayMs: draw.between(1, 150),
    }));
    const report = run(seed, uplinks);
    expect(report.paths.map(({ state, cause }) => `${state} ${String(cause)}`)).toEqual(
      report.paths.map(() => 'established null'),
    );
    expect(blamed(report)).toEqual([]);
  });

  it.each(seeds('outage'))('%s: an interface, or the reference, goes dead in mid-run', (seed) => {
    const draw = new Draw(seed);
    const uplinks = draw.uplinks(() => ({ nat: EASY, ...draw.weather(0.1) }));
    const [site, begins] = [draw.one(...SITES), draw.between(0, 9000)];
    const ends = draw.one(Number.POSITIVE_INFINITY, begins + draw.between(4000, 10_000));
    uplinks[site] = { ...uplinks[site], outage: (now) => now >= begins && now < ends };
    const options = draw.one(
      {},
      { referenceDies: draw.between(0, 9000) },
      { controlMs: draw.between(100, 1000), serverLateMs: draw.between(0, 3000) },
      { withoutAlternate: true },
      {
        during: [
          {
            at: draw.between(1000, 9000),
            act: (world: SessionWorld): void => {
              world.kill('server');
            },
          },
        ],
      },
    );
    expect(blamed(run(seed, uplinks, options))).toEqual([]);
  });

  it('an interface that is dead from before the first packet until after the last round, but whose TCP connected once', () => {
    const uplinks = new Draw('dead').uplinks(() => ({ nat: EASY }));
    uplinks['client.wwan0'] = { nat: EASY, outage: (now) => now > 300 && now < 30_000, filter: isFirstSeconds };
    const report = run('dead', uplinks);
    expect(wanted(report)).toMatchObject({ state: 'inconclusive', cause: null });
    expect(blamed(report)).toEqual([]);
  });

  it('two ends behind one NAT that does not hairpin: failed, and it says why', () => {
    const uplinks = new Draw('shared').uplinks(() => ({ nat: EASY }));
    uplinks['client.wwan0'] = { nat: EASY, behind: 'cgn' };
    uplinks['server.usb0'] = { nat: EASY, behind: 'cgn' };
    const report = run('shared', uplinks);
    expect(wanted(report)).toMatchObject({ state: 'failed', cause: 'nat-incompatible' });
    expect(wanted(report).summary).toContain('hairpin');
    expect(blamed(report)).toEqual([]);
  });
});

describe('what is filtered is found in spite of loss', () => {
  const cases = [
    ['the cookie', isCookie, 'established', 'stun-filtered', 'filters-stun'],
    ['the cookie, one way', only('in', isCookie), 'established', 'stun-filtered', 'filters-stun'],
    ['peers', isPeer, 'blocked', 'peer-udp-blocked', 'blocks-peer-udp'],
    ['peers, one way', only('out', isPeer), 'one-way', 'peer-udp-blocked', 'blocks-peer-udp'],
    ['all UDP', (): 'drop' => 'drop', 'blocked', 'udp-blocked', 'blocks-udp'],
  ] as const;

  it.each(cases)('%s', (name, filter, state, cause, verdict) => {
    const draw = new Draw(name);
    const uplinks = draw.uplinks(() => ({
      nat: EASY,
      loss: draw.between(3, 12) / 100,
      oneWayMs: draw.between(5, 80),
    }));
    const [site, label] = draw.one(['client.wwan0', 'o2'] as const, ['server.usb0', 'telekom'] as const);
    uplinks[site] = { ...uplinks[site], filter };
    const report = run(name, uplinks);
    expect(wanted(report)).toMatchObject({ state, cause });
    expect(accused(report)).toEqual([`${label} ${verdict}`]);
  });
});

function only(way: 'in' | 'out', filter: Filter): Filter {
  return (packet) => (packet.way === way ? filter(packet) : 'pass');
}
