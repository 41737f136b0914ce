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
  if (sharedNat(left, right) !== null) return 'uncertain';
  if (!spoilTested(left) || !spoilTested(right)) return 'unknown';
  return outcome === 'success' && (isSpoiled(left) || isSpoiled(right)) ? 'uncertain' : outcome;
}

/**
 * The public address of a NAT that both ends are behind: a punch then needs it to hairpin (RFC 4787 §6), which is not
 * measured. `null`: they are not known to share one.
 */
export function sharedNat(left: NatModel | null, right: NatModel | null): string | null {
  if (left?.mapping === 'none' || right?.mapping === 'none') return null;
  const address = left?.reflexive?.address ?? null;
  return address === right?.reflexive?.address ? address : null;
}

/** Whether an early packet moves the mappings of this end (verdicts.md, spoil test). */
export function isSpoiled(nat: NatModel | null): boolean {
  return nat !== null && nat.mapping !== 'none' && (nat.spoil?.k ?? 0) > 0;
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
