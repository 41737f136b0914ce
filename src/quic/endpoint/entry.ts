import { formatTransportAddress } from '../../base/address.js';
import type { Random } from '../../base/random.js';
import { NEVER, type Ms } from '../../base/time.js';
import type { ConnectionIds, FourTuple, QuicConnection } from '../connection/types.js';
import { statelessResetToken } from '../wire/stateless.js';
import type { Timed } from './deadlines.js';
import { type IdTable, OWN_ID_BYTES } from './id-table.js';

/** Addresses of the far end from which a stateless reset would be believed. */
const MOST_REMOTES = 32;

/** What an endpoint knows of one connection, and the ids that lead to it. */
export class Entry implements ConnectionIds, Timed {
  readonly lengthBytes = OWN_ID_BYTES;
  readonly isServer: boolean;
  isHandshaking = true;
  isReady = false;
  dueAt: Ms = NEVER;
  heapIndex = -1;
  readonly remotes = new Set<string>();
  readonly #table: IdTable<Entry>;
  readonly #random: Random;
  readonly #resetKey: Uint8Array;
  readonly #ids: Uint8Array[] = [];
  #connection: QuicConnection | null = null;

  constructor(isServer: boolean, table: IdTable<Entry>, random: Random, resetKey: Uint8Array) {
    this.isServer = isServer;
    this.#table = table;
    this.#random = random;
    this.#resetKey = resetKey;
  }

  get connection(): QuicConnection {
    if (this.#connection === null) throw new Error('asked for a connection before it is made');
    return this.#connection;
  }

  set connection(connection: QuicConnection) {
    this.#connection = connection;
  }

  issue(): { readonly id: Uint8Array; readonly resetToken: Uint8Array } {
    let id = this.#random.bytes(OWN_ID_BYTES);
    while (this.#table.has(id)) id = this.#random.bytes(OWN_ID_BYTES);
    this.lead(id);
    return { id, resetToken: statelessResetToken(this.#resetKey, id) };
  }

  /** An id that leads here from now on. */
  lead(id: Uint8Array): void {
    this.#ids.push(id);
    this.#table.set(id, this);
  }

  retire(id: Uint8Array): void {
    const at = this.#ids.findIndex((known) => same(known, id));
    if (at < 0) return;
    this.#ids.splice(at, 1);
    this.#table.delete(id);
  }

  retireAll(): void {
    for (const id of this.#ids.splice(0)) this.#table.delete(id);
  }

  /** False where that is known already, or too many are. */
  meet(remote: string): boolean {
    if (this.remotes.size >= MOST_REMOTES || this.remotes.has(remote)) return false;
    this.remotes.add(remote);
    return true;
  }
}

export function remoteKey({ remote }: FourTuple): string {
  return formatTransportAddress(remote);
}

function same(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}
