import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { judge } from '../../src/session/judge.js';
import { recordEventSchema } from '../../src/session/record.js';
import type { Report } from '../../src/verdict/report.js';
import { differences } from '../../src/world/expectation.js';
import type { Expectation, LabRun, Scenario } from '../../src/world/scenario.js';
import { parseScenario } from '../../src/world/scenario-file.js';
import { runVirtual } from '../../src/world/virtual-lab.js';
import { ROOT } from '../support/sources.js';
import { scenario, SCENARIO_NAMES, textOf } from './scenario-files.js';

/**
 * The tables of verdicts.md once more, by hand: no file can quietly weaken its row. State and cause of the wanted path,
 * exit, and what is said of carriers: who is suspected together, or verdicts by label.
 */
interface Row {
  readonly wanted?: string;
  readonly outcomes: readonly string[];
  readonly suspects?: readonly string[];
  readonly carriers?: Readonly<Record<string, string>>;
  readonly arms?: string;
  readonly fields?: readonly (readonly string[])[];
  /** Of the findings: about, within. */
  readonly measures?: Readonly<Record<string, readonly [number, number]>>;
  /** In seconds, by label. */
  readonly lifetimes?: Readonly<Record<string, number>>;
}

const MODEMS = 'wwan0 usb0';
const blocked = (arms: string, wanted: string, ...suspects: string[]): Row => ({
  wanted,
  outcomes: ['blocked / peer-udp-blocked 3'],
  suspects,
  arms: `random ${arms}`,
});
const inconclusive = (outcome: string, arms: string, ...labels: string[]): Row => ({
  wanted: MODEMS,
  outcomes: [`${outcome} 4`],
  carriers: Object.fromEntries(labels.map((label) => [label, 'inconclusive'])),
  arms: `random ${arms}`,
});
const [PLAIN, M1, M2] = ['stun', 'stun~40', 'stun~40~cookie'];

const NOTES: Readonly<Record<string, Row>> = {
  'ice-01': inconclusive('unprobed / priority-starved', PLAIN, 'o2', 'telekom'),
  'ice-02': blocked(PLAIN, MODEMS, 'o2', 'telekom'),
  'ice-03': inconclusive('misrouted / wrong-route', PLAIN, 'o2', 'telekom'),
  'ice-04': blocked(PLAIN, MODEMS, 'o2', 'telekom'),
  'ice-05': blocked(PLAIN, MODEMS, 'o2', 'telekom'),
  'ice-06': blocked(PLAIN, MODEMS, 'o2', 'hhg'),
  'ice-07': blocked(PLAIN, MODEMS, 'o2', 'telekom'),
  'ice-08': inconclusive('misrouted / wrong-route', PLAIN, 'o2', 'hhg'),
  'ice-09': blocked(PLAIN, MODEMS, 'o2', 'hhg'),
  'ice-10': blocked(PLAIN, 'wlan0 usb0', 'hhg', 'telekom'),
  'ice-11': blocked(PLAIN, 'wlan0 usb0', 'hhg', 'telekom'),
  'ice-12': inconclusive('misrouted / wrong-route', M1, 'o2', 'telekom'),
  'ice-13': blocked(M1, MODEMS, 'o2', 'telekom'),
  'ice-14': blocked(M2, MODEMS, 'o2', 'telekom'),
  'ice-15': blocked(M2, MODEMS, 'o2', 'hhg'),
  'ice-16': blocked(PLAIN, 'wlan0 usb0', 'hhg', 'telekom'),
  'ice-17': blocked(M2, 'wlan0 usb0', 'hhg', 'telekom'),
  'ice-18': blocked(M2, MODEMS, 'o2', 'hhg'),
};

