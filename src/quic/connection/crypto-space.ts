import { type PacketKeys } from '../crypto/keys.js';
import { ReceivedPackets } from '../recovery/received-packets.js';
import { Reassembly } from '../streams/reassembly.js';
import { SendStream } from '../streams/send-stream.js';
import { type QuicError, quicError } from '../wire/errors.js';
import { FRAME } from '../wire/frame-types.js';
import type { CryptoFrame } from '../wire/frames.js';
import { varintLength } from '../wire/varint.js';

/** RFC 9000 §7.5 asks for 4096 at least; a certificate chain is longer. */
const MAX_BUFFERED_BYTES = 64 * 1024;

/** The handshake's bytes of one level, in both directions (RFC 9000 §19.6). */
export class CryptoStream {
  readonly out = new SendStream(0, Infinity);
  readonly #in = new Reassembly();

  onFrame({ offset, data }: CryptoFrame): QuicError | null {
    const isTooMuch = offset + data.length > this.#in.readOffset + MAX_BUFFERED_BYTES;
    if (isTooMuch || !this.#in.insert(offset, data)) {
      return quicError('CRYPTO_BUFFER_EXCEEDED', 'too much of the handshake at once', FRAME.CRYPTO);
    }
    return null;
  }

  read(): Uint8Array | null {
    return this.#in.read();
  }

  get isDue(): boolean {
    return this.out.isSendable;
  }

  /** The next frame, of at most `room` bytes with its header. */
  next(room: number): CryptoFrame | null {
    // Type, and a length of two bytes.
    const part = this.out.next(room - 3 - varintLength(this.out.nextOffset), Infinity);
    return part === null ? null : { type: 'crypto', offset: part.offset, data: part.data };
  }
}

/** The number space of Initial or of Handshake packets, which are on path 0 alone. */
export class LongSpace {
  readonly level: 'initial' | 'handshake';
  readonly received = new ReceivedPackets(0);
  readonly crypto = new CryptoStream();
  read: PacketKeys | null = null;
  write: PacketKeys | null = null;
  nextPacketNumber = 0;
  /** Packets that have to be sent although nothing new is to be said (RFC 9002 §6.2.4). */
  probes = 0;
  isDiscarded = false;

  constructor(level: 'initial' | 'handshake') {
    this.level = level;
  }

  setKeys(read: PacketKeys, write: PacketKeys): void {
    this.read = read;
    this.write = write;
  }

  /** RFC 9001 §4.9: nothing is read or written any more. */
  discard(): void {
    this.isDiscarded = true;
    this.read = null;
    this.write = null;
    this.probes = 0;
  }
}
