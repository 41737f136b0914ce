import { describe, expect, it } from 'vitest';
import { fraction, integerBetween, SeededRandom } from '../../src/base/random.js';
import type { Ms } from '../../src/base/time.js';
import type { PathReport, Report } from '../../src/verdict/report.js';
import { dropsPeerUdp, type NatDescription, type RuleDescription } from '../../src/world/box-description.js';
import { type Carrier, natCarrier } from '../../src/world/carriers.js';
import { buildInternet, type UplinkOptions } from '../../src/world/internet.js';
import type { LinkOptions } from '../../src/world/link.js';
import type { Predicate } from '../../src/world/filter.js';
import { VirtualRun, type VirtualRunOptions } from '../../src/world/virtual-run.js';
import { mesh, PLAN } from '../world/worlds.js';

/**
 * Whole runs in random worlds. icepath's promise: what is merely lossy, late, cut off for a while, or behind NATs that do
 * not fit is never called blocked, and nobody is accused of it; what is filtered is found, with its guilty end, in spite
 * of loss. More seeds: CAMPAIGN=200.
 */
const SEEDS = Number(process.env.CAMPAIGN ?? 3);

const LABELS = ['hhg', 'o2', 'hh2', 'telekom'] as const;
type Label = (typeof LABELS)[number];
/** What stands behind each label: the boxes, the link each way. */
type Uplink = Partial<Pick<UplinkOptions, 'carrier' | 'up' | 'down' | 'site'>>;
type Uplinks = Record<Label, Uplink>;
const CABLES: Readonly<Record<Label, string>> = {
  hhg: 'client.wlan0',
  o2: 'client.wwan0',
  hh2: 'server.wlan0',
  telekom: 'server.usb0',
};
const MAPPINGS = ['eim', 'adm', 'apdm'] as const;
const FILTERINGS = ['eif', 'adf', 'apdf'] as const;
const PORTS = ['preserving', 'random'] as const;
const EASY: NatDescription = { mapping: 'eim', filtering: 'apdf', ports: 'random' };

const COOKIE: Predicate = { bytes: [{ offset: 4, value: [0x21, 0x12, 0xa4, 0x42] }] };
const PEER = dropsPeerUdp().match;

/** A NAT, and outside of it what drops packets. */
function carrier(nat: NatDescription, ...drops: readonly Predicate[]): Carrier {
  const rules = drops.map((match): RuleDescription => ({ match, action: { type: 'drop' } }));
  return natCarrier('drawn', 'a test', nat, [], rules);
}

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

  nat(): NatDescription {
    const [mapping, filtering, ports] = [this.one(...MAPPINGS), this.one(...FILTERINGS), this.one(...PORTS)];
    return this.one<NatDescription>(
      EASY,
      { mapping, filtering, ports },
      this.one('linux-guarded' as const, 'linux-unguarded' as const),
    );
  }

  /** Both directions alike but for the delay. */
  weather(mostLoss: number): { readonly up: LinkOptions; readonly down: LinkOptions } {
    const share = (this.between(0, 100) / 100) * mostLoss;
    const both: LinkOptions = {
      ...(this.chance(0.5)
        ? { loss: share }
        : { bursts: { loss: 0.02 + share / 2, burstMs: this.between(300, 2000) } }),
      jitterMs: this.one(0, 0, this.between(1, 150)),
      reorders: true,
      duplicates: this.one(0, 0, 0.2),
    };
    const delayMs = (): Ms => this.between(1, this.one(60, 400));
    return { up: { ...both, delayMs: delayMs() }, down: { ...both, delayMs: delayMs() } };
  }

  uplinks(of: (draw: this) => Uplink): Uplinks {
    return { hhg: of(this), o2: of(this), hh2: of(this), telekom: of(this) };
  }
}

interface Happenings {
  /** When nothing passes an uplink, TCP included, or the way to the reference. */
  readonly outages?: readonly { readonly cable: string; readonly from: Ms; readonly until?: Ms }[];
  readonly kill?: Ms;
  readonly controlMs?: Ms;
  readonly session?: Pick<VirtualRunOptions, 'serverLateMs' | 'alternate'>;
}