/** Nobody is accused where no carriers are named. */
const CONTROLS: Readonly<Record<string, Row>> = {
  'control-open': {
    outcomes: ['established / – 0'],
    carriers: { hhg: 'open', o2: 'open', hh2: 'open', telekom: 'open' },
  },
  'control-loss30': { outcomes: ['established 0', 'inconclusive 4'] },
  'control-burst25': { outcomes: ['established 0', 'inconclusive 4'] },
  'control-symmetric': { outcomes: ['failed / nat-incompatible 3'] },
  'control-spoiled': { outcomes: ['established / – 0'] },
  'control-reference-down': { outcomes: ['established 0', 'inconclusive / reference-fault 4'] },
  'control-silent-peer': { outcomes: ['inconclusive / peer-fault 4'] },
  'control-peer-killed': { outcomes: ['lost / peer-fault 3'] },
  'control-rp-filter': { outcomes: ['inconclusive / local-fault 4'] },
  'control-no-gateway': { outcomes: ['not-gathered / local-fault 4'] },
};

const filtersStun = (...fields: string[][]): Row => ({
  outcomes: ['established / stun-filtered 0'],
  carriers: { o2: 'filters-stun' },
  ...(fields.length > 0 ? { fields } : {}),
});

const MATRIX: Readonly<Record<string, Row>> = {
  'matrix-peers-o2': {
    outcomes: ['blocked / peer-udp-blocked 3'],
    carriers: { o2: 'blocks-peer-udp', telekom: 'open' },
  },
  'matrix-peers-both': {
    outcomes: ['blocked / peer-udp-blocked 3'],
    carriers: { o2: 'blocks-peer-udp', telekom: 'blocks-peer-udp', hhg: 'open', hh2: 'open' },
  },
  'matrix-peers-v4': {
    outcomes: ['blocked / peer-udp-blocked 3'],
    carriers: { 'o2 ipv4': 'blocks-peer-udp', 'o2 ipv6': 'open' },
  },
  'matrix-udp': { outcomes: ['blocked / udp-blocked 3'], carriers: { o2: 'blocks-udp' } },
  'matrix-cookie': filtersStun(['cookie']),
  'matrix-two-bits': filtersStun(['first-byte']),
  'matrix-ndpi': filtersStun(['length'], ['type'], ['first-byte', 'cookie']),
  'matrix-zapret': filtersStun(['first-byte'], ['cookie'], ['length']),
  'matrix-stun-shape': { outcomes: ['blocked / stun-filtered 3'], carriers: { o2: 'filters-stun' } },
  // Issue 4, 3: "bytes:4-7" where no header field's arm says it.
  'matrix-bytes': {
    outcomes: ['blocked / stun-filtered 3'],
    carriers: { o2: 'filters-stun' },
    fields: [['bytes:6-7']],
  },
  // Issue 4, 3: one of two things is enough, and both must change, which no arm does.
  'matrix-cookie-or-type': {
    outcomes: ['blocked / stun-filtered 3'],
    carriers: { o2: 'filters-stun' },
    fields: [['cookie', 'type']],
  },
  'matrix-flow-dpi': filtersStun(),
  // "trigger fields, seconds ± 10"
  'matrix-residual': {
    outcomes: ['established / residual-block 0'],
    carriers: { o2: 'filters-stun' },
    fields: [['cookie']],
    measures: { 'residual.seconds': [120, 10] },
  },
  // "the agent moves to a tuple that passes", "share ± 10 points"
  'matrix-ecmp': { outcomes: ['established / flow-dependent 0'], measures: { 'flows.share': [0.25, 0.1] } },
  'matrix-cookie-up': filtersStun(),
  'matrix-own-arms': filtersStun(['attributes'], ['bytes:20-21']),
  // "limit ± 16 B": see the file's measures.
  'matrix-rewrite': { outcomes: ['established / payload-rewritten 0'], carriers: { o2: 'open', telekom: 'open' } },
  // Issue 4, 5 ("rewriting (ALG)"): STUN that arrives altered is not filtered.
  'matrix-rewrite-stun': {
    outcomes: ['established / payload-rewritten 0'],
    carriers: { hhg: 'open', o2: 'open', hh2: 'open', telekom: 'open' },
  },
  'matrix-size': { outcomes: ['established / size-filtered 0'] },
  // "rate ± 20 %": 120 to 180 packets a second, see the test of it below.
  'matrix-rate': { outcomes: ['established / rate-limited 0'] },
  'matrix-port': {
    outcomes: ['blocked / port-filtered 3'],
    carriers: { hhg: 'open', o2: 'filters-ports', hh2: 'open', telekom: 'open' },
  },
  'matrix-port-allowed': {
    outcomes: ['established / port-filtered 0'],
    carriers: { hhg: 'open', o2: 'filters-ports', hh2: 'open', telekom: 'open' },
  },
  'matrix-symmetric-restricted': { outcomes: ['failed / nat-incompatible 3'] },
  // Issue 4, 9: "opt-in port guessing": a hit or, one time in twenty, none.
  'matrix-port-guess': { outcomes: ['established / – 0', 'failed / nat-incompatible 3'] },
  'matrix-early-packet': {
    outcomes: ['established / – 0'],
    carriers: { hhg: 'open', o2: 'open', hh2: 'open', telekom: 'open' },
  },
  'matrix-stateful-v6': { outcomes: ['established / – 0'], carriers: { o2: 'open', telekom: 'open' } },
  'matrix-nat64': {
    outcomes: ['established / – 0'],
    carriers: { hhg: 'open', o2: 'open', hh2: 'open', telekom: 'open' },
  },
  // A filter before a NAT64: nothing but the filter is named.
  'matrix-cookie-nat64': filtersStun(['cookie']),
  'matrix-admin-prohibited': { outcomes: ['rejected / admin-prohibited 3'], carriers: { o2: 'blocks-peer-udp' } },
  'matrix-one-way': { outcomes: ['one-way / peer-udp-blocked 3'], carriers: { telekom: 'blocks-peer-udp' } },
  'matrix-clock-skew': {
    outcomes: ['established / – 0'],
    carriers: { hhg: 'open', o2: 'open', hh2: 'open', telekom: 'open' },
  },
  'matrix-unresponsive': { outcomes: ['unresponsive / peer-fault 3'] },
  'matrix-loss12': { outcomes: ['established 0'] },
  'matrix-loss25': { outcomes: ['established 0'] },
};

