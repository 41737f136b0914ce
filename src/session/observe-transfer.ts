import type { TransferEnd, TransferObservation } from '../verdict/transfer.js';
import { type Role, ROLES } from '../verdict/words.js';
import type { RecordIndex } from './record-index.js';

/** What both ends say of the data that they sent and received; `null` where none were to be. */
export function transferOf(index: RecordIndex): TransferObservation | null {
  const [started] = index.all('transfer');
  const over = index.all('transferred');
  if (!started && over.length === 0) return null;
  const [client, server] = ROLES.map((role) => endOf(index, role));
  return {
    direction: started?.direction ?? 'both',
    seconds: started?.seconds ?? 0,
    rateBps: started?.rateBps ?? null,
    client: client ?? null,
    server: server ?? null,
  };
}

function endOf(index: RecordIndex, role: Role): TransferEnd | null {
  const own = <Event extends { readonly host: Role }>(events: readonly Event[]): Event[] =>
    events.filter(({ host }) => host === role);
  const [begun] = own(index.all('transfer'));
  const over = own(index.all('transferred')).at(-1);
  if (!begun && !over) return null;
  return {
    begunAt: begun?.t ?? null,
    over: over ?? null,
    seconds: own(index.all('progress')).sort((left, right) => left.t - right.t),
    joined: own(index.all('joined')).map(({ path, t, afterMs }) => ({ path, at: t, afterMs })),
    left: own(index.all('left')).map(({ path, t, why }) => ({ path, at: t, why })),
  };
}
