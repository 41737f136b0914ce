import type { TransportAddress } from '../base/address.js';
import { viewOf } from '../base/bytes.js';
import type { Libc } from './libc.js';
import { decodeSockaddr, encodeSockaddr, SOCKADDR_BYTES } from './sockaddr.js';

/** One control message (`struct cmsghdr` and its data). */
export interface ControlMessage {
  readonly level: number;
  readonly type: number;
  readonly data: Uint8Array;
}

export interface ReceivedMessage {
  /** `msg_name`: for the error queue the address that the datagram was sent to. */
  readonly name: TransportAddress | null;
  readonly control: readonly ControlMessage[];
  readonly payload: Uint8Array;
}

const CMSG_HEADER_BYTES = 16;
const CMSG_ALIGN_BYTES = 8;

/** Walks a control buffer; what is malformed ends it. */
export function parseControlMessages(bytes: Uint8Array): ControlMessage[] {
  const view = viewOf(bytes);
  const messages: ControlMessage[] = [];
  let offset = 0;
  while (offset + CMSG_HEADER_BYTES <= bytes.length) {
    const length = view.getUint32(offset, true);
    if (length < CMSG_HEADER_BYTES || offset + length > bytes.length) break;
    messages.push({
      level: view.getInt32(offset + 8, true),
      type: view.getInt32(offset + 12, true),
      data: bytes.slice(offset + CMSG_HEADER_BYTES, offset + length),
    });
    offset += Math.ceil(length / CMSG_ALIGN_BYTES) * CMSG_ALIGN_BYTES;
  }
  return messages;
}

/** A control buffer with one `int`. */
export function integerControlMessage(level: number, type: number, value: number): Uint8Array {
  const bytes = new Uint8Array(CMSG_HEADER_BYTES + CMSG_ALIGN_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, CMSG_HEADER_BYTES + 4, true);
  view.setInt32(8, level, true);
  view.setInt32(12, type, true);
  view.setInt32(16, value, true);
  return bytes;
}

/** Where the parts of a message lie in the buffer that C sees; `msghdr` and `iovec` first. */
const IOVEC_OFFSET = 64;
const NAME_OFFSET = 96;
const CONTROL_OFFSET = 128;
const CONTROL_BYTES = 512;
const PAYLOAD_OFFSET = CONTROL_OFFSET + CONTROL_BYTES;
const PAYLOAD_BYTES = 65536;

/** One `struct msghdr` with room for everything it points to, used again and again: calls are synchronous. */
export class MessageBuffer {
  readonly #libc: Libc;
  readonly #address: bigint;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(libc: Libc) {
    const memory = libc.allocate(PAYLOAD_OFFSET + PAYLOAD_BYTES);
    this.#libc = libc;
    this.#address = memory.address;
    this.#bytes = memory.bytes;
    this.#view = viewOf(memory.bytes);
    this.#bytes.fill(0, 0, PAYLOAD_OFFSET);
    this.#view.setBigUint64(0, memory.address + BigInt(NAME_OFFSET), true);
    this.#view.setBigUint64(16, memory.address + BigInt(IOVEC_OFFSET), true);
    this.#view.setBigUint64(24, 1n, true);
    this.#view.setBigUint64(32, memory.address + BigInt(CONTROL_OFFSET), true);
    this.#view.setBigUint64(IOVEC_OFFSET, memory.address + BigInt(PAYLOAD_OFFSET), true);
  }

  /** `sendmsg`; 0, or the errno. */
  send(fd: number, to: TransportAddress, payload: Uint8Array, control: Uint8Array, flags: number): number {
    if (payload.length > PAYLOAD_BYTES) return EMSGSIZE;
    const name = encodeSockaddr(to);
    this.#bytes.set(name, NAME_OFFSET);
    this.#bytes.set(control, CONTROL_OFFSET);
    this.#bytes.set(payload, PAYLOAD_OFFSET);
    this.#setLengths(name.length, control.length, payload.length);
    return this.#libc.sendmsg(fd, this.#address, flags) < 0 ? this.#libc.errno() : 0;
  }

  /** `recvmsg`; the message, or the errno. */
  receive(fd: number, flags: number): ReceivedMessage | number {
    this.#setLengths(SOCKADDR_BYTES, CONTROL_BYTES, PAYLOAD_BYTES);
    const length = this.#libc.recvmsg(fd, this.#address, flags);
    if (length < 0) return this.#libc.errno();
    const nameLength = this.#view.getUint32(8, true);
    const controlLength = Math.min(this.#view.getUint32(40, true), CONTROL_BYTES);
    return {
      name: decodeSockaddr(this.#bytes.subarray(NAME_OFFSET, NAME_OFFSET + Math.min(nameLength, SOCKADDR_BYTES))),
      control: parseControlMessages(this.#bytes.subarray(CONTROL_OFFSET, CONTROL_OFFSET + controlLength)),
      payload: this.#bytes.slice(PAYLOAD_OFFSET, PAYLOAD_OFFSET + length),
    };
  }

  #setLengths(name: number, control: number, payload: number): void {
    this.#view.setUint32(8, name, true);
    this.#view.setBigUint64(40, BigInt(control), true);
    this.#view.setInt32(48, 0, true);
    this.#view.setBigUint64(IOVEC_OFFSET + 8, BigInt(payload), true);
  }
}

const EMSGSIZE = 90;