/** Runs that the notes lack, for the series (`icepath series`). */
const SERIES: Readonly<Record<string, Row>> = {
  'series-clear-hhg': { wanted: 'wlan0 wan0', outcomes: ['established 0'], carriers: { hhg: 'open' } },
};

/** Issue 4, 2: "mapping lifetime by bisection"; how long is nf_conntrack's 120 s (Linux, ip-sysctl). */
const NATS: Readonly<Record<string, Row>> = {
  'nat-lifetime': {
    outcomes: ['established / – 0'],
    carriers: { hhg: 'open', o2: 'open', hh2: 'open', telekom: 'open' },
    lifetimes: { o2: 120, telekom: 120 },
  },
};

/** Beside verdicts.md: the direct way as in control-symmetric, and a relay. */
const RELAYS: Readonly<Record<string, Row>> = {
  'relay-only': { outcomes: ['failed / nat-incompatible 3'] },
};

/** Issue 6: data over the paths that work, see transfers.test.ts. */
const OPEN = { hhg: 'open', o2: 'open', hh2: 'open', telekom: 'open' } as const;
const TRANSFERS: Readonly<Record<string, Row>> = {
  'notes-100s': { outcomes: ['established / – 0'], carriers: OPEN },
  'notes-100s-blocked': blocked(PLAIN, MODEMS, 'o2', 'telekom'),
  'wifi-off-on': { wanted: 'wlan0 wlan0', outcomes: ['established / – 0'], carriers: OPEN },
};

/** Issue 6, "Faults": what befalls hosts and networks while data flow. */
const FAULTS: Readonly<Record<string, Row>> = {
  'fault-address': { outcomes: ['established / – 0'], carriers: OPEN },
  'fault-blackout': { outcomes: ['lost / peer-fault 3'] },
  'fault-rebinding': { outcomes: ['established / – 0'], carriers: OPEN },
  'plugged-in': { wanted: 'wlan0 wlan0', outcomes: ['established / – 0'], carriers: OPEN },
  'fault-route': { outcomes: ['established / – 0'], carriers: OPEN },
};

function wordsOf({ outcomes }: Expectation): string[] {
  return outcomes.map(({ state, cause, exit }) => `${state}${cause === undefined ? '' : ` / ${cause ?? '–'}`} ${exit}`);
}

