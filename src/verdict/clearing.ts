import { inPrefix, scopeOf } from '../base/address.js';
import { PLAIN_ARM } from '../mutation/names.js';
import { flowTest } from './arm-flows.js';
import { armOf, type DirectionEvidence } from './direction.js';
import type { PathEvidence, References } from './evidence.js';
import { senderSide } from './icmp.js';
import { endFamily, type EndObservation, type RunObservation } from './observation.js';
import type { PathVerdict } from './path.js';
import { stunFilteredIn } from './stun-filter.js';
import { ROLES } from './words.js';

/** Fewer control packets than this say nothing; the checks of an established path then stand for them. */
const CONTROL_MIN = 8;

/** A way that is closed to a kind of packet, and the ends that may be in it. */
export interface Accusation {
  readonly kind: 'udp' | 'stun';
  readonly path: PathVerdict;
  readonly direction: DirectionEvidence;
  /** Who it falls on: one end, or two of which at least one. Empty where both are cleared: neither alone explains it. */
  readonly suspects: readonly EndObservation[];
  readonly because: string;
}

type Heading = 'out' | 'in';

/** Which ends let which kind of packet pass which way, across the public network (verdicts.md, "The clearing rule"). */
export class Clearances {
  readonly #cleared = new Map<string, string>();
  readonly #nameOf: (end: EndObservation) => string;

  /** `nameOf`: what makes two ends the same; within a run their host, interface and family. */
  constructor(nameOf: (end: EndObservation) => string = endInRun) {
    this.#nameOf = nameOf;
  }

  /** Takes what a run's paths cleared; `where` stands before their names. */
  add(run: RunObservation, verdicts: readonly PathVerdict[], where = ''): this {
    for (const { evidence, state } of verdicts) {
      if (state === 'misrouted' || !crossesPublicNetwork(run, evidence)) continue;
      for (const direction of [evidence.up, evidence.down]) {
        if (udpPasses(evidence, direction)) this.#clear(evidence, direction, 'udp', where);
        if (armOf(direction, PLAIN_ARM)?.outcome === 'passes') this.#clear(evidence, direction, 'stun', where);
      }
    }
    return this;
  }

  /** The path that cleared this end; `undefined` where none did. */
  of(end: EndObservation, kind: Accusation['kind'], heading: Heading): string | undefined {
    return this.#cleared.get(this.#key(end, kind, heading));
  }

  #clear({ ends, path }: PathEvidence, { from, to }: DirectionEvidence, kind: Accusation['kind'], where: string): void {
    for (const [end, heading] of [[ends[from], 'out'] as const, [ends[to], 'in'] as const]) {
      if (end && !this.of(end, kind, heading)) this.#cleared.set(this.#key(end, kind, heading), where + path.id);
    }
  }

  #key(end: EndObservation, kind: Accusation['kind'], heading: Heading): string {
    return `${this.#nameOf(end)}|${kind}|${heading}`;
  }
}

/** Every closed way and whom it falls on. */
export function accusations(
  run: RunObservation,
  verdicts: readonly PathVerdict[],
  clearances: Clearances,
): Accusation[] {
  return verdicts.flatMap((path) => {
    const { up, down } = path.evidence;
    if (path.state === 'misrouted') return [];
    return [up, down].flatMap((direction) => {
      const found: Accusation[] = [];
      if (isClosedToUdp(path, direction)) found.push(accuse(path, direction, 'udp', clearances));
      if (stunFilteredIn(path.evidence).includes(direction) && crossesPublicNetwork(run, path.evidence)) {
        found.push(accuse(path, direction, 'stun', clearances));
      }
      return found;
    });
  });
}

function isClosedToUdp({ state, cause, directions }: PathVerdict, { direction }: DirectionEvidence): boolean {
  if (directions[direction] !== 'closed') return false;
  if (state === 'rejected') return true;
  return (state === 'one-way' || state === 'blocked') && cause === 'peer-udp-blocked';
}

