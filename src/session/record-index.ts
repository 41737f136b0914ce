import type { Family } from '../base/address.js';
import type { Role } from '../verdict/words.js';
import { pathId, type RecordEvent } from './record.js';

export type EventOf<Type extends RecordEvent['type']> = Extract<RecordEvent, { type: Type }>;

export const FAR: Readonly<Record<Role, Role>> = { client: 'server', server: 'client' };

/** The record sorted into what is looked up: one pass over the events of both ends, in any order. */
export class RecordIndex {
  run: EventOf<'run'> | null = null;
  readonly hosts = new Map<Role, EventOf<'host'>>();
  readonly byType = new Map<RecordEvent['type'], RecordEvent[]>();
  /** Packets that arrived at a host, `host|leg|purpose|id` → the interface that they came by. */
  readonly arrivals = new Map<string, string>();
  /** Where a candidate's address belongs: `host|address:port` → interface. */
  readonly owners = new Map<string, string>();
  /** Peer sends by path and direction, reference sends by end. */
  readonly sends = new Map<string, EventOf<'sent'>[]>();
  lastT = 0;

  constructor(events: readonly RecordEvent[]) {
    for (const event of events) this.#add(event);
    for (const sent of this.all('sent')) {
      const key = sent.leg === 'reference' ? endKey(sent.host, sent.interface, sent.family) : this.#pathKey(sent);
      if (key !== null) push(this.sends, key, sent);
    }
  }

  all<Type extends RecordEvent['type']>(type: Type): readonly EventOf<Type>[] {
    return (this.byType.get(type) ?? []) as EventOf<Type>[];
  }

  arrived(sent: EventOf<'sent'>, at: Role): string | undefined {
    return this.arrivals.get(arrivalKey(at, sent.leg, purposeClass(sent.purpose), sent.id));
  }

  #add(event: RecordEvent): void {
    this.lastT = Math.max(this.lastT, event.t);
    push(this.byType, event.type, event);
    switch (event.type) {
      case 'run':
        this.run ??= event;
        break;
      case 'host':
        this.hosts.set(event.host, event);
        break;
      case 'received':
        this.arrivals.set(arrivalKey(event.host, event.leg, purposeClass(event.purpose), event.id), event.interface);
        break;
      case 'candidate':
        this.owners.set(ownerKey(event.host, event.address), event.interface);
        break;
      default:
    }
  }

  /** `path|direction` of a packet to the peer; null where its path is not known (an answer to a stranger). */
  #pathKey(sent: EventOf<'sent'>): string | null {
    const far = FAR[sent.host];
    const towards = sent.towards ?? this.owners.get(ownerKey(far, sent.to)) ?? this.arrived(sent, far);
    if (towards === undefined) return null;
    const id =
      sent.host === 'client'
        ? pathId(sent.interface, towards, sent.family)
        : pathId(towards, sent.interface, sent.family);
    return directionKey(id, sent.host);
  }
}

/** Requests and answers of one check share a transaction; everything else has one of its own. */
function purposeClass(purpose: EventOf<'sent'>['purpose']): 'response' | 'other' {
  return purpose === 'response' ? 'response' : 'other';
}

function arrivalKey(host: Role, leg: string, purpose: string, id: string): string {
  return `${host}|${leg}|${purpose}|${id}`;
}

export function ownerKey(host: Role, { address, port }: { address: string; port: number }): string {
  return `${host}|${address}|${String(port)}`;
}

export function endKey(host: Role, name: string, family: Family): string {
  return `end|${host}|${name}|${family}`;
}

export function directionKey(path: string, from: Role): string {
  return `path|${path}|${from}`;
}

function push<Key, Value>(map: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