function verdictsOf({ carriers }: Expectation): Record<string, string> {
  return Object.fromEntries(
    carriers.map(({ label, family, verdict }) => [family === null ? label : `${label} ${family}`, verdict]),
  );
}

const isAccused = (verdict: string): boolean => /^(?:blocks|filters)-/.test(verdict);

describe('the files say what verdicts.md does', () => {
  const rows = { ...NOTES, ...CONTROLS, ...MATRIX, ...SERIES, ...NATS, ...RELAYS, ...TRANSFERS, ...FAULTS };

  test('every row has its file, and every file its row', () => {
    expect(SCENARIO_NAMES).toEqual(Object.keys(rows).sort());
  });

  for (const [name, row] of Object.entries(rows)) {
    it(name, () => {
      const { run, expect: expected } = scenario(name);
      expect(wordsOf(expected)).toEqual(row.outcomes);
      expect(run.wanted.map(({ client, server }) => `${client} ${server}`)).toEqual([row.wanted ?? MODEMS]);
      expect(expected.suspects).toEqual(row.suspects ?? []);
      const verdicts = verdictsOf(expected);
      expect(verdicts).toMatchObject(row.carriers ?? {});
      const accused = Object.keys(verdicts).filter((label) => isAccused(verdicts[label] ?? ''));
      expect(accused).toEqual(
        Object.keys(row.carriers ?? {}).filter((label) => isAccused(row.carriers?.[label] ?? '')),
      );
      if (row.arms !== undefined) expect(run.arms.join(' ')).toBe(row.arms);
      if (row.fields) expect(expected.outcomes[0]?.fields).toEqual(row.fields);
      const measures = Object.entries(row.measures ?? {}).map(([what, [about, within]]) => ({ what, about, within }));
      if (row.measures) expect(expected.outcomes[0]?.measures).toEqual(measures);
      const lifetimes = Object.entries(row.lifetimes ?? {}).map(([label, seconds]) => ({ label, ms: seconds * 1000 }));
      if (row.lifetimes) expect(expected.lifetimes).toEqual(lifetimes);
    });
  }

  // "Ethernet is established in every one"; "paths between the WiFi ends are established unless said".
  test('the paths beside the wanted one', () => {
    for (const name of Object.keys(NOTES)) {
      expect(scenario(name).expect.paths, name).toEqual({ 'eth0-eth0-v4': { state: ['established'] } });
    }
    const dead = ['control-peer-killed', 'control-reference-down', 'matrix-stateful-v6'];
    for (const name of [...Object.keys(CONTROLS), ...Object.keys(MATRIX)].filter((one) => !dead.includes(one))) {
      expect(scenario(name).expect.paths, name).toMatchObject({ 'wlan0-wlan0-v4': { state: ['established'] } });
    }
  });

  test('each is told to people: a title, what is in the way, what it would mean, where it was observed', () => {
    for (const name of SCENARIO_NAMES) {
      const { title, story, meaning, observed } = scenario(name);
      expect(
        [title, ...story, ...meaning, observed ?? ''].filter((text) => text.length < 10),
        name,
      ).toEqual([]);
    }
  });

  test('the rows of the notes name their time, in order', () => {
    const times = Object.keys(NOTES).map((name) => /June 2024, (\d\d:\d\d)/.exec(scenario(name).observed ?? '')?.[1]);
    expect(times).toEqual(
      '11:30 11:46 11:59 12:05 12:09 12:12 14:07 14:15 14:21 14:27 14:30 14:45 14:50 14:58 15:19 15:32 15:43 15:52'.split(
        ' ',
      ),
    );
  });
});

/** How much the counter of received packets rose during the run; 0 where it was not read. */
function arrivals(events: LabRun['events'], host: 'client' | 'server', on: string): number {
  const [before, after] = (['before', 'after'] as const).map((phase) =>
    events
      .flatMap((event) => (event.type === 'counters' && event.host === host && event.phase === phase ? [event] : []))
      .at(-1),
  );
  const count = (event: typeof before): number => event?.counters.interfaces[on]?.rxPackets ?? 0;
  return before && after ? count(after) - count(before) : 0;
}

