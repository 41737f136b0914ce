import type { Ms } from '../../base/time.js';
import { type QuicError, quicError } from '../wire/errors.js';
import type { ReceiveWindow } from './flow-control.js';
import { Reassembly } from './reassembly.js';

/** RFC 9000 figure 3. */
export type ReceiveState = 'recv' | 'size-known' | 'data-recvd' | 'data-read' | 'reset-recvd' | 'reset-read';

/** What a frame did: how many bytes more the stream takes of the connection's window, or why all has to end. */
export type Received = { readonly newBytes: number; readonly error: null } | { readonly error: QuicError };

const STREAM_FRAME = 0x08;

/** The receiving half of a stream (RFC 9000 §3.2). */
export class ReceiveStream {
  readonly id: number;
  readonly window: ReceiveWindow;
  #state: ReceiveState = 'recv';
  readonly #bytes = new Reassembly();
  /** One more than the highest byte that the far end has sent. */
  #highest = 0;
  /** Bytes that nobody will read, and for which the connection has its window back. */
  #givenUp = 0;
  #finalSize: number | null = null;
  #resetCode: number | null = null;
  #stopCode: number | null = null;

  constructor(id: number, window: ReceiveWindow) {
    this.id = id;
    this.window = window;
  }

  get state(): ReceiveState {
    return this.#state;
  }

  get resetCode(): number | null {
    return this.#resetCode;
  }

  /** The far end was asked to stop, with this code. */
  get stopCode(): number | null {
    return this.#stopCode;
  }

  /** Nothing more will come of it for anybody. */
  get isOver(): boolean {
    if (this.#state === 'data-read' || this.#state === 'reset-read') return true;
    return this.#stopCode !== null && (this.#finalSize === this.#highest || this.#state === 'reset-recvd');
  }

  get isReadable(): boolean {
    return this.#stopCode === null && (this.#bytes.contiguous > this.#bytes.readOffset || this.#state === 'data-recvd');
  }

  /** All that can be read was read, and what has come since stands behind a gap. */
  get isGapped(): boolean {
    if (this.#state !== 'recv' || this.#stopCode !== null) return false;
    return this.#bytes.contiguous === this.#bytes.readOffset && this.#highest > this.#bytes.contiguous;
  }

  /** A STREAM frame. Repeats, overlaps and gaps are all in order (RFC 9000 §2.2). */
  onData(offset: number, data: Uint8Array, fin: boolean): Received {
    const end = offset + data.length;
    const wrong = this.#sizeError(end, fin);
    if (wrong !== null) return { error: wrong };
    const newBytes = Math.max(0, end - this.#highest);
    if (!this.window.receive(Math.max(end, this.#highest))) {
      return { error: quicError('FLOW_CONTROL_ERROR', `stream ${String(this.id)} beyond its limit`, STREAM_FRAME) };
    }
    this.#highest += newBytes;
    if (fin) this.#setFinalSize(end);
    if (this.#state !== 'recv' && this.#state !== 'size-known') return { newBytes, error: null };
    if (this.#stopCode !== null) this.window.consume(newBytes);
    else if (!this.#bytes.insert(offset, data)) {
      return { error: quicError('INTERNAL_ERROR', 'a stream in too many pieces', STREAM_FRAME) };
    }
    if (this.#finalSize !== null && this.#bytes.contiguous === this.#finalSize) this.#state = 'data-recvd';
    return { newBytes, error: null };
  }

  /** RESET_STREAM: what was not read is given up. */
  onReset(errorCode: number, finalSize: number): Received {
    const wrong = this.#sizeError(finalSize, true);
    if (wrong !== null) return { error: wrong };
    const newBytes = Math.max(0, finalSize - this.#highest);
    if (!this.window.receive(Math.max(finalSize, this.#highest))) {
      return { error: quicError('FLOW_CONTROL_ERROR', `stream ${String(this.id)} beyond its limit`, 0x04) };
    }
    this.#highest += newBytes;
    this.#finalSize = finalSize;
    // Everything had come already: then the reset is too late to be of use (RFC 9000 §3.2).
    if (this.#state === 'recv' || this.#state === 'size-known') {
      this.#state = 'reset-recvd';
      this.#resetCode = errorCode;
      this.#bytes.clear();
    }
    return { newBytes, error: null };
  }

  /** The next bytes; `null` where there are none now. */
  read(most = Infinity): Uint8Array | null {
    if (this.#stopCode !== null || this.#state === 'reset-recvd') return null;
    const data = this.#bytes.read(most);
    if (data !== null) this.window.consume(data.length);
    return data;
  }

  /** Everything was read, and the application has learnt that; true once. */
  takeEnd(): boolean {
    if (this.#state !== 'data-recvd' || this.#bytes.readOffset !== this.#finalSize) return false;
    this.#state = 'data-read';
    return true;
  }

  /** The code of a reset, once. */
  takeReset(): number | null {
    if (this.#state !== 'reset-recvd') return null;
    this.#state = 'reset-read';
    return this.#resetCode;
  }

  /** The application wants no more; true where the far end is to be told so (STOP_SENDING). */
  stop(errorCode: number): boolean {
    if (this.#stopCode !== null || (this.#state !== 'recv' && this.#state !== 'size-known')) return false;
    this.#stopCode = errorCode;
    this.window.consume(this.#highest - this.#bytes.readOffset);
    this.#bytes.clear();
    return true;
  }

  /** Bytes that came and that nobody will read: room in the connection's window. Each is told once. */
  takeGivenUp(): number {
    if (this.#stopCode === null && this.#resetCode === null) return 0;
    const bytes = this.#highest - this.#bytes.readOffset - this.#givenUp;
    this.#givenUp += bytes;
    return bytes;
  }

  /** A larger limit for the far end; `null` where none is due. */
  takeLimit(rtt: Ms, now: Ms): number | null {
    if (this.#state !== 'recv' || this.#stopCode !== null) return null;
    if (this.window.isUpdateDue) return this.window.update(rtt, now);
    return this.isGapped && this.window.isTight ? this.window.widen() : null;
  }

  #setFinalSize(size: number): void {
    this.#finalSize = size;
    if (this.#state === 'recv') this.#state = 'size-known';
  }

  /** RFC 9000 §4.5. */
  #sizeError(end: number, isFinal: boolean): QuicError | null {
    const known = this.#finalSize;
    const isWrong = known === null ? isFinal && end < this.#highest : end > known || (isFinal && end !== known);
    return isWrong ? quicError('FINAL_SIZE_ERROR', `stream ${String(this.id)} has another size`, STREAM_FRAME) : null;
  }
}
