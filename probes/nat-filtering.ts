import { sameAddress, type TransportAddress } from '../src/base/address.js';
import type { Filtering } from '../src/verdict/words.js';
import { type Asked, type Bench, type Experiment, type Reference, silentByChance } from './probe.js';

/**
 * From where does an unsolicited packet come in? RFC 5780 §4.4, on a socket of its own that has only ever sent to the
 * reference's primary address and port: it asks for answers from the other address and port, and from the other port.
 *
 * - answered from the other address and port: endpoint-independent (EIF);
 * - else answered from the other port: address-dependent (ADF);
 * - else address-and-port-dependent (APDF).
 *
 * It must run before anything else here sends to the reference's other address: a box that remembers per inside host
 * would then let its answers in.
 *
 * Silence is a finding only beside answers: every round asks plainly too, and rounds go on until silence by chance is
 * out of the question, so loss makes the test longer, or `unknown`, but not wrong.
 */
export interface FilteringFinding {
  readonly filtering: Filtering;
  /** Why it is unknown; null when it is known. */
  readonly missing: string | null;
  /** Whether too few answers are why, so that asking again may tell. */
  readonly lost: boolean;
}

const ROUND_MS = 100;
const MOST_ROUNDS = 36;
/** Rounds are at most this unlikely to be silent by chance (a lossless path needs 8 of them). */
const CHANCE = 1e-4;
/** Long enough for the last answers, where the rounds alone did not decide. */
const LAST_ANSWERS_MS = 500;

interface Round {
  readonly plain: Asked;
  readonly otherPort: Asked;
  readonly otherBoth: Asked;
}

export function* natFiltering(bench: Bench, reference: Reference): Experiment<FilteringFinding> {
  const { primary, other, arm } = reference;
  if (!other) return unknown('filtering: the reference has only one address');
  const [socket] = yield* bench.open(1);
  if (!socket) return unknown('filtering: no socket could be opened');

  const once = [ROUND_MS * MOST_ROUNDS];
  const rounds: Round[] = [];
  let finding: Filtering | 'ignored' | null = null;
  while (finding === null && rounds.length < MOST_ROUNDS) {
    rounds.push({
      plain: bench.ask(socket, primary, arm, {}, once),
      otherPort: bench.ask(socket, primary, arm, { port: true }, once),
      otherBoth: bench.ask(socket, primary, arm, { address: true, port: true }, once),
    });
    const roundOver = bench.pause(ROUND_MS);
    yield () => roundOver() || judge(rounds, reference) !== null;
    finding = judge(rounds, reference);
  }
  if (finding === null) {
    const over = bench.pause(LAST_ANSWERS_MS);
    yield () => over() || judge(rounds, reference) !== null;
    finding = judge(rounds, reference);
  }
  bench.close(socket);
  if (finding === 'ignored')
    return unknown('filtering: the reference answers from where it was asked, whatever is asked');
  if (finding !== null) return { filtering: finding, missing: null, lost: false };
  const answered = rounds.filter(({ plain }) => plain.answer).length;
  const missing = `filtering: only ${answered} of ${rounds.length} plain queries were answered, too few to call the other answers' silence a finding`;
  return { ...unknown(missing), lost: true };
}

function unknown(missing: string): FilteringFinding {
  return { filtering: 'unknown', missing, lost: false };
}

/** What the rounds so far say; `ignored` when the reference does not do what CHANGE-REQUEST asks; null: not yet. */
function judge(rounds: readonly Round[], { primary, other }: Reference): Filtering | 'ignored' | null {
  if (!other) return null;
  const cameFrom = (asked: Asked, address: TransportAddress): boolean =>
    asked.answer !== null && sameAddress(asked.answer.from, address);
  if (rounds.some(({ otherBoth }) => cameFrom(otherBoth, other))) return 'eif';
  if (rounds.some((round) => cameFrom(round.otherBoth, primary) || cameFrom(round.otherPort, primary)))
    return 'ignored';
  const plainAnswers = rounds.filter(({ plain }) => plain.answer).length;
  if (silentByChance(rounds.length, plainAnswers) > CHANCE) return null;
  return rounds.some(({ otherPort }) => cameFrom(otherPort, { ...primary, port: other.port })) ? 'adf' : 'apdf';
}