const run = (name: string, seed: string | number = 1): LabRun => runVirtual(scenario(name), { seed, version: 'test' });

describe('on the virtual back end each gives what it must', () => {
  for (const name of SCENARIO_NAMES) {
    const seeds = name.startsWith('ice-') ? [1, 2, 3] : [1];
    it(`${name}, ${seeds.length === 1 ? 'a seed' : `${seeds.length} seeds`}`, () => {
      for (const seed of seeds) {
        const { report, events } = run(name, seed);
        expect(report.run).toMatchObject({ backend: 'virtual', seed });
        expect(differences(scenario(name), report), `seed ${seed}`).toEqual([]);
        // verdicts.md: "Ethernet is established in every one, and the far interface's counters show it".
        const ethernet = report.paths.find(({ id }) => id === 'eth0-eth0-v4')?.up.received ?? 0;
        if (name.startsWith('ice-'))
          expect(arrivals(events, 'server', 'eth0')).toBeGreaterThanOrEqual(Math.max(1, ethernet));
      }
    });
  }
});

it('the example of docs/scenarios.md does, too', () => {
  const [, text = ''] = /```yaml\n([^]*?)```/.exec(readFileSync(join(ROOT, 'docs/scenarios.md'), 'utf8')) ?? [];
  const example = parseScenario(text, 'docs/scenarios.md', textOf);
  expect(differences(example, runVirtual(example, { seed: 1, version: 'test' }).report)).toEqual([]);
});

describe('a run', () => {
  it('replays exactly from its seed', () => {
    const [first, again, other] = [run('ice-14', 'a'), run('ice-14', 'a'), run('ice-14', 'b')];
    expect(again.events).toEqual(first.events);
    expect(again.report).toEqual(first.report);
    expect(other.events).not.toEqual(first.events);
  });

  it('tells its events while it happens, and they are the record that it leaves', () => {
    const told: unknown[] = [];
    const { events, report } = runVirtual(scenario('ice-03'), {
      seed: 1,
      version: 'test',
      onEvent: (event) => told.push(event),
    });
    expect(told).toEqual(events);
    expect(judge(events.map((event) => recordEventSchema.parse(JSON.parse(JSON.stringify(event)))))).toEqual(report);
  });

  it('shows its network before anything is sent', () => {
    let sent = 0;
    let wiredAt = -1;
    runVirtual(scenario('ice-01'), {
      seed: 1,
      version: 'test',
      onWired: ({ network, hosts }) => {
        wiredAt = network.now;
        network.tap({ node: hosts.client, port: 'eth0' }, () => (sent += 1));
      },
    });
    expect(wiredAt).toBe(0);
    expect(sent).toBeGreaterThan(100);
  });

  it('ends with what is known when it is interrupted', () => {
    const interruption = new AbortController();
    const { report } = runVirtual(scenario('control-open'), {
      seed: 1,
      version: 'test',
      signal: interruption.signal,
      onEvent: (event) => {
        if (event.type === 'path.state' && event.to === 'established') interruption.abort();
      },
    });
    expect(report.exit.code).toBe(130);
    expect(report.paths.some(({ state }) => state === 'established')).toBe(true);
  });

  it('events happen: an interface goes down, and its path is lost; Ethernet is not', () => {
    const base = scenario('control-open');
    const down = { type: 'interface', host: 'client', interface: 'wwan0', up: false } as const;
    const during: Scenario = { ...base, events: [{ atMs: 3000, action: down }] };
    const { report } = runVirtual(during, { seed: 1, version: 'test' });
    const sent = (id: string): Report['paths'][number] | undefined => report.paths.find((one) => one.id === id);
    expect(sent('eth0-eth0-v4')?.state).toBe('established');
    const [modem, ethernet] = ['wwan0-usb0-v4', 'eth0-eth0-v4'].map((id) => sent(id)?.down.received ?? 0);
    // After 3 of the about 10 s that the rounds take nothing arrives any more.
    expect(modem).toBeLessThan((ethernet ?? 0) / 2);
  });
});
