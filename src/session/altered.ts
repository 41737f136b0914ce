import type { TransportAddress } from '../base/address.js';
import { alteredCheck } from '../mutation/altered-check.js';
import { PLAIN_ARM, type ArmName } from '../mutation/names.js';
import { transactionKey, type StunMessage } from '../stun/message.js';
import type { RecordEvent } from './record.js';
import type { Host, OpenSocket } from './host.js';

type Altered = Extract<RecordEvent, { type: 'altered' }>;

/** Records that a packet came on this socket with other bytes than it was sent with. */
export function noteAltered(
  host: Host,
  { interface: on, local }: OpenSocket,
  from: TransportAddress,
  what: Pick<Altered, 'leg' | 'purpose' | 'id' | 'arm' | 'changed'>,
): void {
  host.altered({ ...what, interface: on.name, family: local.family, from: { ...from } });
}

/** A check or an answer that says to be one of this session's and whose integrity does not fit: joined by transaction. */
export function noteAlteredCheck(host: Host, socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): void {
  const altered = alteredCheck(bytes);
  if (!altered) return;
  const purpose = altered.isAnswer ? 'response' : 'check';
  noteAltered(host, socket, from, { leg: 'peer', purpose, id: altered.transaction, arm: PLAIN_ARM, changed: null });
}

/** Records a check or an answer of the far end. */
export function noteReceived(
  host: Host,
  { interface: on, local }: OpenSocket,
  from: TransportAddress,
  { leg, arm, message }: { readonly leg: 'peer' | 'relay'; readonly arm: ArmName; readonly message: StunMessage },
): void {
  host.record({
    type: 'received',
    leg,
    purpose: message.class === 'success' || message.class === 'error' ? 'response' : 'check',
    id: transactionKey(message.transactionId),
    arm,
    interface: on.name,
    family: local.family,
    from: { ...from },
  });
}
