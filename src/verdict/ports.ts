import { count, pairedRounds, passesOften } from './direction.js';
import { type EndObservation, type RoundObservation, type RunObservation } from './observation.js';
import { boundary, mcnemar } from './statistics.js';

/** An end that lets packets to some ports of the reference through and not to others. */
export interface PortFilter {
  /** Ports that pass, and those that never do, in ascending order. */
  readonly open: readonly number[];
  readonly closed: readonly number[];
  /** The weakest of the exact tests. */
  readonly p: number;
  /** The evidence, for people: a part of a sentence. */
  readonly why: string;
}

/** Answers of a port that say that it is alive, as many as the reference must give in all (verdicts.md, "blocked"). */
const ALIVE_MIN = 12;

/**
 * Whether ports are filtered before an end. A port is closed there when it never answers, though in the same rounds
 * another port of the same host answers on the same interface, and this port on another interface (McNemar, each): then
 * neither loss nor a port where nobody listens explains it. Every socket counts once: of parallel ways one may be dead, and
 * all packets of one flow take the same. `null`: not proven, or nobody asked.
 */
export function portFilterOf(run: RunObservation, end: EndObservation): PortFilter | null {
  const asked = end.reference.ports ?? [];
  const others = run.ends.filter(
    (other) => other.family === end.family && !(other.host === end.host && other.interface === end.interface),
  );
  const own = end.reference.control;
  const closed = asked.flatMap(({ port, rounds }) => {
    const { sent, received } = count(rounds);
    if (sent === 0 || received > 0) return [];
    const here = beside(own, rounds);
    const elsewhere = others
      .map((other) => ({ other, ...beside(portOf(other, port), rounds) }))
      .sort((left, right) => left.p - right.p)[0];
    if (!here.proven || !elsewhere?.proven || elsewhere.answered < ALIVE_MIN) return [];
    return [{ port, sent, here, elsewhere }];
  });
  const [first] = closed;
  if (!first || !passesOften(count(own))) return null;
  const open = asked.filter(({ rounds }) => passesOften(count(rounds))).map(({ port }) => port);
  const ports = closed.map(({ port }) => port).sort(byNumber);
  const { other, answered, of } = first.elsewhere;
  const name = other.label === '' ? other.interface : `${other.interface} (${other.label})`;
  return {
    open: [...open].sort(byNumber),
    closed: ports,
    p: Math.max(...closed.flatMap(({ here, elsewhere }) => [here.p, elsewhere.p])),
    why:
      `0 of ${first.sent} packets to the reference's port ${ports.join(', ')} were answered, where its first port ` +
      `answered ${first.here.answered} of ${first.here.of} in the same rounds, and on ${name} of the ${other.host} ` +
      `port ${first.port} did ${answered} of ${of}`,
  };
}

interface Beside {
  readonly p: number;
  readonly proven: boolean;
  readonly answered: number;
  readonly of: number;
}

/** Rounds in which the one was answered and the other was not, against equal fortune. */
function beside(answering: readonly RoundObservation[], silent: readonly RoundObservation[]): Beside {
  const pairs = pairedRounds(answering, silent);
  const worse = pairs.filter(([one, other]) => one.received && !other.received);
  // Where half of the ways are dead n flows miss a living one with 2⁻ⁿ. Who does not tell flows apart has one.
  const flows = new Set(worse.map(([, other]) => other.flow ?? 0));
  const answered = worse.length;
  const p = mcnemar(flows.size, pairs.filter(([one, other]) => !one.received && other.received).length);
  return { p, proven: p <= boundary(pairs.length), answered, of: pairs.length };
}

function portOf({ reference }: EndObservation, port: number): readonly RoundObservation[] {
  return reference.ports?.find((one) => one.port === port)?.rounds ?? [];
}

function byNumber(left: number, right: number): number {
  return left - right;
}
