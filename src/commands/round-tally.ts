import type { Ms } from '../base/time.js';
import { CONTROL_ARM } from '../mutation/names.js';
import { pathId, type RecordEvent } from '../session/record.js';
import type { Direction, Role } from '../verdict/words.js';

/** Rounds in which a packet was sent, and those of them in which it arrived. */
export interface Count {
  readonly n: number;
  readonly k: number;
}

type Packet = Extract<RecordEvent, { readonly type: 'sent' | 'received' }>;
type Sent = Extract<RecordEvent, { readonly type: 'sent' }>;
type KnownUntil = Readonly<Record<Role, Ms>>;

/** A packet's fate is in the far end's record this long after it was sent; before, it is not counted. */
const SETTLED_MS: Ms = 400;

/** How the packets of the rounds fare so far, from both ends' records joined by transaction: for telling, not judging. */
export class RoundTally {
  readonly #sent: Sent[] = [];
  readonly #received = new Set<string>();

  add(event: Packet): void {
    if (event.purpose !== 'arm') return;
    if (event.type === 'received') this.#received.add(`${event.leg} ${event.host} ${event.id}`);
    else if (event.error === null) this.#sent.push(event);
  }

  /** By arm, of the rounds `before` one; `knownUntil` is how far each host's record has come. */
  arms(path: string, direction: Direction, before: number, knownUntil: KnownUntil): ReadonlyMap<string, Count> {
    const [sender, receiver] = direction === 'up' ? (['client', 'server'] as const) : (['server', 'client'] as const);
    const sent = this.#sent.filter((event) => event.host === sender && pathOf(event) === path);
    const arms = new Set(sent.map(({ arm }) => arm));
    return new Map(
      [...arms].map((arm) => {
        const packets = sent.filter((event) => event.arm === arm);
        return [arm, this.#count(packets, receiver, before, knownUntil)];
      }),
    );
  }

  /** Control packets from an interface to the reference host, and answers. */
  reference(host: Role, name: string, before: number, knownUntil: KnownUntil): Count {
    const controls = this.#sent.filter((event) => {
      return event.leg === 'reference' && event.host === host && event.interface === name && event.arm === CONTROL_ARM;
    });
    return this.#count(controls, host, before, knownUntil);
  }

  /** A round may hold several packets of an arm, one for each address of the far end: it counts once. */
  #count(packets: readonly Sent[], receiver: Role, before: number, knownUntil: KnownUntil): Count {
    const settled = packets.filter(({ t, round }) => {
      return (round ?? 0) < before && t + SETTLED_MS <= knownUntil[receiver];
    });
    const arrived = settled.filter(({ leg, id }) => this.#received.has(`${leg} ${receiver} ${id}`));
    const rounds = (of: readonly Sent[]): number => new Set(of.map(({ round }) => round)).size;
    return { n: rounds(settled), k: rounds(arrived) };
  }
}

function pathOf({ leg, host, interface: name, towards, family }: Sent): string | null {
  if (leg !== 'peer' || towards === null) return null;
  return host === 'client' ? pathId(name, towards, family) : pathId(towards, name, family);
}
