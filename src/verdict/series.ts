import type { Family } from '../base/address.js';
import { CONTROL_ARM } from '../mutation/names.js';
import { hasCarrier, judgeCarriers } from './carriers.js';
import { type Accusation, accusations, Clearances } from './clearing.js';
import { pathEvidence, referencesOf } from './evidence.js';
import type { EndObservation, RunObservation } from './observation.js';
import { judgePath, type PathVerdict } from './path.js';
import type { CarrierReport } from './report.js';
import type {
  SeriesCarrier,
  SeriesContent,
  SeriesEnd,
  SeriesPair,
  SeriesReport,
  SeriesRun,
  SeriesRunInput,
} from './series-report.js';
import { atLeast, type SuspectGroup, suspectGroups } from './suspects.js';
import type { CarrierVerdict, PathState } from './words.js';

/** What proves nothing about a wanted path (verdicts.md, "Exit codes"): the run is left out of the series. */
const PROVES_NOTHING: ReadonlySet<PathState> = new Set([
  'not-gathered',
  'unprobed',
  'misrouted',
  'superseded',
  'inconclusive',
]);
/** Said of one run by itself, and not for lack of another end to compare with. */
const PROVEN_ALONE: readonly CarrierVerdict[] = ['blocks-udp', 'blocks-peer-udp', 'filters-stun', 'filters-ports'];

interface JudgedRun {
  readonly name: string;
  readonly run: RunObservation;
  readonly paths: readonly PathVerdict[];
  readonly wanted: readonly PathVerdict[];
  readonly carriers: readonly CarrierReport[];
  readonly excluded: string | null;
}

/**
 * Several runs → what they say together. An end is (label, family) here: two runs over the same label are taken for the
 * same carrier, and whoever is cleared in one is cleared for all (verdicts.md, "The clearing rule").
 */
export function judgeSeries(inputs: readonly SeriesRunInput[]): SeriesReport {
  const runs = inputs.map(judgeOne);
  const valid = runs.filter(({ excluded }) => excluded === null);
  const ends = new Ends();
  const clearances = new Clearances((end) => ends.of(end).name);
  for (const { name, run, paths } of valid) clearances.add(run, paths, `${name}: `);
  const all = valid.flatMap(({ name, run, paths }) =>
    accusations(run, paths, clearances).map((accusation) => ({ ...accusation, run: name })),
  );
  const proven = all.filter(({ suspects }) => suspects.length === 1);
  const isProven = (end: SeriesEnd, kind: Accusation['kind']): boolean =>
    proven.some((one) => one.kind === kind && one.suspects.some((suspect) => ends.of(suspect) === end));
  const open = all.filter(
    ({ kind, suspects }) => suspects.length > 1 && !suspects.some((suspect) => isProven(ends.of(suspect), kind)),
  );
  const groups = suspectGroups(open.map(({ suspects }) => suspects.map((end) => ends.of(end))));
  for (const { run } of runs) for (const end of run.ends.filter(hasCarrier)) ends.of(end);

  return {
    schema: 'icepath.series/1',
    runs: runs.map(seriesRun),
    pairs: pairsOf(runs),
    content: contentOf(valid),
    carriers: ends.all.map((end) => judgeEnd(end, valid, proven, groups, ends)),
    suspects: groups.map(({ members, fewest }) => atLeast(fewest, namesOf(members))),
    next: groups.map(nextRun),
  };
}

function judgeOne({ name, observation: run }: SeriesRunInput): JudgedRun {
  const references = referencesOf(run);
  const paths = run.paths.map((path) => judgePath(pathEvidence(run, path, references)));
  const wanted = paths.filter(({ evidence }) => evidence.path.wanted);
  return { name, run, paths, wanted, carriers: judgeCarriers(run, paths, references), excluded: exclusion(wanted) };
}

