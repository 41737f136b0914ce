import type { TransportAddress } from '../src/base/address.js';
import type { Ms } from '../src/base/time.js';
import type { NatModel } from '../src/verdict/words.js';
import { allSettled, type Asked, type Bench, type Experiment, type ProbeSocket, type Reference } from './probe.js';

/**
 * How does a NAT choose outside addresses and ports? RFC 4787 §4.1 (pooling) and §4.2 (ports): fresh sockets ask the
 * reference one after the other, and what they are seen as is laid side by side.
 *
 * - all ports as inside: preserving;
 * - all ports within small steps of each other: sequential, whoever else takes one in between;
 * - otherwise random, as far as can be seen; whether odd stays odd then needs more sockets to be told from chance.
 *
 * Only answers count, in whatever order they come: loss leaves fewer to compare, and too few say nothing.
 */
export interface PortsFinding {
  readonly ports: NonNullable<NatModel['ports']> | null;
  readonly pooling: NonNullable<NatModel['pooling']> | null;
  readonly outside: readonly string[];
  /** The sockets that were answered, still open. */
  readonly mapped: readonly MappedSocket[];
}

export interface MappedSocket {
  readonly socket: ProbeSocket & { readonly local: TransportAddress };
  readonly mapped: TransportAddress;
}

const SOCKETS = 6;
/** With so many, each odd inside and outside or even inside and outside, chance is 2⁻¹⁴: less than 10⁻⁴. */
const SOCKETS_FOR_PARITY = 14;
const LEAST_COMPARED = 4;
/** So that they come to the NAT in the order in which they left, jitter aside. */
const APART_MS: Ms = 20;
/** What others may take between two of ours. Six random ports that lie so close are a chance of 10⁻¹³. */
const LARGEST_STEP = 16;
const MOST_ADDRESSES = 16;

export function* natPorts(bench: Bench, reference: Reference): Experiment<PortsFinding> {
  const seen = yield* mapped(bench, reference, SOCKETS);
  const first = patternOf(seen);
  if (first === 'random' && sameParity(seen)) {
    seen.push(...(yield* mapped(bench, reference, SOCKETS_FOR_PARITY - SOCKETS)));
  }
  const outside = [...new Set(seen.map((one) => one.mapped.address))];
  const numbers = seen.map((one) => one.mapped.port);
  const pattern = patternOf(seen);
  return {
    ports: pattern && {
      pattern,
      step: pattern === 'sequential' ? smallestStep(numbers) : null,
      keepsParity: !sameParity(seen) ? false : seen.length >= SOCKETS_FOR_PARITY || pattern === 'preserving' || null,
      low: Math.min(...numbers),
      high: Math.max(...numbers),
      n: seen.length,
    },
    pooling: outside.length > 1 ? 'arbitrary' : seen.length >= LEAST_COMPARED ? 'paired' : null,
    outside: outside.slice(0, MOST_ADDRESSES),
    mapped: seen,
  };
}

function* mapped(bench: Bench, { primary, arm }: Reference, count: number): Experiment<MappedSocket[]> {
  const sockets = yield* bench.open(count);
  const asked: Asked[] = [];
  for (const socket of sockets) {
    asked.push(bench.ask(socket, primary, arm));
    yield bench.pause(APART_MS);
  }
  yield allSettled(asked);
  return sockets.flatMap((socket, index) => {
    const answer = asked[index]?.answer;
    return answer ? [{ socket, mapped: answer.mapped }] : [];
  });
}

/** `null`: too few to compare. */
function patternOf(seen: readonly MappedSocket[]): NonNullable<NatModel['ports']>['pattern'] | null {
  if (seen.length < LEAST_COMPARED) return null;
  if (seen.every(({ socket, mapped: outside }) => outside.port === socket.local.port)) return 'preserving';
  const steps = stepsOf(seen.map(({ mapped: { port } }) => port));
  return steps.every((step) => step <= LARGEST_STEP) ? 'sequential' : 'random';
}

function smallestStep(ports: readonly number[]): number | null {
  const steps = stepsOf(ports).filter((step) => step > 0);
  return steps.length > 0 ? Math.min(...steps) : null;
}

/** Between neighbours in order of number; a sequence that begins anew at its lower end is put together. */
function stepsOf(ports: readonly number[]): number[] {
  const low = Math.min(...ports);
  const wraps = Math.max(...ports) - low > 0x8000;
  const sorted = ports.map((port) => (wraps && port < 0x8000 ? port + 0x1_0000 - low : port)).sort((a, b) => a - b);
  return sorted.slice(1).map((port, index) => port - (sorted[index] ?? 0));
}

function sameParity(seen: readonly MappedSocket[]): boolean {
  return seen.every(({ socket, mapped: outside }) => outside.port % 2 === socket.local.port % 2);
}
