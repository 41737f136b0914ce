import { Queue } from '../../base/machine.js';
import type { Ms } from '../../base/time.js';
import { type QuicError, quicError } from '../wire/errors.js';
import { FRAME } from '../wire/frame-types.js';
import type { Frame, StreamDirection, StreamFrame } from '../wire/frames.js';
import type { TransportParameters } from '../wire/transport-parameters.js';
import { ReceiveWindow, SendCredit } from './flow-control.js';
import { ReceiveStream } from './receive-stream.js';
import { SendQueue } from './send-queue.js';
import { SendStream } from './send-stream.js';
import type { Stream, StreamEvent, StreamLimits } from './stream.js';

export type { Stream, StreamEvent, StreamLimits };

const isFromServer = (id: number): boolean => (id & 1) === 1;
const directionOf = (id: number): StreamDirection => ((id & 2) === 0 ? 'bidi' : 'uni');

/** All streams of a connection: their ids and numbers, and the window that they share (RFC 9000 §2 to §4). */
export class Streams {
  readonly window: ReceiveWindow;
  readonly #isServer: boolean;
  readonly #local: TransportParameters;
  readonly #limits: StreamLimits;
  #remote: TransportParameters | null = null;
  readonly #credit = new SendCredit(0);
  readonly #queue = new SendQueue(this.#credit);
  readonly #wake = (stream: SendStream): void => {
    this.#queue.wake(stream);
  };
  readonly #streams = new Map<number, Stream>();
  readonly #events = new Queue<StreamEvent>();
  /** Streams of which it was said that they can be read. */
  readonly #told = new Set<number>();
  /** A gap in a stream keeps the connection's window from moving. */
  #isGapped = false;
  /** Streams that were read from, or have a gap and hardly any window, since somebody asked for frames. */
  readonly #read = new Set<ReceiveStream>();
  /** Frames that are due, by what they are about: a later one takes the place of an earlier one. */
  readonly #due = new Map<string, Frame>();
  /** How many streams this end has opened, and may. */
  readonly #opened: Record<StreamDirection, number> = { bidi: 0, uni: 0 };
  readonly #allowed: Record<StreamDirection, number> = { bidi: 0, uni: 0 };
  /** How many streams the far end has opened, has finished with, and may open. */
  readonly #theirs: Record<StreamDirection, { opened: number; closed: number; limit: number }>;
  readonly #window: Record<StreamDirection, number>;
  /** Where somebody wanted to open one more than allowed. */
  readonly #refused = new Set<StreamDirection>();
  /** Of all streams together, gaps included. */
  #received = 0;

  constructor(isServer: boolean, local: TransportParameters, limits: StreamLimits) {
    this.#isServer = isServer;
    this.#local = local;
    this.#limits = limits;
    this.window = new ReceiveWindow(local.initialMaxData, limits.mostConnectionWindowBytes);
    this.#window = { bidi: local.initialMaxStreamsBidi, uni: local.initialMaxStreamsUni };
    this.#theirs = {
      bidi: { opened: 0, closed: 0, limit: local.initialMaxStreamsBidi },
      uni: { opened: 0, closed: 0, limit: local.initialMaxStreamsUni },
    };
  }

  /** The far end's limits are known. */
  setRemote(parameters: TransportParameters): void {
    this.#remote = parameters;
    this.#credit.raise(parameters.initialMaxData);
    this.#allow('bidi', parameters.initialMaxStreamsBidi);
    this.#allow('uni', parameters.initialMaxStreamsUni);
  }

  get(id: number): Stream | undefined {
    return this.#streams.get(id);
  }

  get size(): number {
    return this.#streams.size;
  }

  /** What the far end takes of all streams together, beyond what it has. */
  get creditBytes(): number {
    return this.#credit.left;
  }

  /** A new stream; `null` where the far end allows no more now. */
  open(direction: StreamDirection): Stream | null {
    const remote = this.#remote;
    if (remote === null || this.#opened[direction] >= this.#allowed[direction]) {
      this.#refused.add(direction);
      this.#due.set(`blocked ${direction}`, { type: 'streams-blocked', direction, limit: this.#allowed[direction] });
      return null;
    }
    const id = this.#opened[direction] * 4 + (direction === 'uni' ? 2 : 0) + (this.#isServer ? 1 : 0);
    this.#opened[direction] += 1;
    const limit = direction === 'bidi' ? remote.initialMaxStreamDataBidiRemote : remote.initialMaxStreamDataUni;
    const receive = direction === 'bidi' ? this.#receiveStream(id, this.#local.initialMaxStreamDataBidiLocal) : null;
    const stream = { id, send: new SendStream(id, limit, this.#wake), receive };
    this.#streams.set(id, stream);
    return stream;
  }

  takeEvent(): StreamEvent | undefined {
    return this.#events.shift();
  }

  /** A frame about streams from the far end; the error that ends the connection. Others are none of our business. */
  onFrame(frame: Frame): QuicError | null {
    switch (frame.type) {
      case 'stream':
        return this.#onData(frame);
      case 'reset-stream': {
        const found = this.#receiving(frame.stream, FRAME.RESET_STREAM);
        if (found === null || 'code' in found) return found;
        return this.#account(found, found.onReset(frame.errorCode, frame.finalSize));
      }
      case 'stop-sending': {
        const found = this.#sending(frame.stream, FRAME.STOP_SENDING);
        if (found === null || 'code' in found) return found;
        this.#events.push({ type: 'stopped', stream: frame.stream, errorCode: frame.errorCode });
        this.reset(frame.stream, frame.errorCode);
        return null;
      }
      case 'max-stream-data': {
        const found = this.#sending(frame.stream, FRAME.MAX_STREAM_DATA);
        if (found === null || 'code' in found) return found;
        found.raise(frame.maximum);
        return null;
      }
      case 'stream-data-blocked': {
        const found = this.#receiving(frame.stream, FRAME.STREAM_DATA_BLOCKED);
        return found !== null && 'code' in found ? found : null;
      }
      case 'max-data':
        this.#credit.raise(frame.maximum);
        return null;
      case 'max-streams':
        this.#allow(frame.direction, frame.maximum);
        return null;
      default:
        return null;
    }
  }

  /** Gives up what this end sends on a stream. */
  reset(id: number, errorCode: number): void {
    const stream = this.#streams.get(id);
    if (stream?.send?.reset(errorCode) !== true) return;
    this.#due.set(`reset ${String(id)}`, {
      type: 'reset-stream',
      stream: id,
      errorCode,
      finalSize: stream.send.finalSize,
    });
  }

  /** Asks the far end to send no more on a stream. */
  stop(id: number, errorCode: number): void {
    const receive = this.#streams.get(id)?.receive;
    if (receive?.stop(errorCode) !== true) return;
    this.window.consume(receive.takeGivenUp());
    this.#due.set(`stop ${String(id)}`, { type: 'stop-sending', stream: id, errorCode });
  }

  /** Bytes of a stream, as many as are there; the connection's window moves with them. */
  read(id: number, most = Infinity): Uint8Array | null {
    const receive = this.#streams.get(id)?.receive;
    const data = receive?.read(most) ?? null;
    if (receive && data !== null) {
      this.window.consume(data.length);
      this.#read.add(receive);
    } else this.#told.delete(id);
    return data;
  }

  /** Whether a stream was read to its end; true once. */
  takeEnd(id: number): boolean {
    const isEnd = this.#streams.get(id)?.receive?.takeEnd() === true;
    if (isEnd) this.#forget(id);
    return isEnd;
  }

  /** The code with which the far end gave a stream up; once. */
  takeReset(id: number): number | null {
    const code = this.#streams.get(id)?.receive?.takeReset() ?? null;
    if (code !== null) this.#forget(id);
    return code;
  }

  /** What else is to be said: limits, resets, that something is blocked. Each until it was taken. */
  takeFrames(rtt: Ms, now: Ms): Frame[] {
    if (this.window.isUpdateDue) {
      this.#due.set('max-data', { type: 'max-data', maximum: this.window.update(rtt, now) });
    } else if (this.#isGapped && this.window.isTight) {
      this.#due.set('max-data', { type: 'max-data', maximum: this.window.widen() });
    }
    this.#isGapped = false;
    for (const receive of this.#read) {
      const maximum = receive.takeLimit(rtt, now);
      const { id } = receive;
      if (maximum !== null) this.#due.set(`limit ${String(id)}`, { type: 'max-stream-data', stream: id, maximum });
    }
    this.#read.clear();
    for (const { id, isBlocked, credit } of this.#queue.takeBlocked()) {
      const limit = isBlocked ? credit.takeBlocked() : null;
      if (limit !== null) this.#due.set(`blocked ${String(id)}`, { type: 'stream-data-blocked', stream: id, limit });
    }
    const limit = this.#credit.left === 0 && this.#queue.isWaiting ? this.#credit.takeBlocked() : null;
    if (limit !== null) this.#due.set('data-blocked', { type: 'data-blocked', limit });
    if (this.#due.size === 0) return [];
    const frames = [...this.#due.values()];
    this.#due.clear();
    return frames;
  }

  /** The next part of a stream to be sent, in at most `most` bytes; the streams take turns. */
  next(most: number): ReturnType<SendQueue['next']> {
    return this.#queue.next(most);
  }

  /** The same as a frame of at most `room` bytes, and how many it has; `ahead`: see {@link SendStream.nextAhead}. */
  nextFrame(room: number, ahead = 0): ReturnType<SendQueue['nextFrame']> {
    return this.#queue.nextFrame(room, ahead);
  }

  /** How many bytes wait that the windows let go. */
  get waiting(): SendQueue['waiting'] {
    return this.#queue.waiting;
  }

  /** Whether there is a next part now. */
  get hasData(): boolean {
    return this.#queue.hasData;
  }

  onAcked(frame: Frame): void {
    if (frame.type === 'stream') {
      const send = this.#streams.get(frame.stream)?.send;
      if (!send || send.isDelivered) return;
      if (!send.onAcked(frame.offset, frame.data.length, frame.fin)) return;
      this.#events.push({ type: 'delivered', stream: frame.stream });
    } else if (frame.type === 'reset-stream') this.#streams.get(frame.stream)?.send?.onResetAcked();
    if ('stream' in frame) this.#forget(frame.stream);
  }

  /** RFC 9000 §13.3: what is still true is said again, in its newest form. */
  onLost(frame: Frame): void {
    switch (frame.type) {
      case 'stream':
        this.#streams.get(frame.stream)?.send?.onLost(frame.offset, frame.data.length, frame.fin);
        return;
      case 'reset-stream':
        if (this.#streams.get(frame.stream)?.send?.state !== 'reset-sent') return;
        this.#due.set(`reset ${String(frame.stream)}`, frame);
        return;
      case 'stop-sending': {
        const receive = this.#streams.get(frame.stream)?.receive;
        if (receive && (receive.state === 'recv' || receive.state === 'size-known')) {
          this.#due.set(`stop ${String(frame.stream)}`, frame);
        }
        return;
      }
      case 'max-data':
        this.#due.set('max-data', { type: 'max-data', maximum: this.window.limit });
        return;
      case 'max-stream-data': {
        const receive = this.#streams.get(frame.stream)?.receive;
        if (receive?.state === 'recv') {
          this.#due.set(`limit ${String(frame.stream)}`, { ...frame, maximum: receive.window.limit });
        }
        return;
      }
      case 'max-streams':
        this.#sayLimit(frame.direction);
        return;
      case 'data-blocked':
        this.#credit.repeatBlocked();
        return;
      case 'stream-data-blocked':
        this.#streams.get(frame.stream)?.send?.credit.repeatBlocked();
        return;
      default:
        return;
    }
  }

  #onData(frame: StreamFrame): QuicError | null {
    const found = this.#receiving(frame.stream, FRAME.STREAM);
    if (found === null || 'code' in found) return found;
    return this.#account(found, found.onData(frame.offset, frame.data, frame.fin));
  }

  /** New bytes count against the connection's window, too. */
  #account(receive: ReceiveStream, result: ReturnType<ReceiveStream['onData']>): QuicError | null {
    if (result.error !== null) return result.error;
    this.#received += result.newBytes;
    if (!this.window.receive(this.#received)) {
      return quicError('FLOW_CONTROL_ERROR', 'the connection beyond its limit');
    }
    // What nobody will read makes room at once.
    this.window.consume(receive.takeGivenUp());
    if (receive.isGapped) {
      this.#isGapped = true;
      if (receive.window.isTight) this.#read.add(receive);
    }
    if (!this.#told.has(receive.id) && (receive.isReadable || receive.state === 'reset-recvd')) {
      this.#told.add(receive.id);
      this.#events.push({ type: 'readable', stream: receive.id });
    }
    this.#forget(receive.id);
    return null;
  }

  #allow(direction: StreamDirection, maximum: number): void {
    this.#allowed[direction] = Math.max(this.#allowed[direction], maximum);
    this.#due.delete(`blocked ${direction}`);
    if (!this.#refused.delete(direction) || this.#opened[direction] >= this.#allowed[direction]) return;
    this.#events.push({ type: 'allowed', direction });
  }

  /** The receiving half of a stream; `null` where it is over. */
  #receiving(id: number, frameType: number): ReceiveStream | QuicError | null {
    if (directionOf(id) === 'uni' && isFromServer(id) === this.#isServer) {
      return quicError('STREAM_STATE_ERROR', 'nothing is received on a stream of ours', frameType);
    }
    const found = this.#find(id, frameType);
    return found === null || 'code' in found ? found : found.receive;
  }

  #sending(id: number, frameType: number): SendStream | QuicError | null {
    if (directionOf(id) === 'uni' && isFromServer(id) !== this.#isServer) {
      return quicError('STREAM_STATE_ERROR', 'nothing is sent on a stream of theirs', frameType);
    }
    const found = this.#find(id, frameType);
    return found === null || 'code' in found ? found : found.send;
  }

  /** A stream, opened with all below it where it is a new one of the far end (RFC 9000 §3.2); `null` where it is over. */
  #find(id: number, frameType: number): Stream | QuicError | null {
    const known = this.#streams.get(id);
    if (known !== undefined) return known;
    const direction = directionOf(id);
    const index = Math.floor(id / 4);
    if (isFromServer(id) === this.#isServer) {
      if (index < this.#opened[direction]) return null;
      return quicError('STREAM_STATE_ERROR', 'a stream of ours that is not open', frameType);
    }
    const theirs = this.#theirs[direction];
    if (index >= theirs.limit) return quicError('STREAM_LIMIT_ERROR', 'more streams than allowed', frameType);
    if (index < theirs.opened) return null;
    let last: Stream | null = null;
    for (; theirs.opened <= index; theirs.opened += 1) last = this.#accept(theirs.opened * 4 + (id & 3), direction);
    return last;
  }

  #accept(id: number, direction: StreamDirection): Stream {
    const { initialMaxStreamDataBidiRemote, initialMaxStreamDataUni } = this.#local;
    const receive = this.#receiveStream(
      id,
      direction === 'bidi' ? initialMaxStreamDataBidiRemote : initialMaxStreamDataUni,
    );
    const limit = this.#remote?.initialMaxStreamDataBidiLocal ?? 0;
    const stream = { id, send: direction === 'bidi' ? new SendStream(id, limit, this.#wake) : null, receive };
    this.#streams.set(id, stream);
    this.#events.push({ type: 'opened', stream });
    return stream;
  }

  #receiveStream(id: number, windowBytes: number): ReceiveStream {
    return new ReceiveStream(id, new ReceiveWindow(windowBytes, this.#limits.mostStreamWindowBytes));
  }

  /** Where both halves are over, the stream makes room for another. */
  #forget(id: number): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    const isSent = stream.send === null || stream.send.isDelivered || stream.send.state === 'reset-recvd';
    const isRead = stream.receive === null || stream.receive.isOver;
    if (!isSent || !isRead) return;
    this.#streams.delete(id);
    this.#told.delete(id);
    if (isFromServer(id) === this.#isServer) return;
    const direction = directionOf(id);
    const theirs = this.#theirs[direction];
    theirs.closed += 1;
    // Half of those that may be open at once are over: more may come.
    if (theirs.limit - theirs.closed <= this.#window[direction] / 2) this.#sayLimit(direction);
  }

  #sayLimit(direction: StreamDirection): void {
    const theirs = this.#theirs[direction];
    theirs.limit = Math.max(theirs.limit, theirs.closed + this.#window[direction]);
    this.#due.set(`streams ${direction}`, { type: 'max-streams', direction, maximum: theirs.limit });
  }
}
