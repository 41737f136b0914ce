import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { scopeOf, transportAddress } from '../base/address.js';
import type { Family } from '../base/address.js';
import { errorCode } from '../base/errors.js';
import { kernelSockets } from '../os/socket.js';
import type { KernelSocketsState, QueuedError } from '../os/socket.js';
import type { SessionInput, SessionOutput, SocketId } from '../session/io.js';

type Open = Extract<SessionOutput, { type: 'open' }>;
type Send = Extract<SessionOutput, { type: 'send' }>;

interface Entry {
  readonly id: SocketId;
  readonly family: Family;
  readonly socket: Socket;
  /** `null` where the socket is Node's own: no pinning, no error queue. */
  readonly fd: number | null;
  readonly pinned: boolean;
  opened: boolean;
  closed: boolean;
  /** Sends that wait for the one before: Node's own sockets only, so that a TTL is set for one datagram alone. */
  readonly waiting: Send[];
  sending: boolean;
}

/**
 * The UDP sockets of a session. Where the kernel's own calls are to be had (os/), a socket is pinned to its device,
 * sends are synchronous system calls, and the error queue is emptied before each (design notes, net/): an ICMP error
 * that one far end caused must not fail the next send to another. Elsewhere: bound by address, and `pinned` says so.
 */
export class UdpSockets {
  readonly #emit: (input: SessionInput) => void;
  readonly #kernel: KernelSocketsState;
  readonly #entries = new Map<SocketId, Entry>();

  constructor(emit: (input: SessionInput) => void, kernel: KernelSocketsState = kernelSockets()) {
    this.#emit = emit;
    this.#kernel = kernel;
  }

  /** Answers with `opened` or `socket-failed`. */
  open(request: Open): void {
    let made: Pick<Entry, 'fd' | 'pinned'> | null = null;
    try {
      made = this.#make(request);
      const { family } = request.address;
      const socket = createSocket({ type: family === 'ipv4' ? 'udp4' : 'udp6', ipv6Only: family === 'ipv6' });
      const entry: Entry = {
        ...made,
        id: request.socket,
        family,
        socket,
        opened: false,
        closed: false,
        waiting: [],
        sending: false,
      };
      this.close(request.socket);
      this.#entries.set(entry.id, entry);
      this.#listen(entry);
      if (entry.fd !== null) socket.bind({ fd: entry.fd, exclusive: true });
      else socket.bind({ address: request.address.address, port: request.address.port, exclusive: true });
    } catch (error) {
      this.close(request.socket);
      // `bind` throws only where it did not take the descriptor over.
      const fd = made?.fd ?? null;
      if (fd !== null) this.#kernel.sockets?.close(fd);
      this.#emit({ type: 'socket-failed', socket: request.socket, code: errorCode(error), message: messageOf(error) });
    }
  }

  #make({ interface: name, address, pin }: Open): Pick<Entry, 'fd' | 'pinned'> {
    const { sockets } = this.#kernel;
    if (!sockets) return { fd: null, pinned: false };
    const open = (device: string | null): number => sockets.open({ protocol: 'udp', local: address, device });
    // A loopback address is on no device but `lo`: to pin it to the interface that it stands in for would cut it off.
    if (!pin || scopeOf(address.address) === 'loopback') return { fd: open(null), pinned: false };
    try {
      return { fd: open(name), pinned: true };
    } catch (error) {
      // Kernels before 5.7 pin for root alone.
      if (errorCode(error) !== 'EPERM') throw error;
      return { fd: open(null), pinned: false };
    }
  }

  #listen(entry: Entry): void {
    const { socket, id } = entry;
    socket.on('listening', () => {
      entry.opened = true;
      const { address, port } = socket.address();
      this.#emit({ type: 'opened', socket: id, local: transportAddress(address, port), pinned: entry.pinned });
    });
    socket.on('message', (bytes, { address, port }) => {
      if (entry.closed) return;
      // As everywhere in the house `slice` copies: that of a Buffer does not.
      const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
      this.#emit({ type: 'datagram', socket: id, from: transportAddress(address, port), bytes: plain });
    });
    socket.on('error', (error) => {
      if (entry.closed) return;
      if (entry.opened && (this.#drain(entry) > 0 || isTransient(errorCode(error)))) return;
      this.#fail(entry, error);
    });
  }

  #fail(entry: Entry, error: unknown): void {
    this.close(entry.id);
    this.#emit({ type: 'socket-failed', socket: entry.id, code: errorCode(error), message: messageOf(error) });
  }

  /** Answers with `sent`. */
  send(request: Send): void {
    const entry = this.#entries.get(request.socket);
    if (!entry) this.#sent(request, 'EBADF');
    else if (request.to.family !== entry.family) this.#sent(request, 'EAFNOSUPPORT');
    else if (entry.fd !== null) this.#sent(request, this.#sendNow(entry, entry.fd, request));
    else {
      entry.waiting.push(request);
      this.#sendNext(entry);
    }
  }

  #sendNow(entry: Entry, fd: number, { to, bytes, ttl }: Send): string | null {
    const { sockets } = this.#kernel;
    if (!sockets) return 'EBADF';
    this.#drain(entry);
    if (sockets.send(fd, to, bytes, ttl) === null) return null;
    // An error that arrived since the drain is reported by whatever send comes next, and that one has not left.
    this.#drain(entry);
    return sockets.send(fd, to, bytes, ttl);
  }

  #sendNext(entry: Entry): void {
    const request = entry.sending || entry.closed ? undefined : entry.waiting.shift();
    if (!request) return;
    entry.sending = true;
    const done = (code: string | null): void => {
      entry.sending = false;
      if (request.ttl !== undefined && !entry.closed) entry.socket.setTTL(DEFAULT_TTL);
      this.#sent(request, code);
      this.#sendNext(entry);
    };
    try {
      if (request.ttl !== undefined) entry.socket.setTTL(request.ttl);
      entry.socket.send(request.bytes, request.to.port, request.to.address, (error) => {
        done(error ? errorCode(error) : null);
      });
    } catch (error) {
      done(errorCode(error));
    }
  }

  #sent({ token }: Send, code: string | null): void {
    this.#emit({ type: 'sent', token, code });
  }

  /** Empties the error queue; the number of errors that were in it. */
  #drain(entry: Entry): number {
    if (entry.fd === null || !this.#kernel.sockets) return 0;
    const errors = this.#kernel.sockets.drainErrors(entry.fd);
    for (const error of errors) this.#report(entry, error);
    return errors.length;
  }

  #report({ id, family }: Entry, { origin, type, icmpCode, sender, destination, quoted }: QueuedError): void {
    if ((origin !== 'icmp' && origin !== 'icmp6') || sender === null || destination === null) return;
    this.#emit({
      type: 'icmp',
      socket: id,
      to: destination,
      error: { family, type, code: icmpCode, from: sender },
      quoted,
    });
  }

  close(id: SocketId): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    this.#entries.delete(id);
    entry.closed = true;
    entry.socket.close();
    for (const request of entry.waiting.splice(0)) this.#sent(request, 'ECANCELED');
  }

  closeAll(): void {
    for (const id of [...this.#entries.keys()]) this.close(id);
  }
}

const DEFAULT_TTL = 64;

/** What ICMP turns into on a socket that goes on working (icmp(7), `icmp_err_convert`). */
function isTransient(code: string): boolean {
  return /^(?:ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENOPROTOOPT|EOPNOTSUPP|EPROTO|EMSGSIZE|EACCES|ETIMEDOUT)$/.test(
    code,
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