function exclusion(wanted: readonly PathVerdict[]): string | null {
  if (wanted.some(({ state }) => !PROVES_NOTHING.has(state))) return null;
  const [first] = wanted;
  if (!first) return 'it has no wanted path';
  const cause = first.cause === null ? '' : ` (${first.cause})`;
  return `${first.state}${cause}: ${first.why}`;
}

/** Ends by label and family, in the order in which they appear. */
class Ends {
  readonly #ends = new Map<string, SeriesEnd>();

  get all(): readonly SeriesEnd[] {
    return [...this.#ends.values()];
  }

  of({ label, interface: on, kind, family }: EndObservation): SeriesEnd {
    const name = `${label === '' ? on : label}|${family}`;
    const end = this.#ends.get(name) ?? { name, label: label === '' ? on : label, family, kind };
    this.#ends.set(name, end);
    return end;
  }
}

function seriesRun({ name, run, wanted, excluded }: JudgedRun): SeriesRun {
  return {
    name,
    id: run.id,
    started: run.started,
    label: run.label,
    arms: run.arms.filter((arm) => arm !== CONTROL_ARM),
    wanted: wanted.map(({ evidence: { path }, state, cause }) => ({
      id: path.id,
      pair: pairName(path),
      family: path.family,
      state,
      cause,
    })),
    excluded,
  };
}

function pairName({ client, server }: PathVerdict['evidence']['path']): string {
  return `${client.label || client.interface} ↔ ${server.label || server.interface}`;
}

/** Every wanted pair with how often it was tried and what came of it: repeats that agree are the confidence. */
function pairsOf(runs: readonly JudgedRun[]): SeriesPair[] {
  const pairs = new Map<string, { -readonly [Key in keyof SeriesPair]: SeriesPair[Key] }>();
  for (const { run, wanted, excluded } of runs) {
    for (const { evidence, state, cause } of wanted) {
      const { path } = evidence;
      const name = pairName(path);
      const pair = pairs.get(`${name}|${path.family}`) ?? {
        pair: name,
        family: path.family,
        runs: 0,
        valid: 0,
        outcomes: [],
        arms: [],
      };
      pairs.set(`${name}|${path.family}`, pair);
      pair.runs += 1;
      if (excluded !== null) continue;
      pair.valid += 1;
      const same = pair.outcomes.find((one) => one.state === state && one.cause === cause);
      pair.outcomes = same
        ? pair.outcomes.map((one) => (one === same ? { ...one, runs: one.runs + 1 } : one))
        : [...pair.outcomes, { state, cause, runs: 1 }];
      pair.arms = [...new Set([...pair.arms, ...run.arms])];
    }
  }
  return [...pairs.values()];
}

/** Whether what was in the packets made a difference, over all runs that were closed to peers or filtered. */
function contentOf(valid: readonly JudgedRun[]): SeriesContent[] {
  return (['ipv4', 'ipv6'] as const).flatMap((family): SeriesContent[] => {
    const wanted = valid.flatMap(({ run, wanted: paths }) =>
      paths.filter(({ evidence }) => evidence.path.family === family).map((path) => ({ run, path })),
    );
    const filtered = wanted.filter(({ path }) => path.cause === 'stun-filtered');
    const closed = wanted.filter(({ path }) => path.cause === 'peer-udp-blocked' || path.cause === 'udp-blocked');
    if (filtered.length > 0) {
      const fields = [...new Set(filtered.map(({ path }) => JSON.stringify(path.fields)))];
      return [
        {
          family,
          verdict: 'dependent',
          because: `${runsWord(filtered.length)} passed once the header was changed: ${fields.join(', ')}`,
        },
      ];
    }
    if (closed.length === 0) return [];
    const arms = [...new Set(closed.flatMap(({ run }) => run.arms))];
    return [
      {
        family,
        verdict: 'independent',
        because: `${arms.join(', ')} all died, in ${runsWord(closed.length)}: what is in the packets makes no difference`,
      },
    ];
  });
}

type Proof = Accusation & { readonly run: string };

function judgeEnd(
  end: SeriesEnd,
  valid: readonly JudgedRun[],
  proven: readonly Proof[],
  groups: readonly SuspectGroup<SeriesEnd>[],
  ends: Ends,
): SeriesCarrier {
  const own = valid.flatMap(({ name, run, carriers }) =>
    carriers
      .filter(({ host, interface: on, family }) =>
        run.ends.some(
          (one) => one.host === host && one.interface === on && one.family === family && ends.of(one) === end,
        ),
      )
      .map((carrier) => ({ name, run, carrier })),
  );
  const runs = new Set(own.map(({ run }) => run)).size;
  const say = (
    verdict: CarrierVerdict,
    because: readonly string[],
    remaining: readonly string[] = [],
  ): SeriesCarrier => {
    const { label, family } = end;
    return { label, family, verdict, because: [...new Set(because)], remaining, runs };
  };
  const against = proven.filter(({ suspects }) => suspects.some((suspect) => ends.of(suspect) === end));
  const proofs: (readonly [CarrierVerdict, string])[] = [
    ...own
      .filter(({ carrier }) => PROVEN_ALONE.includes(carrier.verdict))
      .map(({ name, carrier }) => [carrier.verdict, `${name}: ${carrier.because.join('; ')}`] as const),
    ...against.map(
      ({ kind, run, because }) => [kind === 'udp' ? 'blocks-peer-udp' : 'filters-stun', `${run}: ${because}`] as const,
    ),
  ];
  const openIn = own.filter(({ carrier }) => carrier.verdict === 'open');
  const worst = PROVEN_ALONE.find((verdict) => proofs.some(([said]) => said === verdict));
  if (worst !== undefined) {
    const because = proofs.filter(([said]) => said === worst).map(([, text]) => text);
    if (openIn.length === 0 || worst === 'filters-stun') return say(worst, because);
    return say('inconclusive', because, [
      `it was open in ${openIn.map(({ name }) => name).join(', ')}: it changed, or the label stands for two networks`,
    ]);
  }
  const group = groups.find(({ members }) => members.includes(end));
  if (group) {
    const because = own.flatMap(({ name, carrier }) => carrier.because.map((text) => `${name}: ${text}`));
    return say('inconclusive', because, [atLeast(group.fewest, namesOf(group.members)), nextRun(group)]);
  }
  const nat = own.filter(({ carrier }) => carrier.verdict === 'nat-incompatible');
  if (nat.length > 0)
    return say(
      'nat-incompatible',
      nat.flatMap(({ carrier }) => carrier.because),
    );
  if (openIn.length > 0) {
    return say(
      'open',
      openIn.map(({ name, carrier }) => `${name}: ${carrier.because.join('; ')}`),
    );
  }
  const nothing = own.length === 0 ? ['no valid run went through it'] : own.flatMap(({ carrier }) => carrier.because);
  return say('inconclusive', nothing);
}

/** Sorted; with the family where a label has both. */
function namesOf(members: readonly SeriesEnd[]): string[] {
  return members
    .map(({ label, family }) => {
      const unique = members.filter((other) => other.label === label).length === 1;
      return unique ? label : `${label} ${familyName(family)}`;
    })
    .sort();
}

function familyName(family: Family): string {
  return family === 'ipv4' ? 'IPv4' : 'IPv6';
}

/**
 * The run that separates most: whoever is least likely to be closed. Cleared, it convicts every end that it is paired
 * with; one that is found closed leaves the others as they are.
 */
function nextRun({ members }: SuspectGroup<SeriesEnd>): string {
  const likelihood = ({ kind }: SeriesEnd): number => (kind === 'wifi' || kind === 'ethernet' ? 0 : 1);
  const [first] = [...members].sort((a, b) => likelihood(a) - likelihood(b) || a.label.localeCompare(b.label));
  return `${first?.label ?? ''} ↔ a peer that is already cleared (a host with a public address, say): if it comes up, whoever is paired with ${first?.label ?? 'it'} here is convicted`;
}

function runsWord(count: number): string {
  return count === 1 ? 'one run' : `${count} runs`;
}
