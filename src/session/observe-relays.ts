import { formatTransportAddress } from '../base/address.js';
import type { PathObservation } from '../verdict/observation.js';
import type { RelayReport } from '../verdict/report.js';
import type { Role } from '../verdict/words.js';
import type { EventOf, RecordIndex } from './record-index.js';

/** The shortest way by a relay that came up on a path; `null` where none did. */
export function relayOf(index: RecordIndex, path: string): NonNullable<PathObservation['relay']> | null {
  const [best] = index
    .all('relayed')
    .filter((event) => event.path === path)
    .sort((left, right) => left.rttMs - right.rttMs);
  if (!best) return null;
  return { at: best.t, rttMs: best.rttMs, client: endOf(best, 'client'), server: endOf(best, 'server') };
}

function endOf(event: EventOf<'relayed'>, role: Role) {
  const own = event.host === role;
  const { address, port } = own ? event.local : event.remote;
  return { type: own ? event.localType : event.remoteType, address, port };
}

/** What became of each TURN server that an end asked, by its last word. */
export function relaysOf(index: RecordIndex): RelayReport[] {
  const last = new Map<string, EventOf<'turn'>>();
  for (const event of index.all('turn')) {
    const key = [event.host, event.interface, event.family, formatTransportAddress(event.server)].join(' ');
    // That it stayed silent for a while is no end: what it gave before still stands.
    if (event.what !== 'unanswered' || !last.has(key)) last.set(key, event);
  }
  return [...last.values()].map(({ host, interface: name, family, server, relayed, rttMs, code }) => ({
    ...{ host, interface: name, family, server: formatTransportAddress(server) },
    ...{ relayed: relayed && formatTransportAddress(relayed), rttMs, error: code },
  }));
}
