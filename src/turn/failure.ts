import { formatTransportAddress, type TransportAddress } from '../base/address.js';
import { IcepathError } from '../base/errors.js';
import { ERROR_CODES } from '../stun/registry.js';

/** What can be wrong with a relay, by its code, and what a person can do. */
const NEXT_STEPS = {
  'turn-silent':
    'Check host and port, and that UDP to it is let through: turn:HOST:PORT, 3478 where a provider says nothing.',
  'turn-credentials': 'Check the user name and the password; those of many providers hold for hours only.',
  'turn-quota': 'Wait until older allocations of this user have run out (10 minutes), or use another user.',
  'turn-capacity': 'Use another server, or try again later.',
  'turn-forbidden': 'Ask whoever runs the server; it does not serve this user or this address.',
  'turn-family': 'Use a server that has relays of this address family.',
  'turn-transport': 'Use another server: this one carries no UDP.',
  'turn-mismatch': 'Try again from another port: the server has an allocation of somebody else for this one.',
  'turn-redirected': 'Name the server that it points to, if you trust it.',
  'turn-server-error': 'Try again later, or use another server; its log has more.',
  'turn-answer-invalid': 'Use another server: what answers does not speak TURN as RFC 8656 has it.',
  'turn-allocation-lost': 'The server dropped the relay, as after a restart: allocate again.',
  'turn-expired': 'The server was silent until the relay had run out: check the way to it, and allocate again.',
  'turn-peer-forbidden': 'Ask whoever runs the server: its rules do not let this peer be reached.',
  'turn-peer-family': 'Allocate a relay of the family of the peer.',
} as const;

export type TurnFailureCode = keyof typeof NEXT_STEPS;

/** The user's name and password never stand in what is said. */
export function turnFailure(code: TurnFailureCode, server: TransportAddress, what: string): IcepathError {
  return new IcepathError(code, `TURN server ${formatTransportAddress(server)}: ${what}`, NEXT_STEPS[code]);
}

const CODES: Readonly<Record<number, TurnFailureCode>> = {
  [ERROR_CODES['Try Alternate']]: 'turn-redirected',
  [ERROR_CODES.Unauthenticated]: 'turn-credentials',
  [ERROR_CODES.Forbidden]: 'turn-forbidden',
  [ERROR_CODES['Allocation Mismatch']]: 'turn-mismatch',
  [ERROR_CODES['Address Family not Supported']]: 'turn-family',
  [ERROR_CODES['Wrong Credentials']]: 'turn-credentials',
  [ERROR_CODES['Unsupported Transport Protocol']]: 'turn-transport',
  [ERROR_CODES['Peer Address Family Mismatch']]: 'turn-peer-family',
  [ERROR_CODES['Allocation Quota Reached']]: 'turn-quota',
  [ERROR_CODES['Insufficient Capacity']]: 'turn-capacity',
};

/** What a STUN error code means for an allocation. */
export function failureCodeOf(code: number): TurnFailureCode {
  return CODES[code] ?? 'turn-server-error';
}

const LONGEST_REASON = 80;

/** What a server says of an error, for people: bounded, printable. */
export function reasonText(code: number, reason: string): string {
  const printable = reason.replace(/[^\x20-\x7e]/g, '').slice(0, LONGEST_REASON);
  return `it answers ${code}${printable === '' ? '' : ` (${printable})`}`;
}
