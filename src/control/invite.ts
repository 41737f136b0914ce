import { createHash } from 'node:crypto';
import { parseTransportAddress } from '../base/address.js';
import { fromBase64url, toBase64url } from './base64url.js';
import { controlError } from './errors.js';
import { parseRendezvousUrl } from './rendezvous.js';

/** Where a server listens: an IP address in canonical text, or a host name. */
export interface InviteAddress {
  readonly host: string;
  readonly port: number;
}

/** All that a client needs to reach a server and that both need to know each other. */
export interface Invite {
  /** At least one unless there is a rendezvous, the likeliest first. */
  readonly addresses: readonly InviteAddress[];
  /** Where the control channel is carried as well, or alone: what `parseRendezvousUrl` gives. */
  readonly rendezvous?: string;
  /** {@link SECRET_BYTES} bytes. */
  readonly secret: Uint8Array;
  /** SHA-256 of the server's certificate (DER). */
  readonly fingerprint: Uint8Array;
}

export const SECRET_BYTES = 16;
export const FINGERPRINT_BYTES = 32;
export const MAX_INVITE_ADDRESSES = 16;

const SCHEME = 'icepath://';
const CHECK_BYTES = 6;
/** Sixteen of the longest host names would not fit; nobody has those. */
const MAX_TEXT = 2048;
const HOST_NAME = /^(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?\.?$/i;

/**
 * `icepath://HOST:PORT[,HOST:PORT…]/SECRET/FINGERPRINT/CHECK`, one line; throws `RangeError` on an unusable invite. A
 * rendezvous is one more in the list of hosts, its URL percent-encoded: `ws%3A%2F%2FHOST%3APORT`.
 */
export function formatInvite({ addresses, rendezvous, secret, fingerprint }: Invite): string {
  const places = addresses.length + (rendezvous === undefined ? 0 : 1);
  if (places === 0 || addresses.length > MAX_INVITE_ADDRESSES)
    throw new RangeError('an invite has 1 to 16 addresses, or a rendezvous');
  if (secret.length !== SECRET_BYTES || fingerprint.length !== FINGERPRINT_BYTES)
    throw new RangeError('not a secret or fingerprint');
  const hosts = addresses.map(({ host, port }) => {
    const text = host.includes(':') ? `[${host}]:${String(port)}` : `${host}:${String(port)}`;
    if (!parseHost(text)) throw new RangeError(`not HOST:PORT: ${text}`);
    return text;
  });
  if (rendezvous !== undefined) {
    if (parseRendezvousUrl(rendezvous) !== rendezvous) throw new RangeError(`not a rendezvous: ${rendezvous}`);
    hosts.push(encodeURIComponent(rendezvous));
  }
  const body = `${SCHEME}${hosts.join(',')}/${toBase64url(secret)}/${toBase64url(fingerprint)}`;
  return `${body}/${checksum(body)}`;
}

/**
 * Takes what a person pasted: white space anywhere (a line that a terminal broke) and quotes around it are passed over.
 * Throws `IcepathError` `invite-malformed`, `invite-truncated` or `invite-damaged`; never repeats the secret.
 */
export function parseInvite(pasted: string): Invite {
  if (pasted.length > 2 * MAX_TEXT) throw controlError('invite-malformed', 'This is far too long for an invite.');
  const text = pasted.replace(/\s+/g, '').replace(/^["'`“”‘’<]+|["'`“”‘’>]+$/g, '');
  if (text === '') throw controlError('invite-malformed', 'The invite is empty.');
  if (!text.startsWith(SCHEME)) {
    if (SCHEME.startsWith(text)) throw controlError('invite-truncated', 'The invite ends too early.');
    throw controlError('invite-malformed', 'This is not an invite: it does not begin with icepath://.');
  }
  if (text.length > MAX_TEXT) throw controlError('invite-malformed', 'This is too long for an invite.');
  const [hosts = '', secretText = '', fingerprintText = '', check = '', ...rest] = text.slice(SCHEME.length).split('/');
  if (rest.length > 0) throw controlError('invite-damaged', 'The invite has more parts than it should.');
  // Only the last part has a length that shows a cut: every earlier one is closed by a slash.
  if (check.length < base64Length(CHECK_BYTES)) throw controlError('invite-truncated', 'The invite ends too early.');
  if (check !== checksum(text.slice(0, text.lastIndexOf('/')))) {
    throw controlError('invite-damaged', 'The invite is damaged: its checksum does not fit.');
  }
  const secret = fromBase64url(secretText, SECRET_BYTES);
  const fingerprint = fromBase64url(fingerprintText, FINGERPRINT_BYTES);
  const places = hosts.split(',');
  const addresses = places.map(parseHost).filter((address) => address !== null);
  const [rendezvous, ...more] = places.map(parseRendezvous).filter((url) => url !== null);
  const known = addresses.length + (rendezvous === undefined ? 0 : 1);
  const complete = known === places.length && addresses.length <= MAX_INVITE_ADDRESSES && more.length === 0;
  if (!secret || !fingerprint || !complete)
    throw controlError('invite-malformed', 'The invite names no usable server.');
  return { addresses, ...(rendezvous !== undefined && { rendezvous }), secret, fingerprint };
}

function parseRendezvous(text: string): string | null {
  try {
    return /^wss?%3A/.test(text) ? parseRendezvousUrl(decodeURIComponent(text)) : null;
  } catch {
    return null;
  }
}

function parseHost(text: string): InviteAddress | null {
  try {
    const { address, port } = parseTransportAddress(text);
    return port === 0 ? null : { host: address, port };
  } catch {
    const [, host = '', digits = ''] = /^([^:]+):([1-9]\d{0,4})$/.exec(text) ?? [];
    const port = Number(digits);
    return HOST_NAME.test(host) && port <= 0xffff ? { host: host.toLowerCase(), port } : null;
  }
}

/** Finds a slip of the hand, not an attack: what must be authentic is secret and fingerprint. */
function checksum(body: string): string {
  return toBase64url(createHash('sha256').update(body).digest().subarray(0, CHECK_BYTES));
}

function base64Length(bytes: number): number {
  return Math.ceil((bytes * 4) / 3);
}
