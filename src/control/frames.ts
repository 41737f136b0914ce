import { concatBytes, utf8Bytes, viewOf } from '../base/bytes.js';

/** A frame: the length of what follows (4 bytes, big-endian), then one JSON value in UTF-8. */
const HEADER_BYTES = 4;
export const MAX_FRAME_BYTES = 1024 * 1024;
const MAX_DEPTH = 32;

/** `null` when `value` does not fit into a frame. */
export function encodeFrame(value: Readonly<Record<string, unknown>>): Uint8Array | null {
  const body = utf8Bytes(JSON.stringify(value));
  if (body.length > MAX_FRAME_BYTES) return null;
  const header = new Uint8Array(HEADER_BYTES);
  viewOf(header).setUint32(0, body.length);
  return concatBytes(header, body);
}

export type Frame =
  | { readonly type: 'value'; readonly value: unknown; readonly bytes: number }
  /** The stream cannot be read on from here. */
  | { readonly type: 'broken'; readonly reason: string };

/** Takes a byte stream in pieces of any size. Holds at most one frame of `maxBytes` and the last piece. */
export class FrameDecoder {
  /** A longer frame breaks the stream as soon as its length is read. May be changed between frames. */
  maxBytes: number;
  #buffer = new Uint8Array(0);
  #start = 0;
  #end = 0;
  #broken: string | null = null;
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  push(bytes: Uint8Array): void {
    if (this.#broken !== null) return;
    const held = this.#end - this.#start;
    if (this.#end + bytes.length > this.#buffer.length) {
      // Doubling keeps a frame that comes byte by byte linear.
      const grown =
        held + bytes.length > this.#buffer.length ? new Uint8Array(2 * (held + bytes.length)) : this.#buffer;
      grown.set(this.#buffer.subarray(this.#start, this.#end));
      this.#buffer = grown;
      this.#start = 0;
      this.#end = held;
    }
    this.#buffer.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** The next whole frame; `undefined` when more bytes are needed. Once broken it stays broken. */
  next(): Frame | undefined {
    if (this.#broken !== null) return { type: 'broken', reason: this.#broken };
    const held = this.#buffer.subarray(this.#start, this.#end);
    if (held.length < HEADER_BYTES) return undefined;
    const length = viewOf(held).getUint32(0);
    if (length > this.maxBytes) return this.#break(`a frame of ${String(length)} bytes is too long`);
    const bytes = HEADER_BYTES + length;
    if (held.length < bytes) return undefined;
    this.#start += bytes;
    const body = held.subarray(HEADER_BYTES, bytes);
    if (depthOf(body) > MAX_DEPTH) return this.#break('a frame is nested too deeply');
    try {
      const value: unknown = JSON.parse(this.#utf8.decode(body));
      return { type: 'value', value, bytes };
    } catch {
      return this.#break('a frame is not JSON in UTF-8');
    }
  }

  #break(reason: string): Frame {
    this.#broken = reason;
    this.#buffer = new Uint8Array(0);
    this.#start = this.#end = 0;
    return { type: 'broken', reason };
  }
}

/** How deep brackets nest outside of strings; counted first, so that nothing recursive ever meets a deep value. */
function depthOf(json: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let index = 0; index < json.length; index += 1) {
    const byte = json[index];
    if (inString) {
      if (byte === BACKSLASH) index += 1;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === OPEN_BRACKET || byte === OPEN_BRACE) deepest = Math.max(deepest, (depth += 1));
    else if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) depth -= 1;
  }
  return deepest;
}

const [QUOTE, BACKSLASH, OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = utf8Bytes('"\\[]{}');