function accuse(
  verdict: PathVerdict,
  direction: DirectionEvidence,
  kind: Accusation['kind'],
  clearances: Clearances,
): Accusation {
  const { ends, path } = verdict.evidence;
  const base = { kind, path: verdict, direction };
  const what =
    kind === 'udp' ? `${path.id} ${direction.direction} is closed` : `${path.id} ${direction.direction} filters STUN`;
  const located = kind === 'udp' ? locate(verdict, direction) : null;
  if (located) return { ...base, suspects: [located.end], because: `${what}: ${located.because}` };

  const sender = ends[direction.from];
  const receiver = ends[direction.to];
  if (!sender || !receiver) return { ...base, suspects: [], because: what };
  const both = [sender, receiver];
  const clearedBy = (end: EndObservation): string | undefined =>
    clearances.of(end, kind, end === sender ? 'out' : 'in');
  const suspects = both.filter((end) => clearedBy(end) === undefined);
  const clearing = both.map(clearedBy).find((id) => id !== undefined);
  const because =
    suspects.length === 1 && clearing !== undefined
      ? `${what}, and its other end is cleared by ${clearing}`
      : suspects.length === 0
        ? `${what} although both ends are cleared: neither alone explains it`
        : what;
  return { ...base, suspects, because };
}

/** An ICMP reject whose sender's address tells whose network it came from. */
function locate(
  { evidence, refusals }: PathVerdict,
  direction: DirectionEvidence,
): { readonly end: EndObservation; readonly because: string } | null {
  for (const icmp of refusals) {
    if (icmp.host !== direction.from) continue;
    const side = senderSide(evidence, icmp);
    const end = side && evidence.ends[side];
    if (end) return { end, because: `the reject came from ${icmp.from}, inside its network` };
  }
  return null;
}

function udpPasses({ path }: PathEvidence, { control, controlPasses }: DirectionEvidence): boolean {
  return controlPasses || (path.valid !== null && control.sent < CONTROL_MIN);
}

/**
 * The ends whose STUN dies on the way to the reference, on more flows than die by chance, though the control passes and
 * another end's STUN is answered.
 */
export function filterStunToReference(references: References): EndObservation[] {
  const fares = [...references].map(([end, { arms, own }]) => {
    const outcome = arms.find(({ arm }) => arm === PLAIN_ARM)?.outcome;
    return { end, outcome, fails: outcome === 'fails' && flowTest(end.reference, own).proves };
  });
  const answered = new Set(fares.filter(({ outcome }) => outcome === 'passes').map(({ end }) => end.family));
  return fares.filter(({ end, fails }) => fails && answered.has(end.family)).map(({ end }) => end);
}

/**
 * A pair on private addresses, on one wire, or behind one NAT has never left the house and says nothing of carriers.
 */
export function crossesPublicNetwork(run: RunObservation, { path, ends }: PathEvidence): boolean {
  const publicAddresses = ROLES.map((host) => {
    const own = path[host].candidate?.address;
    const reflexive = ends[host]?.nat?.reflexive?.address;
    return [own, reflexive].find((address) => address !== undefined && isGlobal(address));
  });
  const candidates = ROLES.map((host) => path[host].candidate?.address);
  if (!candidates.some((address) => address !== undefined && isGlobal(address))) return false;
  const [client, server] = publicAddresses;
  return (client === undefined || client !== server) && !shareWire(run, path);
}

function isGlobal(address: string): boolean {
  try {
    return scopeOf(address) === 'global';
  } catch {
    return false;
  }
}

function shareWire({ hosts }: RunObservation, path: PathEvidence['path']): boolean {
  const addressesOf = (role: (typeof ROLES)[number]): { address: string; prefixLength: number; family: string }[] =>
    hosts
      .filter((host) => host.role === role)
      .flatMap(({ interfaces }) => interfaces.filter(({ name }) => name === path[role].interface))
      .flatMap(({ addresses }) => addresses.filter(({ family }) => family === endFamily(path)));
  return addressesOf('client').some((near) =>
    addressesOf('server').some(
      (far) => isGlobal(near.address) && inPrefix(far.address, near.address, near.prefixLength),
    ),
  );
}

function endInRun({ host, interface: name, family }: EndObservation): string {
  return `${host}|${name}|${family}`;
}
