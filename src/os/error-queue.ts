import { viewOf } from '../base/bytes.js';
import type { TransportAddress } from '../base/address.js';
import { errnoName } from './libc.js';
import type { ControlMessage, MessageBuffer } from './message.js';
import { decodeSockaddr } from './sockaddr.js';

/** One entry of a socket's error queue (ip(7) `IP_RECVERR`, ipv6(7) `IPV6_RECVERR`). */
export interface QueuedError {
  readonly code: string;
  /** `local`: this kernel's own finding (EMSGSIZE); `icmp`, `icmp6`: a message from the network. */
  readonly origin: 'local' | 'icmp' | 'icmp6' | 'other';
  readonly type: number;
  readonly icmpCode: number;
  /** Who sent the ICMP message. */
  readonly sender: string | null;
  /** Where the datagram that it complains about was sent. */
  readonly destination: TransportAddress | null;
  /** What the error quotes of the UDP payload. */
  readonly quoted: Uint8Array;
}

const SOL_IP = 0;
const IP_RECVERR = 11;
const SOL_IPV6 = 41;
const IPV6_RECVERR = 25;
const MSG_DONTWAIT = 0x40;
const MSG_ERRQUEUE = 0x2000;
const EXTENDED_ERROR_BYTES = 16;
/** More than a socket buffer holds; ends the loop whatever the kernel does. */
const DRAIN_LIMIT = 1024;

const ORIGINS = ['other', 'local', 'icmp', 'icmp6'] as const;

/** Takes everything off the error queue of `fd`. One error left there makes the event loop spin. */
export function drainErrorQueue(buffer: MessageBuffer, fd: number): QueuedError[] {
  const errors: QueuedError[] = [];
  for (let count = 0; count < DRAIN_LIMIT; count += 1) {
    const message = buffer.receive(fd, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (typeof message === 'number') break;
    const error = parseExtendedError(message.control);
    if (error) errors.push({ ...error, destination: message.name, quoted: message.payload });
  }
  return errors;
}

/** `struct sock_extended_err` and the offender's address behind it; `null` when no control message is one. */
export function parseExtendedError(
  control: readonly ControlMessage[],
): Omit<QueuedError, 'destination' | 'quoted'> | null {
  const message = control.find(
    ({ level, type }) => (level === SOL_IP && type === IP_RECVERR) || (level === SOL_IPV6 && type === IPV6_RECVERR),
  );
  if (!message || message.data.length < EXTENDED_ERROR_BYTES) return null;
  const view = viewOf(message.data);
  return {
    code: errnoName(view.getUint32(0, true)),
    origin: ORIGINS[view.getUint8(4)] ?? 'other',
    type: view.getUint8(5),
    icmpCode: view.getUint8(6),
    sender: decodeSockaddr(message.data.subarray(EXTENDED_ERROR_BYTES))?.address ?? null,
  };
}
