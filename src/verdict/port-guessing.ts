import { integerBetween, type Random } from '../base/random.js';
import { predict, sharedNat } from './nat-prediction.js';
import type { NatModel, Role } from './words.js';

/** RFC 4787 REQ-3: a NAT maps ports from 1024 up to such ports. */
export const FIRST_PORT = 1024;
export const PORTS = 0x10000 - FIRST_PORT;

/** What is spent on a try, at most (docs/decisions/abuse.md). */
export interface GuessEffort {
  /** Sockets of the end whose NAT draws a port for every destination. */
  readonly sockets: number;
  /** Ports that the other end sends to. */
  readonly guesses: number;
}

/** 95.4 % where both are spent: what more would bring is not worth the packets. */
export const EFFORT: GuessEffort = { sockets: 256, guesses: 768 };

/** Of a sequence the next ports are guessed, so many; the others are drawn. */
export const NEXT_PORTS = 320;

/** How ports may be guessed on a path, and what that is worth. */
export interface GuessPlan extends GuessEffort {
  /** Who guesses: the end behind the NAT that keeps its outside port, and lets in only whom it has sent to. */
  readonly guesser: Role;
  /** How the far NAT chooses ports. */
  readonly pattern: 'sequential' | 'random';
  /** Of a hit, beforehand; of a sequence at least that. */
  readonly probability: number;
}

/**
 * Whether guessing ports can help, by the models of both ends: one NAT draws a port anew for every destination (so that
 * nobody can be told it), the other keeps its port and filters by address and port (so that the first end's packets die
 * there unless it has sent to just that port), no early packet moves its mapping, and each has one outside address. `null`
 * elsewhere: either ICE gets through by itself, or both ports would have to be guessed at once.
 */
export function guessPlan(
  client: NatModel | null,
  server: NatModel | null,
  effort: GuessEffort = EFFORT,
): GuessPlan | null {
  if (!client || !server || predict(client, server) !== 'failure' || sharedNat(client, server)) return null;
  const pairs = [
    { guesser: 'client', keeps: client, draws: server },
    { guesser: 'server', keeps: server, draws: client },
  ] as const;
  for (const { guesser, keeps, draws } of pairs) {
    const pattern = draws.ports?.pattern;
    const steady = keeps.mapping === 'none' || (keeps.mapping === 'eim' && keeps.spoil?.k === 0);
    const draw = draws.mapping === 'apdm' || draws.mapping === 'adm';
    if (!steady || !draw || pattern === undefined || pattern === 'preserving') continue;
    if (draws.pooling === 'arbitrary' || keeps.pooling === 'arbitrary') continue;
    const drawn = pattern === 'sequential' ? Math.max(0, effort.guesses - NEXT_PORTS) : effort.guesses;
    return { guesser, pattern, ...effort, probability: hitProbability(effort.sockets, drawn) };
  }
  return null;
}

/**
 * That one of `guesses` different ports, drawn from all from 1024 up, is one of the `mapped` ports of the far NAT. All of
 * them go to one destination, so no two are alike; which they are does not matter, since the guesses are drawn:
 *
 *     P = 1 − C(R − mapped, guesses) / C(R, guesses) = 1 − ∏ (R − mapped − i) / (R − i),  i = 0 … guesses − 1,  R = 64512
 *
 * so about 1 − e^(−mapped · guesses / R), the birthday paradox of two groups: 256 sockets against 768 guesses give
 * 95.4 %, 256 sockets against 256 guesses 63.9 %. Loss takes some of it: a hit needs one packet of either side.
 */
export function hitProbability(mapped: number, guesses: number): number {
  let miss = 1;
  for (let drawn = 0; drawn < Math.min(guesses, PORTS); drawn += 1) {
    miss *= Math.max(0, PORTS - mapped - drawn) / (PORTS - drawn);
  }
  return 1 - miss;
}

/** Each once: of a sequence first those that follow the port `before` that the NAT chose last; all others drawn. */
export function portsToGuess({ pattern, guesses }: GuessPlan, before: number, random: Random): number[] {
  const ports = new Set<number>();
  const next = pattern === 'sequential' ? Math.min(NEXT_PORTS, guesses) : 0;
  for (let port = before + 1; port <= before + next && port <= 0xffff; port += 1) ports.add(port);
  while (ports.size < guesses) ports.add(integerBetween(random, FIRST_PORT, 0xffff));
  return [...ports];
}

/** `256 sockets at the client, 768 ports guessed by the server: 95.4 % beforehand`. */
export function guessWords({ guesser, sockets, guesses, probability, pattern }: GuessPlan): string {
  const other: Role = guesser === 'client' ? 'server' : 'client';
  const least = pattern === 'sequential' ? 'at least ' : '';
  return `${String(sockets)} sockets at the ${other}, ${String(guesses)} ports guessed by the ${guesser}: ${least}${(probability * 100).toFixed(1)} % beforehand`;
}
