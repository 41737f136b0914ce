import { Duplex, type DuplexOptions } from 'node:stream';
import { IcepathError } from '../../base/errors.js';
import { plainBytes } from './open.js';
import type { QuicConnection } from '../../quic/connection/types.js';

/** What a stream wants of the connection that it is on. */
export interface StreamOwner {
  readonly connection: QuicConnection;
  /** The connection was told something. */
  touch(): void;
  forget(stream: number): void;
}

/** An error of the application's own (RFC 9000 §20.2) is sent where `destroy` gets no {@link StreamResetError}. */
const NO_CODE = 0;
/** What is taken at once of what came. */
const READ_BYTES = 64 * 1024;

/** The far end gave up what it sent, or wants no more of what this end sends; `errorCode` is the application's. */
export class StreamResetError extends Error {
  override readonly name = 'StreamResetError';
  readonly errorCode: number;

  constructor(errorCode: number, message = `the far end gave the stream up with code ${String(errorCode)}`) {
    super(message);
    this.errorCode = errorCode;
  }
}

/**
 * A stream of a QUIC connection as `node:stream` has them; `Duplex.toWeb` makes Web Streams of it. Both directions hold
 * back who is too fast: what nobody reads is not taken from the connection, whose window then stays closed; what cannot
 * be sent yet keeps `write` waiting. What is written is not copied and must not change. `delivered` is emitted when the
 * far end has acknowledged everything. A stream in one direction has the other half closed.
 */
export class QuicStream extends Duplex {
  readonly id: number;
  readonly #owner: StreamOwner;
  #rest: Uint8Array | null = null;
  #written: ((error?: Error | null) => void) | null = null;
  #wantsMore = false;
  #received = false;
  #sent = false;
  #delivered = false;

  constructor(owner: StreamOwner, id: number, { readable, writable }: { readable: boolean; writable: boolean }) {
    // The types of Node know `readable` and `writable` of a Duplex only from later versions on.
    const options: DuplexOptions & { readonly readable: boolean; readonly writable: boolean } = {
      allowHalfOpen: true,
      readable,
      writable,
      readableHighWaterMark: 4 * READ_BYTES,
      writableHighWaterMark: 4 * READ_BYTES,
    };
    super(options);
    this.id = id;
    this.#owner = owner;
    this.#received = !readable;
    this.#sent = !writable;
    this.#delivered = !writable;
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    // Parts of a Buffer are several times dearer than parts of plain bytes.
    this.#write(plainBytes(chunk), callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#sent = true;
    this.#owner.connection.finish(this.id);
    this.#owner.touch();
    callback();
  }

  override _read(): void {
    this.#wantsMore = true;
    this.onReadable();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const { connection } = this.#owner;
    const code = error instanceof StreamResetError ? error.errorCode : NO_CODE;
    if (!connection.isClosed) {
      if (!this.#sent) connection.reset(this.id, code);
      if (!this.#received) connection.stopSending(this.id, code);
      this.#owner.touch();
    }
    this.#rest = null;
    const written = this.#written;
    this.#written = null;
    // What has ended well may still be on its way: `delivered` is to come.
    if (!this.#sent || !this.#received) this.#delivered = true;
    [this.#sent, this.#received] = [true, true];
    this.#forgetIfOver();
    written?.(error ?? new StreamResetError(code, 'the stream was given up here'));
    callback(error);
  }

  #write(chunk: Uint8Array, callback: (error?: Error | null) => void): void {
    const taken = this.#owner.connection.write(this.id, chunk);
    if (taken > 0) this.#owner.touch();
    if (taken === chunk.length) callback();
    else {
      this.#rest = chunk.subarray(taken);
      this.#written = callback;
    }
  }

  /** Called by the connection: `writable`. */
  onWritable(): void {
    const [rest, written] = [this.#rest, this.#written];
    if (rest === null || written === null) return;
    this.#rest = null;
    this.#written = null;
    this.#write(rest, written);
  }

  /** Called by the connection: `readable`. */
  onReadable(): void {
    if (this.#received) return;
    let took = false;
    while (this.#wantsMore) {
      const bytes = this.#owner.connection.read(this.id, READ_BYTES);
      if (bytes === null) break;
      took = true;
      // `push` may ask for more before it returns.
      this.#wantsMore = false;
      if (this.push(bytes)) this.#wantsMore = true;
    }
    // Who has read has opened the window.
    if (took) this.#owner.touch();
  }

  /** Called by the connection: `finished`. */
  onFinished(): void {
    this.#received = true;
    this.push(null);
    this.#forgetIfOver();
  }

  /** Called by the connection: `reset`, `stopped`. */
  onGivenUp(direction: 'read' | 'write', errorCode: number): void {
    if (direction === 'read') this.#received = true;
    else [this.#sent, this.#delivered] = [true, true];
    this.destroy(new StreamResetError(errorCode));
  }

  /** Called by the connection: `delivered`. */
  onDelivered(): void {
    this.#delivered = true;
    this.emit('delivered');
    this.#forgetIfOver();
  }

  /** Called by the connection: it is over, before the stream was. */
  onConnectionClosed(reason: string): void {
    const isWhole = this.#sent && this.#delivered && this.#received;
    [this.#sent, this.#received, this.#delivered] = [true, true, true];
    if (isWhole) return;
    this.destroy(
      new IcepathError(
        'quic-connection-closed',
        `the connection ended before its stream ${String(this.id)}: ${reason}`,
        'Connect again; what was not acknowledged may not have arrived.',
      ),
    );
  }

  #forgetIfOver(): void {
    if (this.#received && this.#delivered) this.#owner.forget(this.id);
  }
}
