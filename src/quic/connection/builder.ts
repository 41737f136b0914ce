import type { Ms } from '../../base/time.js';
import { MIN_PLAIN_BYTES, protectPacket } from '../crypto/protection.js';
import { TAG_BYTES } from '../crypto/suites.js';
import type { Space } from '../recovery/path-recovery.js';
import { type Frame, isAckEliciting, type StreamFrame } from '../wire/frames.js';
import { writeLongHeader, writeLongLength, writeShortHeader } from '../wire/header.js';
import { packetNumberLength, type PacketNumberLength } from '../wire/packet-number.js';
import { frameLength, writeFrame, writeStream } from '../wire/write-frames.js';
import { Writer } from '../wire/writer.js';
import type { Core } from './core.js';
import type { Path } from './path.js';

const NOTHING = new Uint8Array();

/** Builds one packet where it will lie in its datagram: header, frames, then padding and protection. */
export class PacketBuilder {
  readonly space: Space;
  isEliciting = false;
  isMtuProbe = false;
  readonly #core: Core;
  readonly #path: Path;
  readonly #writer: Writer;
  readonly #start: number;
  readonly #packetNumber: number;
  readonly #packetNumberAt: number;
  readonly #packetNumberLength: PacketNumberLength;
  readonly #frames: Frame[] = [];
  #isPadded = false;
  #hasFrames = false;

  /** `end`: of the datagram, as large as it may become; `destination`: the connection id that it goes to. */
  constructor(
    core: Core,
    path: Path,
    space: Space,
    destination: Uint8Array,
    into: Uint8Array,
    start: number,
    end: number,
  ) {
    this.#core = core;
    this.#path = path;
    this.space = space;
    this.#start = start;
    const { handshake } = core;
    const packetNumber = space === 'application' ? path.nextPacketNumber : handshake.long(space).nextPacketNumber;
    const length = packetNumberLength(packetNumber, path.recovery.largestAcked(space));
    this.#packetNumber = packetNumber;
    this.#packetNumberLength = length;
    this.#writer = new Writer(into, start, end - TAG_BYTES);
    if (space === 'application') {
      const keyPhase = handshake.keys?.keyPhase ?? 0;
      const header = { destination, keyPhase, spin: 0, packetNumber, packetNumberLength: length } as const;
      this.#packetNumberAt = writeShortHeader(this.#writer, header);
    } else {
      const token = space === 'initial' ? handshake.token : NOTHING;
      const { source } = handshake;
      const header = { type: space, destination, source, token, packetNumber, packetNumberLength: length };
      this.#packetNumberAt = writeLongHeader(this.#writer, header);
    }
  }

  get room(): number {
    return this.#writer.left;
  }

  /** Where the next packet of the datagram can begin. */
  get end(): number {
    return Math.max(this.#writer.offset, this.#packetNumberAt + MIN_PLAIN_BYTES) + TAG_BYTES;
  }

  get isEmpty(): boolean {
    return !this.#hasFrames;
  }

  /** False where it does not fit. */
  add(frame: Frame): boolean {
    if (frameLength(frame) > this.#writer.left) return false;
    this.put(frame);
    return true;
  }

  /** Of a frame that is known to fit. */
  put(frame: Frame): void {
    writeFrame(this.#writer, frame);
    this.#hasFrames = true;
    if (isAckEliciting(frame)) this.isEliciting = true;
    this.#frames.push(frame);
  }

  /** The same as {@link put}: nearly all frames that are sent are such. */
  putStream(frame: StreamFrame): void {
    writeStream(this.#writer, frame);
    this.#hasFrames = true;
    this.isEliciting = true;
    this.#frames.push(frame);
  }

  pad(bytes: number): void {
    if (bytes <= 0) return;
    this.#writer.zeros(bytes);
    this.#isPadded = true;
  }

  /** Pads the packet so that its datagram has `size` bytes, counted from `datagramStart`; not beyond its end. */
  padTo(datagramStart: number, size: number): void {
    this.pad(Math.min(datagramStart + size - TAG_BYTES - this.#writer.offset, this.#writer.left));
  }

  /** Protects the packet, and counts it as sent; returns its end. */
  finish(now: Ms, isMarked: boolean): number {
    const core = this.#core;
    const path = this.#path;
    const { space } = this;
    const writer = this.#writer;
    const bytes = writer.bytes;
    this.pad(this.#packetNumberAt + MIN_PLAIN_BYTES - writer.offset);
    const place = {
      start: this.#start,
      packetNumberAt: this.#packetNumberAt,
      packetNumberLength: this.#packetNumberLength,
      end: writer.offset,
    };
    const packetNumber = this.#packetNumber;
    let end: number;
    if (space === 'application') {
      path.nextPacketNumber += 1;
      end = core.handshake.keys?.protect(bytes, place, path.id, packetNumber) ?? place.end;
    } else {
      const long = core.handshake.long(space);
      long.nextPacketNumber += 1;
      writeLongLength(bytes, place.packetNumberAt, place.end + TAG_BYTES);
      end = long.write === null ? place.end : protectPacket(bytes, place, long.write, 0, packetNumber);
    }
    const size = end - this.#start;
    const isEliciting = this.isEliciting;
    path.recovery.onSent(space, {
      packetNumber,
      sentAt: now,
      bytes: size,
      isAckEliciting: isEliciting,
      inFlight: isEliciting || this.#isPadded,
      isMarked,
      mtuProbe: this.isMtuProbe,
      content: { space, frames: this.#frames, isRequeued: false },
    });
    if (isEliciting) {
      path.lastElicitingAt = now;
      if (core.elicitedAt < 0) core.elicitedAt = now;
    }
    const { observe } = core.options;
    observe?.({ type: 'packet-sent', space, path: path.id, packetNumber, bytes: size, frames: this.#frames }, now);
    return end;
  }
}
