import type { Family } from '../base/address.js';
import type { Role } from '../verdict/words.js';
import { INTERFACES_MAX, LATE_INTERFACES_MAX, pathId, type RecordEvent } from './record.js';

export type EventOf<Type extends RecordEvent['type']> = Extract<RecordEvent, { type: Type }>;

type Leg = EventOf<'sent'>['leg'];
type PurposeClass = 'response' | 'other';

export const FAR: Readonly<Record<Role, Role>> = { client: 'server', server: 'client' };

type Sends = Map<string, EventOf<'sent'>[]>;

/** The record sorted into what is looked up, event by event: those of both ends, in any order. */
export class RecordIndex {
  run: EventOf<'run'> | null = null;
  /** With all interfaces and addresses that they have had. */
  readonly hosts = new Map<Role, EventOf<'host'>>();
  /** As they were when the run began. */
  readonly began = new Map<Role, EventOf<'host'>>();
  readonly #byType = new Map<RecordEvent['type'], RecordEvent[]>();
  /** Packets that arrived at a host, by id → the interface that they came by. */
  readonly #arrivals: Readonly<Record<Role, Record<Leg, Record<PurposeClass, Map<string, string>>>>> = {
    client: { peer: newArrivals(), reference: newArrivals(), relay: newArrivals() },
    server: { peer: newArrivals(), reference: newArrivals(), relay: newArrivals() },
  };
  /** Packets that arrived at a host with other bytes, by host, leg, class and id. */
  readonly #altered = new Map<string, EventOf<'altered'>>();
  /** Where a candidate's address belongs: `host|address:port` → interface. */
  readonly owners = new Map<string, string>();
  /** Peer sends by path and direction, reference sends by end. */
  readonly #sends: Sends = new Map();
  /** Packets of experiments by path. */
  readonly #trials: Sends = new Map();
  /** What became of them: by host and transaction. */
  readonly #trialArrivals = new Map<string, EventOf<'received'>>();
  readonly #trialErrors = new Map<string, EventOf<'icmp'>>();
  /** Peer sends that did not say where to: later events may tell. */
  readonly #unplaced: EventOf<'sent'>[] = [];
  /** Those, placed by all events so far; `null`: not since the last one. */
  #placed: Sends | null = null;
  lastT = 0;

  constructor(events: readonly RecordEvent[] = []) {
    for (const event of events) this.add(event);
  }

  all<Type extends RecordEvent['type']>(type: Type): readonly EventOf<Type>[] {
    return (this.#byType.get(type) ?? []) as EventOf<Type>[];
  }

  /** The sends of a {@link directionKey} or {@link endKey}. */
  sends(key: string): readonly EventOf<'sent'>[] {
    this.#placed ??= this.#place();
    return [...(this.#sends.get(key) ?? []), ...(this.#placed.get(key) ?? [])];
  }

  arrived(sent: EventOf<'sent'>, at: Role): string | undefined {
    return this.#arrivals[at][sent.leg][purposeClass(sent.purpose)].get(sent.id);
  }

  /** How a packet arrived that nobody got as it was sent; `undefined` where it did not, or also did so unaltered. */
  altered(sent: EventOf<'sent'>, at: Role): EventOf<'altered'> | undefined {
    return this.arrived(sent, at) === undefined ? this.#altered.get(alteredKey(at, sent)) : undefined;
  }

  /** The packets of a path's experiments, of both ends. */
  trials(path: string): readonly EventOf<'sent'>[] {
    return this.#trials.get(path) ?? [];
  }

  trialArrival(at: Role, id: string): EventOf<'received'> | undefined {
    return this.#trialArrivals.get(`${at}|${id}`);
  }

  trialError(at: Role, id: string): EventOf<'icmp'> | undefined {
    return this.#trialErrors.get(`${at}|${id}`);
  }

  add(event: RecordEvent): void {
    this.lastT = Math.max(this.lastT, event.t);
    if (this.#isOfTrial(event)) return;
    this.#placed = null;
    push(this.#byType, event.type, event);
    switch (event.type) {
      case 'sent':
        if (event.leg === 'relay') break;
        if (event.leg === 'reference') push(this.#sends, endKey(event.host, event.interface, event.family), event);
        else if (event.towards !== null) push(this.#sends, pathKey(event, event.towards), event);
        else this.#unplaced.push(event);
        break;
      case 'run':
        this.run ??= event;
        break;
      case 'host':
        this.hosts.set(event.host, event);
        this.began.set(event.host, event);
        break;
      case 'interface': {
        const host = this.hosts.get(event.host);
        const most = (this.began.get(event.host)?.interfaces.length ?? 0) + LATE_INTERFACES_MAX;
        if (host) this.hosts.set(event.host, { ...host, interfaces: withChange(host.interfaces, event, most) });
        break;
      }
      case 'received':
        this.#arrivals[event.host][event.leg][purposeClass(event.purpose)].set(event.id, event.interface);
        break;
      case 'altered':
        this.#altered.set(alteredKey(event.host, event), event);
        break;
      case 'candidate':
        this.owners.set(ownerKey(event.host, event.address), event.interface);
        break;
      default:
    }
  }

  /** Packets of experiments are none of the matrix, nor of the checks: they are kept apart. */
  #isOfTrial(event: RecordEvent): boolean {
    if (event.type === 'sent' && event.purpose === 'trial') {
      if (event.trial && event.towards !== null) push(this.#trials, pathOf(event, event.towards), event);
      return true;
    }
    if (event.type === 'received' && event.purpose === 'trial') {
      const key = `${event.host}|${event.id}`;
      // A duplicate says nothing new.
      if (!this.#trialArrivals.has(key)) this.#trialArrivals.set(key, event);
      return true;
    }
    if (event.type !== 'icmp' || event.id === null) return false;
    const key = `${event.host}|${event.id}`;
    if (!this.#trialErrors.has(key)) this.#trialErrors.set(key, event);
    return true;
  }

  /** Without those whose path is not known (an answer to a stranger). */
  #place(): Sends {
    const placed: Sends = new Map();
    for (const sent of this.#unplaced) {
      const far = FAR[sent.host];
      const towards = this.owners.get(ownerKey(far, sent.to)) ?? this.arrived(sent, far);
      if (towards !== undefined) push(placed, pathKey(sent, towards), sent);
    }
    return placed;
  }
}

/** An interface has what it had, and what it has now: a path of a family that it had once is one of the run. */
function withChange(
  all: EventOf<'host'>['interfaces'],
  { interface: name, addresses, added }: EventOf<'interface'>,
  most: number,
): EventOf<'host'>['interfaces'] {
  const known = all.find((on) => on.name === name);
  if (!known) return added && all.length < most ? [...all, { name, ...added, addresses }] : all;
  const isNew = (one: (typeof addresses)[number]): boolean =>
    !known.addresses.some(({ address }) => address === one.address);
  const on = {
    ...known,
    ...(added?.nat64 && known.addresses.length === 0 && { nat64: added.nat64 }),
    addresses: [...known.addresses, ...addresses.filter(isNew)].slice(0, INTERFACES_MAX),
  };
  return all.map((one) => (one === known ? on : one));
}

function pathKey(sent: EventOf<'sent'>, towards: string): string {
  return directionKey(pathOf(sent, towards), sent.host);
}

function pathOf({ host, interface: near, family }: EventOf<'sent'>, towards: string): string {
  return host === 'client' ? pathId(near, towards, family) : pathId(towards, near, family);
}

/** Requests and answers of one check share a transaction; everything else has one of its own. */
function purposeClass(purpose: EventOf<'sent'>['purpose']): PurposeClass {
  return purpose === 'response' ? 'response' : 'other';
}

function alteredKey(at: Role, { leg, purpose, id }: Pick<EventOf<'sent'>, 'leg' | 'purpose' | 'id'>): string {
  return [at, leg, purposeClass(purpose), id].join('|');
}

function newArrivals(): Record<PurposeClass, Map<string, string>> {
  return { response: new Map(), other: new Map() };
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
