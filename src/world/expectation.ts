import type { CarrierReport, PathReport, Report } from '../verdict/report.js';
import type { CarrierVerdict, NatModel } from '../verdict/words.js';
import type { Expectation, Outcome, Scenario } from './scenario.js';

/** Who is told to be in the way of others' packets. */
const ACCUSATIONS: ReadonlySet<CarrierVerdict> = new Set([
  'blocks-peer-udp',
  'blocks-udp',
  'filters-stun',
  'filters-ports',
]);

/** Where a report is not what its scenario expects: sentences; none when it passed. */
export function differences({ expect, run: { wanted } }: Scenario, report: Report): string[] {
  return [
    ...wanted.flatMap((pair) => outcomeDifferences(pair, expect, report)),
    ...pathDifferences(expect.paths, report),
    ...carrierDifferences(expect.carriers, report),
    ...suspectDifferences(expect.suspects, report),
    ...transferDifferences(expect.transfer, report),
    ...lifetimeDifferences(expect.lifetimes ?? [], report),
  ];
}

function transferDifferences(expected: Expectation['transfer'], { transfer }: Report): string[] {
  if (expected === undefined) return [];
  const got = transfer?.complete === true ? 'complete' : 'incomplete';
  const why =
    transfer?.error ?? `${String(transfer?.bytesReceived ?? 0)} of ${String(transfer?.bytesSent ?? 0)} bytes came`;
  return got === expected ? [] : [`the transfer is ${got}, expected ${expected}: ${why}`];
}

function lifetimeDifferences(expected: NonNullable<Expectation['lifetimes']>, { run }: Report): string[] {
  const ends = run.hosts.flatMap(({ role, interfaces }) => interfaces.map((on) => ({ role, ...on })));
  return expected.flatMap(({ label, ms }) => {
    const nats = ends
      .filter((end) => end.label === label)
      .flatMap(({ role, name, nat }) =>
        Object.entries(nat).map(([family, { lifetime }]) => ({ of: `${role} ${name} ${family}`, lifetime })),
      );
    if (nats.length === 0) return [`the report has no NAT of ${label}`];
    return nats.flatMap(({ of, lifetime }) => {
      const holds = lifetime !== undefined && lifetime.leastMs <= ms && ms <= (lifetime.mostMs ?? Infinity);
      return holds ? [] : [`${of}: its mappings live for ${spanOf(lifetime)}, expected ${String(ms / 1000)} s`];
    });
  });
}

function spanOf(lifetime: NatModel['lifetime']): string {
  if (lifetime === undefined) return 'an unknown time';
  const most = lifetime.mostMs === null ? '∞' : String(lifetime.mostMs / 1000);
  return `${String(lifetime.leastMs / 1000)} to ${most} s`;
}

/** Every family of a wanted pair counts, but those of which the scenario expects something else by their id. */
function outcomeDifferences(
  pair: { readonly client: string; readonly server: string },
  { outcomes, paths: others }: Expectation,
  report: Report,
): string[] {
  const isEnd = (end: PathReport['client'], name: string): boolean => end.interface === name || end.label === name;
  const paths = report.paths.filter(
    ({ id, client, server }) => isEnd(client, pair.client) && isEnd(server, pair.server) && !Object.hasOwn(others, id),
  );
  if (paths.length === 0) return [`the report has no path ${pair.client} <-> ${pair.server}`];
  return paths.flatMap((path) => {
    const all = outcomes.map((outcome) => outcomeDifference(outcome, path, report));
    if (all.some((list) => list.length === 0)) return [];
    // Of several outcomes the nearest is the one that people meant.
    const nearest = all.reduce((best, list) => (list.length < best.length ? list : best));
    return nearest.map((what) => `${path.id} ${what}`);
  });
}

