import { isRewrittenAt } from './altered.js';
import { type Accusation, accusations, Clearances, crossesPublicNetwork, filterStunToReference } from './clearing.js';
import { nameOf, type References } from './evidence.js';
import { isSpoiled } from './nat-prediction.js';
import type { EndObservation, RunObservation } from './observation.js';
import type { PathVerdict } from './path.js';
import type { PortFilter } from './ports.js';
import type { CarrierReport } from './report.js';
import { atLeast, suspectGroups } from './suspects.js';
import type { CarrierVerdict } from './words.js';

/** What is said of each end's carrier. An Ethernet end has one only where it reaches the reference by itself. */
export function judgeCarriers(
  run: RunObservation,
  paths: readonly PathVerdict[],
  references: References,
): CarrierReport[] {
  const cases = new Cases(run, paths, references);
  return run.ends.filter(hasCarrier).map((end) => {
    const own = paths.filter((path) => path.evidence.ends[end.host] === end);
    return {
      host: end.host,
      interface: end.interface,
      label: end.label,
      family: end.family,
      runs: 1,
      ...judgeCarrier(run, end, own, cases),
    };
  });
}

/** All accusations of a run, sorted into proven ones and those that still have two suspects. */
class Cases {
  readonly #proven: readonly {
    readonly kind: Accusation['kind'];
    readonly end: EndObservation;
    readonly because: string;
  }[];
  readonly open: readonly Accusation[];
  readonly unexplained: readonly Accusation[];

  readonly #references: References;

  constructor(run: RunObservation, paths: readonly PathVerdict[], references: References) {
    this.#references = references;
    const all = accusations(run, paths, new Clearances().add(run, paths));
    const single = all.flatMap(({ kind, suspects, because }) =>
      suspects.length === 1 ? suspects.map((end) => ({ kind, end, because })) : [],
    );
    // STUN that is rewritten on the way to a reference is none that it knows, and its silence no sign of a filter.
    const silenced = filterStunToReference(references).filter((end) => !isRewrittenAt(end, run.paths));
    const byReference = silenced.map((end) => ({
      kind: 'stun' as const,
      end,
      because: "plain STUN dies on the way to the reference, where the control and another end's STUN arrive",
    }));
    this.#proven = [...single, ...byReference];
    // Where one suspect is convicted the way is explained, and proves nothing about the other.
    this.open = all.filter(
      ({ kind, suspects }) => suspects.length > 1 && !suspects.some((end) => this.against(end, kind).length > 0),
    );
    this.unexplained = all.filter(({ suspects }) => suspects.length === 0);
  }

  ports(end: EndObservation): PortFilter | null {
    return this.#references.get(end)?.ports ?? null;
  }

  against(end: EndObservation, kind: Accusation['kind']): string[] {
    return this.#proven.filter((one) => one.kind === kind && one.end === end).map(({ because }) => because);
  }
}

export function hasCarrier({ kind, nat }: EndObservation): boolean {
  return (kind !== 'ethernet' && kind !== 'loopback') || (nat?.reflexive ?? null) !== null;
}

type Judgement = Pick<CarrierReport, 'verdict' | 'because' | 'remaining'>;

function judgeCarrier(
  run: RunObservation,
  end: EndObservation,
  paths: readonly PathVerdict[],
  cases: Cases,
): Judgement {
  const cutOff = paths.find(({ udpBlocked }) => udpBlocked.includes(end.host));
  if (cutOff) return say('blocks-udp', [cutOff.why]);
  const ports = cases.ports(end);
  if (ports) return say('filters-ports', [ports.why]);
  const udp = cases.against(end, 'udp');
  if (udp.length > 0) return say('blocks-peer-udp', udp);
  const stun = cases.against(end, 'stun');
  if (stun.length > 0) return say('filters-stun', stun);

  const open = cases.open.filter(({ suspects }) => suspects.includes(end));
  if (open.length > 0) {
    return say('inconclusive', [...new Set(open.map(({ because }) => because))], remainingOf(end, cases.open));
  }
  // One path that happened to come up in time does not make a NAT fit that failed another.
  const nat = natTrouble(end, paths);
  if (nat) return say('nat-incompatible', [nat]);
  const up = paths.filter(({ state, evidence }) => state === 'established' && crossesPublicNetwork(run, evidence));
  if (up.length > 0) {
    const unexplained = cases.unexplained.filter(({ path }) => paths.includes(path)).map(({ because }) => because);
    return say('open', [`established: ${up.map(({ evidence }) => evidence.path.id).join(', ')}`, ...unexplained]);
  }
  return say('inconclusive', whyInconclusive(end, paths));
}

function say(verdict: CarrierVerdict, because: readonly string[], remaining: readonly string[] = []): Judgement {
  return { verdict, because, remaining };
}

/** Its own NAT, and not the far one's, is what keeps the punch from working. */
function natTrouble(end: EndObservation, paths: readonly PathVerdict[]): string | null {
  const { nat } = end;
  const failed = paths.find(({ state, cause }) => state === 'failed' && cause === 'nat-incompatible');
  if (!failed || !nat) return null;
  const { id } = failed.evidence.path;
  if (nat.mapping === 'adm' || nat.mapping === 'apdm') {
    return `${id} failed, and this NAT maps every destination anew (${nat.mapping}): peers are told a port that it does not use`;
  }
  return isSpoiled(nat) ? `${id} failed, and an early packet moves this NAT's mapping` : null;
}

function whyInconclusive(end: EndObservation, paths: readonly PathVerdict[]): string[] {
  if (end.notGathered) return [`${end.interface} was not gathered: ${end.notGathered}`];
  if (paths.some(({ state }) => state === 'established')) {
    return ['the paths of it that work do not cross the public network: they say nothing of a carrier'];
  }
  const telling = paths.filter(({ evidence }) => evidence.path.wanted);
  return (telling.length > 0 ? telling : paths).map(
    ({ evidence, state, cause }) => `${evidence.path.id} is ${state}${cause ? ` (${cause})` : ''}`,
  );
}

/** Of the ends that hang together through closed ways, how many at least must be closed, and what would separate them. */
function remainingOf(end: EndObservation, all: readonly Accusation[]): string[] {
  return (['udp', 'stun'] as const).flatMap((kind) => {
    const edges = all.filter((one) => one.kind === kind && one.suspects.length === 2).map(({ suspects }) => suspects);
    const group = suspectGroups(edges).find(({ members }) => members.includes(end));
    if (!group) return [];
    const members = [...group.members].sort(
      (a, b) => a.host.localeCompare(b.host) || a.interface.localeCompare(b.interface),
    );
    const names = labels(members);
    const word = kind === 'udp' ? '' : ' filters STUN';
    return [
      `${atLeast(group.fewest, names)}${word}: run ${names.join(', then ')} against a peer that is already cleared`,
    ];
  });
}

/** The label alone, where it names one end of the group only. */
function labels(group: readonly EndObservation[]): string[] {
  return group.map((end) => {
    const unique = group.filter(({ label }) => label === end.label).length === 1;
    return unique ? end.label : `${end.host} ${nameOf(end)}`;
  });
}
