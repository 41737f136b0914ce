import type { TransportAddress } from '../src/base/address.js';
import type { ArmName } from '../src/mutation/names.js';
import { type Bench, type Experiment, PATIENCE, type Reference } from './probe.js';

/**
 * Does the reference answer here, and in which kind of packet?
 *
 * Plain STUN goes first, on a socket of its own; while it stays silent the other arms follow, each on a fresh socket
 * (a box that judges flows would carry its judgement along), and the first that is answered is the one used from then
 * on. So a filter on STUN does not look like "no NAT model".
 */
export interface Contact {
  readonly reference: Reference;
  readonly local: TransportAddress;
  readonly mapped: TransportAddress;
}

/** The arms in the order in which they are tried: all but plain STUN need icepath's own reference. */
export const CONTACT_ARMS: readonly ArmName[] = ['stun', 'random', 'stun~40~cookie'];

/** How long one arm has to itself before the next is tried beside it: its first two sendings. */
const HEAD_START_MS = 400;

/** `null`: no arm was answered; the string says when not even a socket could be opened. */
export function* natContact(
  bench: Bench,
  primary: TransportAddress,
  arms: readonly ArmName[] = CONTACT_ARMS,
): Experiment<Contact | 'silent' | 'no-socket'> {
  const sockets = yield* bench.open(arms.length);
  if (sockets.length === 0) return 'no-socket';
  const tries: { asked: ReturnType<Bench['ask']>; arm: ArmName; local: TransportAddress }[] = [];
  const answered = () => tries.some(({ asked }) => asked.answer);
  for (const [index, socket] of sockets.entries()) {
    const arm = arms[index] ?? 'stun';
    tries.push({ asked: bench.ask(socket, primary, arm), arm, local: socket.local });
    const headStart = bench.pause(HEAD_START_MS);
    yield () => answered() || headStart();
    if (answered()) break;
  }
  yield () => answered() || tries.every(({ asked }) => asked.settled);
  const late = bench.pause(PATIENCE.at(-1) ?? 0);
  yield () => answered() || late();
  for (const socket of sockets) bench.close(socket);
  for (const { asked, arm, local } of tries) {
    if (!asked.answer) continue;
    const { mapped, other } = asked.answer;
    return { reference: { primary, other, arm }, local, mapped };
  }
  return 'silent';
}
