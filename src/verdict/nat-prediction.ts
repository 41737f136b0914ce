import { inPrefix } from '../base/address.js';
import type { Filtering, Mapping, NatModel } from './words.js';

export type Prediction = 'success' | 'failure' | 'uncertain' | 'unknown';

/** A NAT without its unknowns. */
export interface KnownNat {
  readonly mapping: Exclude<Mapping, 'unknown'>;
  readonly filtering: Exclude<Filtering, 'unknown'>;
}

/**
 * RFC 4787 leaves open what a NAT does with the reply to a packet that it let in unasked: it may leave by the mapping
 * that the packet came in by (a session was opened), or by one of its own. NATs differ: a prediction holds under both.
 */
const REPLY_REUSES_MAPPING: readonly boolean[] = [false, true];

/** Mappings beyond this many on one side lead to nothing new: each would only call forth the next. */
const MAPPINGS_MAX = 4;

/**
 * Whether two NATs as measured let a simultaneous punch through: both ends send to the address that the other learned
 * from the reference, and answer to whatever source they see (peer-reflexive).
 *
 * `unknown`: a model is missing or incomplete. The spoil test belongs to it where a punch would succeed, but for an end
 * without translation: what fails anyway no early packet can spoil. `uncertain`: it depends on how the NAT reads RFC 4787, on whether the
 * NAT that both ends are behind hairpins, or an early packet may spoil a mapping.
 */
export function predict(left: NatModel | null, right: NatModel | null): Prediction {
  const a = left && known(left);
  const b = right && known(right);
  if (!left || !right || !a || !b) return 'unknown';
  const outcome = predictKnown(a, b);
  if (outcome === 'failure') return outcome;
  const shared = sharedNat(left, right);
  if (shared && shared.hairpins !== 'yes') return shared.hairpins === 'no' && shared.sure ? 'failure' : 'uncertain';
  if (!spoilTested(left) || !spoilTested(right)) return 'unknown';
  return outcome === 'success' && (isSpoiled(left) || isSpoiled(right)) ? 'uncertain' : outcome;
}

/**
 * A NAT behind which (or before which) ports are filtered, as far as it matters whether peers can be reached. What the
 * reference's other port would have told stays unknown; the strictest filtering stands for it, since a punch opens that
 * as well. And no early packet comes in to spoil a mapping where the filter lets none in; where it lets none out, the
 * mapping is not what keeps packets from arriving. What was measured stands, a spoiled mapping too.
 */
export function withoutOtherPorts(nat: NatModel): NatModel {
  return {
    ...nat,
    filtering: nat.filtering === 'unknown' ? 'apdf' : nat.filtering,
    spoil: nat.spoil ?? { n: 1, k: 0 },
  };
}

/** A NAT that both ends are behind: a punch then needs it to hairpin (RFC 4787 §6). */
export interface SharedNat {
  /** Its address, or the network that both ends' addresses are of. */
  readonly address: string;
  /** Whether both were seen at one address; else they may be customers of one carrier's pool. */
  readonly sure: boolean;
  readonly hairpins: 'yes' | 'no' | 'not measured';
}

/** Of one carrier's pool, where nothing better is known. */
const POOL_PREFIX = 24;

/** `null`: they are not known to share one, nor are they both behind a carrier's NAT whose pools may be one. */
export function sharedNat(left: NatModel | null, right: NatModel | null): SharedNat | null {
  if (!left?.reflexive || !right?.reflexive || left.mapping === 'none' || right.mapping === 'none') return null;
  const common = outsideOf(left).find((address) => outsideOf(right).includes(address));
  const [a, b] = [left.reflexive.address, right.reflexive.address];
  const mayShare =
    [left, right].every(({ carrierGrade = [] }) => carrierGrade.length > 0) && inPrefix(a, b, POOL_PREFIX);
  if (common === undefined && !(mayShare && !a.includes(':'))) return null;
  const tested = [left.hairpin, right.hairpin];
  const hairpins = tested.every((one) => one === 'external') ? 'yes' : tested.includes('none') ? 'no' : 'not measured';
  const network = `${a.replace(/\.\d+$/, '.0')}/${POOL_PREFIX}`;
  return { address: common ?? network, sure: common !== undefined, hairpins };
}

function outsideOf({ reflexive, outside = [] }: NatModel): string[] {
  return [...(reflexive ? [reflexive.address] : []), ...outside];
}

/** For people: what the shared NAT has to do with it. */
export function sharedNatWords({ address, sure, hairpins }: SharedNat): string {
  const behind = sure ? `both are behind one NAT (${address})` : `both may be behind one carrier's NAT (${address})`;
  switch (hairpins) {
    case 'yes':
      return `${behind}, which turns their packets back inside (hairpin)`;
    case 'no':
      return `${behind}, which does not turn their packets back inside (hairpin)`;
    case 'not measured':
      return `${behind}, and whether it turns their packets back inside (hairpin) was not measured`;
  }
}

/** Whether an early packet moves the mappings of this end (verdicts.md, spoil test). */
export function isSpoiled(nat: NatModel | null): boolean {
  return nat !== null && nat.mapping !== 'none' && (nat.spoil?.k ?? 0) > 0;
}

