import { sameAddress, type TransportAddress } from '../src/base/address.js';
import type { Mapping } from '../src/verdict/words.js';
import { allSettled, type Asked, type Bench, type Experiment, type Reference } from './probe.js';

/**
 * Which outside address does a socket get, and does it change with the destination? RFC 5780 §4.3: one socket asks
 * the reference at its four combinations of address and port, and at what else is known of its ports.
 *
 * - the local address itself, everywhere: no translation;
 * - one mapped address for all: endpoint-independent (EIM);
 * - one for each address: address-dependent (ADM);
 * - one for each address and port: address-and-port-dependent (APDM).
 *
 * Two sockets ask, and must agree; where loss left too little to compare, two more may go on from there.
 */
export interface MappingFinding {
  readonly mapping: Mapping;
  /** Whether the outside port was the local one in every answer; null when nothing was answered. */
  readonly portPreservation: boolean | null;
  /** Which of the four were answered: silence of one that nobody can reach says nothing about filtering. */
  readonly reached: readonly TransportAddress[];
  /** What each socket saw, those that saw too little left out. */
  readonly seen: readonly Mapping[];
  /** Why it is unknown; null when it is known. */
  readonly missing: string | null;
  /** Whether too few answers are why, so that asking again may tell. */
  readonly lost: boolean;
}

interface Mapped {
  readonly to: TransportAddress;
  readonly mapped: TransportAddress;
}

/** `before`: what earlier sockets found; nothing of it is forgotten. */
export function* natMapping(
  bench: Bench,
  { primary, other, arm, more = [] }: Reference,
  before: MappingFinding | null = null,
): Experiment<MappingFinding> {
  const destinations = [primary];
  if (other) destinations.push({ ...primary, port: other.port }, { ...other, port: primary.port }, other, ...more);

  const sockets = yield* bench.open(2);
  const asked = sockets.map((socket) => destinations.map((to) => ({ to, asked: bench.ask(socket, to, arm) })));
  yield allSettled(asked.flat().map((one) => one.asked));
  for (const socket of sockets) bench.close(socket);

  const seen = sockets.map(({ local }, index) => ({ local, answers: answered(asked[index] ?? []) }));
  const classes = seen.map(({ local, answers }) => classify(local, answers)).filter((one) => one !== 'unknown');
  const known = new Set([...(before?.seen ?? []), ...classes]);
  const answers = seen.flatMap((socket) => socket.answers);
  const preserved = seen.every((one) => one.answers.every(({ mapped }) => mapped.port === one.local.port));
  return {
    mapping: known.size === 1 ? ([...known][0] ?? 'unknown') : 'unknown',
    portPreservation:
      answers.length === 0 ? (before?.portPreservation ?? null) : preserved && before?.portPreservation !== false,
    reached: destinations.filter((to) =>
      [...(before?.reached ?? []), ...answers.map((answer) => answer.to)].some((reached) => sameAddress(reached, to)),
    ),
    seen: [...known],
    lost: known.size === 0 && other !== null,
    missing:
      known.size === 1
        ? null
        : known.size > 1
          ? `mapping: two sockets disagree (${[...known].join(', ')})`
          : other
            ? `mapping: ${answers.length} of ${asked.flat().length} queries to the reference's addresses were answered, too few to compare`
            : 'mapping: the reference has only one address',
  };
}

function answered(asked: readonly { readonly to: TransportAddress; readonly asked: Asked }[]): Mapped[] {
  return asked.flatMap(({ to, asked: { answer } }) => (answer ? [{ to, mapped: answer.mapped }] : []));
}

/** Every class follows from answers that came, never from one that did not. */
function classify(local: TransportAddress, answers: readonly Mapped[]): Mapping {
  const pairs = answers.flatMap((left, index) => answers.slice(index + 1).map((right) => ({ left, right })));
  const sameHost = pairs.filter(({ left, right }) => left.to.address === right.to.address);
  const moved = ({ left, right }: { left: Mapped; right: Mapped }): boolean => !sameAddress(left.mapped, right.mapped);
  if (sameHost.some(moved)) return 'apdm';
  if (pairs.some(moved)) return sameHost.length > 0 ? 'adm' : 'unknown';
  if (answers.length > 0 && answers.every(({ mapped }) => sameAddress(mapped, local))) return 'none';
  const [addresses, ports] = [new Set(answers.map(({ to }) => to.address)), new Set(answers.map(({ to }) => to.port))];
  return addresses.size > 1 && ports.size > 1 ? 'eim' : 'unknown';
}
