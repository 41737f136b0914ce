import { createHmac, timingSafeEqual } from 'node:crypto';
import { addressBytes, type TransportAddress } from '../../base/address.js';
import { concatBytes } from '../../base/bytes.js';
import type { Ms } from '../../base/time.js';
import { MAX_CONNECTION_ID_BYTES } from '../wire/header.js';

/** A Retry is answered at once, or by a client that has lost a packet or two. */
const RETRY_LIFETIME_MS = 10_000;
/** What a client brings to its next connection (RFC 9000 §8.1.3). */
const NEW_TOKEN_LIFETIME_MS = 24 * 60 * 60 * 1000;

const MAC_BYTES = 16;
const TIME_BYTES = 8;
const HEAD_BYTES = 1 + TIME_BYTES;
const KINDS = ['retry', 'new-token'] as const;

export interface RetryToken {
  /** The destination of the Initial that the Retry answers. */
  readonly originalDestination: Uint8Array;
  /** What the Retry tells the client to send to. */
  readonly retrySource: Uint8Array;
}

/** What a token proves of who brings it. */
export type TokenProof =
  { readonly type: 'new-token' } | { readonly type: 'retry'; readonly originalDestination: Uint8Array };

/**
 * Tokens that prove a client's address (RFC 9000 §8.1): nothing is kept here, what has to be known stands in the token
 * under a MAC. A Retry's is good for one address and port, and for the connection id that goes with it; one for later
 * connections is good for an address.
 */
export class AddressTokens {
  readonly #key: Uint8Array;

  /** `key`: 32 bytes, good for nothing else. */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  retry(client: TransportAddress, { originalDestination, retrySource }: RetryToken, now: Ms): Uint8Array {
    return this.#token('retry', originalDestination, retryContext(client, retrySource), now);
  }

  newToken(client: TransportAddress, now: Ms): Uint8Array {
    return this.#token('new-token', new Uint8Array(0), addressBytes(client.address), now);
  }

  /** `destination`: that of the Initial with the token. `null`: not of our making, too old, or somebody else's. */
  verify(token: Uint8Array, client: TransportAddress, destination: Uint8Array, now: Ms): TokenProof | null {
    const kind = KINDS[token[0] ?? KINDS.length];
    const idBytes = token.length - HEAD_BYTES - MAC_BYTES;
    if (kind === undefined || idBytes < 0 || idBytes > MAX_CONNECTION_ID_BYTES) return null;
    const body = token.subarray(0, HEAD_BYTES + idBytes);
    const context = kind === 'retry' ? retryContext(client, destination) : addressBytes(client.address);
    if (!timingSafeEqual(this.#mac(body, context), token.subarray(body.length))) return null;
    const age = now - new DataView(token.buffer, token.byteOffset).getFloat64(1);
    if (!(age >= 0 && age <= (kind === 'retry' ? RETRY_LIFETIME_MS : NEW_TOKEN_LIFETIME_MS))) return null;
    return kind === 'retry' ? { type: kind, originalDestination: body.slice(HEAD_BYTES) } : { type: kind };
  }

  #token(kind: (typeof KINDS)[number], id: Uint8Array, context: Uint8Array, now: Ms): Uint8Array {
    const body = new Uint8Array(HEAD_BYTES + id.length);
    body[0] = KINDS.indexOf(kind);
    new DataView(body.buffer).setFloat64(1, now);
    body.set(id, HEAD_BYTES);
    return concatBytes(body, this.#mac(body, context));
  }

  #mac(body: Uint8Array, context: Uint8Array): Uint8Array {
    const mac = createHmac('sha256', this.#key).update(Uint8Array.of(body.length)).update(body).update(context);
    return new Uint8Array(mac.digest()).subarray(0, MAC_BYTES);
  }
}

function retryContext({ address, port }: TransportAddress, retrySource: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(port >> 8, port & 0xff), addressBytes(address), Uint8Array.of(0), retrySource);
}