/** Whether it is known that no early packet moves the mappings of this end. */
export function isSteady(nat: NatModel | null): boolean {
  return nat !== null && spoilTested(nat) && !isSpoiled(nat);
}

/**
 * Whether low-TTL openers can help: nothing but early packets is in the way of a punch, and every end whose mappings
 * they move knows the TTL of its opener.
 */
export function openersHelp(left: NatModel | null, right: NatModel | null): boolean {
  const a = left && known(left);
  const b = right && known(right);
  if (!left || !right || !a || !b || predictKnown(a, b) === 'failure') return false;
  const shared = sharedNat(left, right);
  if ((shared && shared.hairpins !== 'yes') || !spoilTested(left) || !spoilTested(right)) return false;
  const spoiled = [left, right].filter(isSpoiled);
  return spoiled.length > 0 && spoiled.every(({ opener }) => opener !== undefined);
}

function spoilTested(nat: NatModel): boolean {
  return nat.mapping === 'none' || (nat.spoil !== null && nat.spoil.n > 0);
}

function known({ mapping, filtering }: NatModel): KnownNat | null {
  return mapping === 'unknown' || filtering === 'unknown' ? null : { mapping, filtering };
}

export function predictKnown(a: KnownNat, b: KnownNat): 'success' | 'failure' | 'uncertain' {
  const outcomes = REPLY_REUSES_MAPPING.map((reuses) => punches(a, b, reuses));
  if (outcomes.every(Boolean)) return 'success';
  return outcomes.some(Boolean) ? 'uncertain' : 'failure';
}

/** A port on the outside of a NAT; 0 is the one that the reference saw. */
type Port = number;
const ADVERTISED: Port = 0;

class Side {
  readonly #nat: KnownNat;
  readonly #replyReusesMapping: boolean;
  /** Destination (a port of the far NAT, or any of them) → the outside port of its mapping. */
  readonly #mappings = new Map<string, Port>();
  /** The far port of a packet that was let in → the own port that it came to. */
  readonly #sessions = new Map<Port, Port>();
  /** The far ports that were sent to, by the outside port that they were sent from. */
  readonly #sent = new Map<Port, Set<Port>>();
  /** The far ports to send to: the advertised one, and every source seen. */
  readonly targets = new Set<Port>([ADVERTISED]);
  /** `own port:far port` of every packet let in. */
  readonly heard = new Set<string>();

  constructor(nat: KnownNat, replyReusesMapping: boolean) {
    this.#nat = nat;
    this.#replyReusesMapping = replyReusesMapping;
  }

  /** Sends to every target: opens the filter for each, and returns the flows (own port, far port). */
  send(): { readonly own: Port; readonly far: Port }[] {
    return [...this.targets].flatMap((far) => {
      const own = this.#leavesFrom(far);
      if (own === null) return [];
      this.#sent.set(own, (this.#sent.get(own) ?? new Set<Port>()).add(far));
      return [{ own, far }];
    });
  }

  receive(own: Port, far: Port): void {
    if (!this.#letsIn(own, far)) return;
    this.heard.add(`${own}:${far}`);
    this.targets.add(far);
    if (!this.#sessions.has(far)) this.#sessions.set(far, own);
  }

  /** `null` when the search has gone far enough. */
  #leavesFrom(far: Port): Port | null {
    if (this.#nat.mapping === 'none' || this.#nat.mapping === 'eim') return ADVERTISED;
    const key = this.#nat.mapping === 'adm' ? 'any' : String(far);
    const mapped = this.#mappings.get(key);
    if (mapped !== undefined) return mapped;
    const session = this.#sessions.get(far);
    if (session !== undefined && this.#replyReusesMapping) return session;
    if (this.#mappings.size === MAPPINGS_MAX) return null;
    const fresh = ADVERTISED + 1 + this.#mappings.size;
    this.#mappings.set(key, fresh);
    return fresh;
  }

  /** RFC 4787 §5, asked of the mapping: one that only sent elsewhere lets nobody else in. */
  #letsIn(own: Port, far: Port): boolean {
    if (this.#nat.filtering === 'eif') return true;
    const reached = this.#sent.get(own);
    return reached !== undefined && (this.#nat.filtering === 'adf' || reached.has(far));
  }
}

/** Both sides send until nothing new is learned; then: is there a flow that passes both ways? */
function punches(a: KnownNat, b: KnownNat, replyReusesMapping: boolean): boolean {
  const left = new Side(a, replyReusesMapping);
  const right = new Side(b, replyReusesMapping);
  const known = (): number => left.targets.size + right.targets.size + left.heard.size + right.heard.size;
  for (let before = 0; before < known();) {
    before = known();
    // Both have sent before either packet arrives; from then on the order no longer matters.
    const fromLeft = left.send();
    const fromRight = right.send();
    for (const { own, far } of fromLeft) right.receive(far, own);
    for (const { own, far } of fromRight) left.receive(far, own);
  }
  return [...left.heard].some((flow) => right.heard.has(flow.split(':').reverse().join(':')));
}
