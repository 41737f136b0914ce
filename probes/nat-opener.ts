import { sameAddress } from '../src/base/address.js';
import type { NatModel } from '../src/verdict/words.js';
import { allSettled, type Asked, type Bench, type Experiment, type Reference, silentByChance } from './probe.js';

/**
 * With which TTL does a packet cross this end's own NATs and die behind them? (docs/decisions/opener.md.)
 *
 * Asked only where the spoil test was positive: there the first packet between two ends must be an outbound one, which
 * opens the own NATs and gets no further. One TTL too small leaves the outer NAT shut; one too large may be the early
 * packet that spoils the far end.
 *
 * Each TTL has a socket of its own, mapped by the reference's primary address. From it go packets with that TTL to the
 * reference's other address; then the primary is asked to have the other one send unsolicited. That comes in only if the
 * short-lived packets have opened every NAT on the way out. The least TTL with which it does is the opener's.
 *
 * All TTLs go side by side: a claim that an unopened NAT makes of an unsolicited packet stays with its own socket. Every
 * packet has a plain twin, so silence counts only where loss by chance is out of the question.
 */
export interface OpenerFinding {
  readonly opener: NonNullable<NatModel['opener']> | null;
  /** Why it is unknown; null when it is known. */
  readonly missing: string | null;
  /** Whether too few answers are why, so that asking again may tell. */
  readonly lost: boolean;
}

/** TTLs that are tried side by side, and the most of them: a carrier's NAT is a few hops away. */
const SIDE_BY_SIDE = 6;
const MOST_TTL = 12;
const ROUND_MS = 40;
const MOST_ROUNDS = 40;
const CHANCE = 1e-3;
const ONCE = [ROUND_MS * MOST_ROUNDS];
/** After the last packet of a step: whatever it was has arrived. */
const ARRIVAL_MS = 200;

/** A packet and its plain twin. */
type Twins = readonly { readonly asked: Asked; readonly plain: Asked }[];

interface Try {
  readonly ttl: number;
  /** Whether unsolicited packets came in; `null`: too much was lost to say. */
  readonly opens: boolean | null;
  /** The router that said that packets died there. */
  readonly diedAt: string | null;
}

export function* natOpener(bench: Bench, reference: Reference): Experiment<OpenerFinding> {
  const { other } = reference;
  if (!other) return { opener: null, missing: 'opener: the reference has only one address', lost: false };
  const tries: Try[] = [];
  while (tries.length < MOST_TTL) {
    tries.push(...(yield* tryFrom(bench, { ...reference, other }, tries.length + 1)));
    const found = tries.find(({ opens }) => opens === true);
    const below = tries.slice(0, found ? found.ttl - 1 : undefined);
    if (below.some(({ opens }) => opens === null)) {
      return { opener: null, missing: 'opener: too few of its packets were answered', lost: true };
    }
    if (found) {
      const hops = tries.slice(0, found.ttl).map(({ diedAt }) => diedAt);
      return { opener: { ttl: found.ttl, hops }, missing: null, lost: false };
    }
  }
  return { opener: null, missing: `opener: no TTL up to ${MOST_TTL} opens the own NATs`, lost: false };
}

function* tryFrom(
  bench: Bench,
  { primary, other, arm }: Reference & { readonly other: NonNullable<Reference['other']> },
  first: number,
): Experiment<Try[]> {
  const sockets = yield* bench.open(SIDE_BY_SIDE);
  yield allSettled(sockets.map((socket) => bench.ask(socket, primary, arm)));
  const plain = (index: number): Asked | null => {
    const socket = sockets[index];
    return socket ? bench.ask(socket, primary, arm, {}, ONCE) : null;
  };

  const [opening, entering]: [Twins[], Twins[]] = [sockets.map(() => []), sockets.map(() => [])];
  const step = function* (twins: Twins[], ask: (index: number) => Asked, enough: () => boolean): Experiment<void> {
    for (let round = 0; round < MOST_ROUNDS && !enough(); round += 1) {
      for (const [index, of] of twins.entries()) {
        const [asked, twin] = [ask(index), plain(index)];
        if (twin) twins[index] = [...of, { asked, plain: twin }];
      }
      yield bench.pause(ROUND_MS);
    }
    yield bench.pause(ARRIVAL_MS);
  };
  const shortLived = (index: number): Asked =>
    bench.ask(at(sockets, index), other, arm, {}, ONCE, { ttl: first + index });
  const unsolicited = (index: number): Asked =>
    bench.ask(at(sockets, index), primary, arm, { address: true, port: true }, ONCE);
  const cameIn = (twins: Twins): boolean =>
    twins.some(({ asked: { answer } }) => answer !== null && sameAddress(answer.from, other));
  yield* step(opening, shortLived, () => opening.every(delivered));
  yield* step(entering, unsolicited, () => entering.every((twins) => cameIn(twins) || delivered(twins)));

  for (const socket of sockets) bench.close(socket);
  return Array.from({ length: SIDE_BY_SIDE }, (_, index): Try => {
    const [out = [], back = []] = [opening[index], entering[index]];
    const opens = cameIn(back) ? true : delivered(out) && delivered(back) ? false : null;
    const socket = sockets[index];
    return { ttl: first + index, opens, diedAt: socket ? bench.diedAt(socket) : null };
  });
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index];
  if (item === undefined) throw new RangeError(`no item ${index}`);
  return item;
}

/** So many twins were answered that not all of the packets beside them can have been lost by chance. */
function delivered(twins: Twins): boolean {
  return silentByChance(twins.length, twins.filter(({ plain }) => plain.answer).length) <= CHANCE;
}