function outcomeDifference(outcome: Outcome, path: PathReport, report: Report): string[] {
  const { state, cause, exit, arm, fields, directions = {}, says = [], advises = [], measures = [], icmp } = outcome;
  const list: string[] = [];
  const expect = (holds: boolean, sentence: string): void => {
    if (!holds) list.push(sentence);
  };
  const told = cause === undefined ? path.state : wordsOf(path);
  const asked = cause === undefined ? state : wordsOf({ state, cause });
  expect(told === asked, `is ${wordsOf(path)}, expected ${asked}: ${path.summary}`);
  const { code, reason } = report.exit;
  expect(code === exit, `goes with exit ${code}, expected ${exit}: ${reason}`);
  expect(arm === undefined || path.arm === arm, `came up with ${path.arm ?? 'no arm'}, expected ${arm ?? ''}`);
  expect(
    fields === undefined || setsOf(fields) === setsOf(path.fields),
    `has the fields ${JSON.stringify(path.fields)}, expected ${JSON.stringify(fields)}`,
  );
  for (const direction of ['up', 'down'] as const) {
    const wanted = directions[direction];
    const found = path[direction].state;
    expect(wanted === undefined || found === wanted, `is ${found} ${direction}, expected ${wanted ?? ''}`);
  }
  for (const text of says) expect(path.summary.includes(text), `does not say "${text}": ${path.summary}`);
  for (const text of advises)
    expect(
      report.advice.some((advice) => advice.includes(text)),
      `goes without the advice "${text}": ${report.advice.join('; ') || 'there is none'}`,
    );
  for (const { what, about, within } of measures) {
    const found = numberAt(path.findings, what);
    expect(
      found !== null && Math.abs(found - about) <= within,
      `measured ${what} as ${String(found)}, expected ${String(about)} ± ${String(within)}: ${path.summary}`,
    );
  }
  const isSame = (one: PathReport['icmp'][number]): boolean =>
    one.type === icmp?.type && one.code === icmp.code && (icmp.from === undefined || icmp.from === one.from);
  expect(
    icmp === undefined || path.icmp.some(isSame),
    `was told ${JSON.stringify(path.icmp)} by ICMP, expected ${JSON.stringify(icmp)}`,
  );
  return list;
}

/** `null` where there is no number. */
function numberAt(findings: object, way: string): number | null {
  let value: unknown = findings;
  for (const step of way.split('.')) {
    value = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[step] : undefined;
  }
  return typeof value === 'number' ? value : null;
}

function wordsOf({ state, cause }: { readonly state: string; readonly cause: string | null }): string {
  return cause === null ? state : `${state} / ${cause}`;
}

function setsOf(sets: readonly (readonly string[])[]): string {
  const each = sets.map((set) => [...set].sort().join());
  return each.sort().join(' ');
}

function pathDifferences(expected: Scenario['expect']['paths'], { paths }: Report): string[] {
  return Object.entries(expected).flatMap(([id, { state: states, cause }]) => {
    const path = paths.find((one) => one.id === id);
    if (!path) return [`the report has no path ${id}`];
    const isExpected = states.includes(path.state) && (cause === undefined || cause === path.cause);
    const wanted = `${states.join(' or ')}${cause === undefined ? '' : ` / ${cause ?? 'no cause'}`}`;
    return isExpected ? [] : [`${id} is ${wordsOf(path)}, expected ${wanted}: ${path.summary}`];
  });
}

function carrierDifferences(expected: Scenario['expect']['carriers'], { carriers }: Report): string[] {
  const matches = ({ label, family }: (typeof expected)[number], one: CarrierReport): boolean =>
    label === one.label && (family === null || family === one.family);
  const silent = expected
    .filter((wanted) => !carriers.some((one) => matches(wanted, one)))
    .map(({ label, family }) => `the report says nothing of ${label}${family === null ? '' : ` over ${family}`}`);
  const others = carriers.flatMap((one) => {
    const { label, family, verdict, because } = one;
    const told = `${label} is ${verdict} over ${family}: ${because.join('; ')}`;
    const wanted = expected.find((candidate) => matches(candidate, one));
    if (!wanted) return ACCUSATIONS.has(verdict) ? [`accused without being expected to: ${told}`] : [];
    return wanted.verdict === verdict ? [] : [`expected ${wanted.verdict}: ${told}`];
  });
  return [...silent, ...others];
}

/** Each of them is inconclusive, and told to be one of these, of which at least one is closed. */
function suspectDifferences(suspects: readonly string[], { carriers }: Report): string[] {
  const all = [...suspects].sort().join(', ');
  return suspects.flatMap((suspect) => {
    const own = carriers.filter(({ label }) => label === suspect);
    if (own.length === 0) return [`the report says nothing of ${suspect}`];
    const isSuspected = own.some(
      ({ verdict, remaining }) => verdict === 'inconclusive' && remaining.some((sentence) => namesIn(sentence) === all),
    );
    const told = own.map(({ verdict, remaining }) => `${verdict} (${remaining.join('; ') || 'nothing remains'})`);
    return isSuspected ? [] : [`${suspect} should be at least one of {${all}}: it is ${told.join(', ')}`];
  });
}

/** `at least one of {o2, telekom}: …` → `o2, telekom`. */
function namesIn(sentence: string): string {
  const names = /^at least \w+ of \{([^}]*)\}/.exec(sentence)?.[1] ?? '';
  return names.split(', ').sort().join(', ');
}
