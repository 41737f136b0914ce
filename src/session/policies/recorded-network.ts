import type { Family, TransportAddress } from '../../base/address.js';
import type { Ms } from '../../base/time.js';
import type { Role } from '../../verdict/words.js';
import { FAR, ownerKey, type EventOf, type RecordIndex } from '../record-index.js';

/** What a record tells of packets from one interface to one address. */
export interface RecordedLink {
  /** The interface that they came to, and the address that they came from. */
  readonly interface: string;
  readonly from: TransportAddress;
  /** The first ones were lost: whoever sends from the other end opens the way. */
  readonly gated: boolean;
  /** One way: half of the shortest round trip between the two interfaces. */
  readonly delayMs: Ms;
}

interface Observed {
  arrived: EventOf<'received'> | null;
  lostBefore: number;
}

/** Where no round trip is known: nobody answered, so that nothing depends on it. */
const UNKNOWN_DELAY_MS: Ms = 25;

/** The network between two hosts as one run's checks saw it, those in the arm that the run began with. */
export class RecordedNetwork {
  readonly #observed = new Map<string, Observed>();
  readonly #roundTrips = new Map<string, Ms>();

  constructor(index: RecordIndex, arm: string) {
    const arrivals = arrivalsOf(index);
    const until = { client: firstChange(index, 'client'), server: firstChange(index, 'server') };
    const sends = index
      .all('sent')
      .filter((sent) => isOfChecks(sent) && sent.error === null && sent.arm === arm && sent.t <= until[sent.host]);
    for (const sent of sends) {
      const key = keyOf(sent.host, sent.interface, sent.to);
      const observed = this.#observed.get(key) ?? { arrived: null, lostBefore: 0 };
      this.#observed.set(key, observed);
      const arrived = arrivals.get(arrivalKey(FAR[sent.host], sent));
      if (!arrived) {
        if (!observed.arrived) observed.lostBefore += 1;
        continue;
      }
      observed.arrived ??= arrived;
      if (sent.purpose === 'response') continue;
      const answer = arrivals.get(arrivalKey(sent.host, { ...sent, purpose: 'response' }));
      if (!answer || answer.t < sent.t) continue;
      const between = betweenKey(sent.host, sent.interface, arrived.interface, sent.family);
      this.#roundTrips.set(between, Math.min(answer.t - sent.t, this.#roundTrips.get(between) ?? Infinity));
    }
  }

  /** `null`: nothing ever arrived there; `undefined`: nobody sent anything there. */
  link(host: Role, on: string, to: TransportAddress): RecordedLink | null | undefined {
    const observed = this.#observed.get(keyOf(host, on, to));
    if (!observed) return undefined;
    const { arrived, lostBefore } = observed;
    if (!arrived) return null;
    const there = this.#roundTrips.get(betweenKey(host, on, arrived.interface, to.family));
    const back = this.#roundTrips.get(betweenKey(FAR[host], arrived.interface, on, to.family));
    const roundTrip = Math.min(there ?? Infinity, back ?? Infinity);
    return {
      interface: arrived.interface,
      from: arrived.from,
      gated: lostBefore > 0,
      delayMs: Number.isFinite(roundTrip) ? roundTrip / 2 : UNKNOWN_DELAY_MS,
    };
  }
}

function isOfChecks({ leg, purpose }: EventOf<'sent'>): boolean {
  return leg === 'peer' && (purpose === 'check' || purpose === 'consent' || purpose === 'response');
}

/** When the addresses of a host changed: what came after is another network. */
export function firstChange(index: RecordIndex, host: Role): Ms {
  return index.all('interface').find((event) => event.host === host)?.t ?? Infinity;
}

function arrivalsOf(index: RecordIndex): Map<string, EventOf<'received'>> {
  const arrivals = new Map<string, EventOf<'received'>>();
  for (const event of index.all('received')) {
    if (event.leg !== 'peer') continue;
    const key = arrivalKey(event.host, event);
    if (!arrivals.has(key)) arrivals.set(key, event);
  }
  return arrivals;
}

function arrivalKey(host: Role, { purpose, id }: Pick<EventOf<'sent'>, 'purpose' | 'id'>): string {
  return `${host}|${purpose === 'response' ? 'response' : 'other'}|${id}`;
}

export function keyOf(host: Role, on: string, to: TransportAddress): string {
  return `${on}|${ownerKey(host, to)}`;
}

function betweenKey(host: Role, near: string, far: string, family: Family): string {
  return [host, near, far, family].join('|');
}