function run(
  seed: string,
  uplinks: Uplinks,
  { outages = [], kill, controlMs = 1, session = {} }: Happenings = {},
): Report {
  const internet = buildInternet({ seed, uplinks: mesh(uplinks), lan: { link: { delayMs: controlMs } } });
  const one = new VirtualRun({ internet, seed, version: 'test', plan: PLAN, ...session });
  for (const { cable, from, until } of outages) {
    const turn = (up: boolean) => () => internet.cables.get(cable)?.setUp(up);
    one.at(from, turn(false));
    if (until !== undefined) one.at(until, turn(true));
  }
  if (kill !== undefined) {
    one.at(kill, () => {
      one.server.kill();
    });
  }
  return one.run();
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

/** Those between the carriers: from Ethernet there is no way to them. */
const across = ({ paths }: Report): PathReport[] =>
  paths.filter(({ client, server }) => client.interface !== 'eth0' && server.interface !== 'eth0');
const seeds = (kind: string): string[] => Array.from({ length: SEEDS }, (_, seed) => `${kind} ${String(seed)}`);

describe('where nothing is filtered, nothing is called blocked', () => {
  it.each(seeds('weather'))('%s: any NATs, up to 40 % loss', (seed) => {
    const draw = new Draw(seed);
    const uplinks = draw.uplinks(() => ({ carrier: carrier(draw.nat()), ...draw.weather(0.4) }));
    expect(blamed(run(seed, uplinks))).toEqual([]);
  });

  it.each(seeds('light'))('%s: NATs that fit, up to 10 % loss: everything is established', (seed) => {
    const draw = new Draw(seed);
    const uplinks = draw.uplinks(() => {
      const link = { loss: draw.between(0, 10) / 100, delayMs: draw.between(1, 150) };
      return { carrier: carrier(EASY), up: link, down: link };
    });
    const report = run(seed, uplinks);
    expect(across(report).map(({ state, cause }) => `${state} ${String(cause)}`)).toEqual(
      Array.from({ length: 4 }, () => 'established null'),
    );
    expect(blamed(report)).toEqual([]);
  });

  it.each(seeds('outage'))('%s: an interface, or the reference, goes dead in mid-run', (seed) => {
    const draw = new Draw(seed);
    const uplinks = draw.uplinks(() => ({ carrier: carrier(EASY), ...draw.weather(0.1) }));
    const [label, from] = [draw.one(...LABELS), draw.between(0, 9000)];
    const until = draw.one(undefined, from + draw.between(4000, 10_000));
    const outage = { cable: CABLES[label], from, ...(until === undefined ? {} : { until }) };
    const happenings = draw.one<Happenings>(
      {},
      { outages: [{ cable: 'reference', from: draw.between(0, 9000) }] },
      { controlMs: draw.between(100, 1000), session: { serverLateMs: draw.between(0, 3000) } },
      { session: { alternate: false } },
      { kill: draw.between(1000, 9000) },
    );
    const outages = [outage, ...(happenings.outages ?? [])];
    expect(blamed(run(seed, uplinks, { ...happenings, outages }))).toEqual([]);
  });

  it('an interface that is dead from before the first packet until after the last round, but whose TCP connected once', () => {
    const uplinks = new Draw('dead').uplinks(() => ({ carrier: carrier(EASY) }));
    uplinks.o2 = { carrier: carrier(EASY, {}) };
    const report = run('dead', uplinks, { outages: [{ cable: CABLES.o2, from: 300, until: 30_000 }] });
    expect(wanted(report)).toMatchObject({ state: 'inconclusive', cause: null });
    expect(blamed(report)).toEqual([]);
  });

  it('two ends behind one NAT that does not hairpin: failed, and it says why', () => {
    const uplinks = new Draw('shared').uplinks(() => ({ carrier: carrier(EASY) }));
    const cgn = { carrier: { ...carrier(EASY), isolates: true }, site: 'cgn' };
    const report = run('shared', { ...uplinks, o2: cgn, telekom: cgn });
    expect(wanted(report)).toMatchObject({ state: 'failed', cause: 'nat-incompatible' });
    expect(wanted(report).summary).toContain('hairpin');
    expect(blamed(report)).toEqual([]);
  });
});

describe('what is filtered is found in spite of loss', () => {
  const cases = [
    ['the cookie', COOKIE, 'established', 'stun-filtered', 'filters-stun'],
    ['the cookie, one way', { ...COOKIE, heading: 'in' }, 'established', 'stun-filtered', 'filters-stun'],
    ['peers', PEER, 'blocked', 'peer-udp-blocked', 'blocks-peer-udp'],
    ['peers, one way', { ...PEER, heading: 'out' }, 'one-way', 'peer-udp-blocked', 'blocks-peer-udp'],
    ['all UDP', {}, 'blocked', 'udp-blocked', 'blocks-udp'],
  ] as const;

  it.each(cases)('%s', (name, match, state, cause, verdict) => {
    const draw = new Draw(name);
    const uplinks = draw.uplinks(() => {
      const link = { loss: draw.between(3, 12) / 100, delayMs: draw.between(5, 80) };
      return { carrier: carrier(EASY), up: link, down: link };
    });
    const label = draw.one('o2' as const, 'telekom' as const);
    uplinks[label] = { ...uplinks[label], carrier: carrier(EASY, match) };
    const report = run(name, uplinks);
    expect(wanted(report)).toMatchObject({ state, cause });
    expect(accused(report)).toEqual([`${label} ${verdict}`]);
  });
});
