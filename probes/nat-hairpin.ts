import { sameAddress, scopeOf, type TransportAddress } from '../src/base/address.js';
import type { Hairpin } from '../src/verdict/words.js';
import type { MappedSocket } from './nat-ports.js';
import { type Asked, type Bench, type Experiment, type Reference, silentByChance } from './probe.js';

/**
 * Do two hosts behind this NAT reach each other by their outside addresses? RFC 5780 §4.5, RFC 4787 REQ-9: two sockets
 * send to what the reference saw of each other, both, as peers do: a NAT that lets in only who was sent to must have
 * seen the other's packet first.
 *
 * Whoever has the outside address gets these packets, and that is this NAT by the reference's word: they are few, and
 * what no NAT can have (a private or multicast address, a port below 1024) is not sent to. Silence is a finding only
 * beside answers of the reference to the same sockets.
 */
export function* natHairpin(
  bench: Bench,
  { primary, arm }: Reference,
  [left, right]: readonly MappedSocket[],
): Experiment<Hairpin | null> {
  if (!left || !right || !isOutside(left.mapped) || !isOutside(right.mapped)) return null;
  const rounds: { readonly loops: readonly Loop[]; readonly plain: readonly Asked[] }[] = [];
  let finding: Hairpin | null = null;
  const loop = (from: MappedSocket, to: MappedSocket): Loop => ({
    asked: bench.ask(from.socket, to.mapped, arm, {}, ONCE),
    outside: from.mapped,
  });
  while (finding === null && rounds.length < MOST_ROUNDS) {
    rounds.push({
      loops: [loop(left, right), loop(right, left)],
      plain: [left, right].map(({ socket }) => bench.ask(socket, primary, arm, {}, ONCE)),
    });
    yield bench.pause(ROUND_MS);
    finding = judge(rounds);
  }
  if (finding === null) yield bench.pause(LAST_MS);
  return finding ?? judge(rounds);
}

const ROUND_MS = 50;
const MOST_ROUNDS = 24;
const LAST_MS = 500;
const CHANCE = 1e-4;
const ONCE = [ROUND_MS * MOST_ROUNDS + LAST_MS];
const LEAST_PORT = 1024;

interface Loop {
  readonly asked: Asked;
  readonly outside: TransportAddress;
}

/** `null`: not yet. Each way for itself: what comes back to one socket only is no way for two peers. */
function judge(
  rounds: readonly { readonly loops: readonly Loop[]; readonly plain: readonly Asked[] }[],
): Hairpin | null {
  const heard = [0, 1].map((way) =>
    rounds.flatMap(({ loops }) => {
      const one = loops[way];
      return one?.asked.heard ? [{ from: one.asked.heard.from, outside: one.outside }] : [];
    }),
  );
  if (heard.every((way) => way.length > 0)) {
    return heard.flat().every(({ from, outside }) => sameAddress(from, outside)) ? 'external' : 'internal';
  }
  const answered = [0, 1].map((way) => rounds.filter(({ plain }) => plain[way]?.answer).length);
  return answered.every((count) => silentByChance(rounds.length, count) <= CHANCE) ? 'none' : null;
}

function isOutside({ address, port }: TransportAddress): boolean {
  return scopeOf(address) === 'global' && port >= LEAST_PORT;
}
