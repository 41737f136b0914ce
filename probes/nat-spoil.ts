import { sameAddress } from '../src/base/address.js';
import type { Ms } from '../src/base/time.js';
import { allSettled, type Asked, type Bench, type Experiment, type Reference, silentByChance } from './probe.js';

/**
 * Does a packet that comes in too early move the mapping? (verdicts.md, spoil test.)
 *
 * A Linux NAT whose input is not guarded takes an unsolicited packet for one of its own: the packet claims the tuple,
 * and when the host behind then sends to that address its flow gets another outside port. Two such NATs fail to
 * punch although both read endpoint-independent a moment before.
 *
 * Each try has a fresh socket: it maps to two reference addresses, which must see one outside address; lets the
 * reference's third combination of address and port send unsolicited; then sends there. If that mapping is another
 * one, an early packet from a peer will move it too.
 */
export interface SpoilFinding {
  /** Tries that came to an end, and those in which the mapping moved; null when none did. */
  readonly spoil: Tally | null;
  /** Why there is none; null also where the mapping depends on the destination and nothing is there to be spoiled. */
  readonly missing: string | null;
  /** All tries that came to an end, however few. */
  readonly ended: Tally;
  /** Whether too few answers are why, so that asking again may tell. */
  readonly lost: boolean;
}

interface Tally {
  readonly n: number;
  readonly k: number;
}

const NONE: Tally = { n: 0, k: 0 };

const TRIES = 3;
/** One unmoved mapping alone may be one whose early packet was lost. */
const LEAST_UNMOVED = 2;
/**
 * The early packet comes in unseen, so each request for one has a plain twin: enough answers to those say that loss
 * did not eat all early packets of the try.
 */
const ROUND_MS = 40;
const MOST_ROUNDS = 40;
const CHANCE = 1e-3;
const ONCE = [ROUND_MS * MOST_ROUNDS];
/** It must have arrived before the outbound one leaves: twice the longest round trip so far, within these bounds. */
const ARRIVAL_MS = { least: 150, most: 800 };

/** `before`: the tries of an earlier test that loss cut short; they count. */
export function* natSpoil(
  bench: Bench,
  { primary, other, arm }: Reference,
  before: Tally = NONE,
): Experiment<SpoilFinding> {
  if (!other)
    return { spoil: null, missing: 'spoil test: the reference has only one address', ended: before, lost: false };
  const sockets = yield* bench.open(TRIES);
  const second = { ...other, port: primary.port };
  const mappings = sockets.map((socket) => [bench.ask(socket, primary, arm), bench.ask(socket, second, arm)] as const);
  yield allSettled(mappings.flat());

  const mapped = sockets.flatMap((socket, index) => {
    const [first, again] = mappings[index]?.map((one) => one.answer?.mapped) ?? [];
    return first && again ? [{ socket, outside: first, stable: sameAddress(first, again) }] : [];
  });
  const stable = mapped.filter((one) => one.stable);
  if (mapped.length > 0 && stable.length === 0) return { spoil: null, missing: null, ended: before, lost: false };

  const tries = stable.map((one) => ({ ...one, plain: [] as Asked[] }));
  const delivered = ({ plain }: { readonly plain: readonly Asked[] }): boolean =>
    silentByChance(plain.length, plain.filter(({ answer }) => answer).length) <= CHANCE;
  for (let round = 0; round < MOST_ROUNDS && !tries.every(delivered); round += 1) {
    for (const { socket, plain } of tries) {
      bench.ask(socket, primary, arm, { address: true, port: true }, ONCE);
      plain.push(bench.ask(socket, primary, arm, {}, ONCE));
    }
    yield bench.pause(ROUND_MS);
  }
  yield bench.pause(arrival(mappings.flat()));

  const after = tries
    .filter(delivered)
    .map(({ socket, outside }) => ({ asked: bench.ask(socket, other, arm), outside }));
  yield allSettled(after.map(({ asked }) => asked));
  for (const socket of sockets) bench.close(socket);

  const ended = after.flatMap(({ asked: { answer }, outside }) =>
    answer ? [!sameAddress(answer.mapped, outside)] : [],
  );
  const total = { n: before.n + ended.length, k: before.k + ended.filter((moved) => moved).length };
  if (total.k > 0 || total.n >= LEAST_UNMOVED) return { spoil: total, missing: null, ended: total, lost: false };
  const missing = `spoil test: ${ended.length} of ${TRIES} tries were answered`;
  return { spoil: null, missing, ended: total, lost: true };
}

function arrival(asked: readonly Asked[]): Ms {
  const longest = Math.max(...asked.map(({ afterMs }) => afterMs ?? 0));
  // An answer to a second or third sending makes the round trip look longer than it is: the safe side.
  return Math.min(Math.max(2 * longest, ARRIVAL_MS.least), ARRIVAL_MS.most);
}
