import type { RoundObservation } from '../verdict/observation.js';
import type { Role } from '../verdict/words.js';
import type { EventOf, RecordIndex } from './record-index.js';

/**
 * A round of an arm counts once: sent if the kernel took any of its packets, received if any arrived at that host, altered
 * if none arrived as it was sent.
 */
export function roundsByArm(
  index: RecordIndex,
  sends: readonly EventOf<'sent'>[],
  at: Role,
): { readonly arm: string; readonly rounds: readonly RoundObservation[] }[] {
  const order = index.run?.arms ?? [];
  const arms = new Map<string, Map<number, RoundObservation>>();
  for (const sent of sends) {
    if (sent.round === null) continue;
    const rounds = arms.get(sent.arm) ?? new Map<number, RoundObservation>();
    arms.set(sent.arm, rounds);
    const { altered, ...known } = rounds.get(sent.round) ?? { round: sent.round, at: sent.t };
    const taken = sent.error === null;
    const arrived = taken && index.arrived(sent, at) !== undefined;
    const spoilt = taken ? index.altered(sent, at) : undefined;
    const unaltered = arrived || ('received' in known && known.received && altered === undefined);
    rounds.set(sent.round, {
      round: sent.round,
      at: Math.min(known.at, sent.t),
      sent: ('sent' in known && known.sent) || taken,
      received: unaltered || spoilt !== undefined || altered !== undefined,
      ...(unaltered ? {} : alteredBy(altered, spoilt)),
      ...(sent.local === undefined ? {} : { flow: sent.local }),
    });
  }
  return [...arms]
    .map(([arm, rounds]) => ({ arm, rounds: [...rounds.values()].sort((a, b) => a.round - b.round) }))
    .sort((a, b) => order.indexOf(a.arm) - order.indexOf(b.arm));
}

function alteredBy(
  before: RoundObservation['altered'],
  now: EventOf<'altered'> | undefined,
): Pick<RoundObservation, 'altered'> {
  const altered = now?.changed ?? before ?? now?.changed;
  return altered === undefined ? {} : { altered };
}

/** The same of packets to ports of the reference, by port. */
export function roundsByPort(
  index: RecordIndex,
  sends: readonly EventOf<'sent'>[],
  at: Role,
): { readonly port: number; readonly rounds: readonly RoundObservation[] }[] {
  return [...new Set(sends.map(({ to }) => to.port))].flatMap((port) => {
    const there = sends.filter(({ to }) => to.port === port);
    return roundsByArm(index, there, at).map(({ rounds }) => ({ port, rounds }));
  });
}
