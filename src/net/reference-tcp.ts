import { randomBytes } from 'node:crypto';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { scopeOf, transportAddress } from '../base/address.js';
import type { TransportAddress } from '../base/address.js';
import { concatBytes, equalBytes, viewOf } from '../base/bytes.js';
import { errorCode } from '../base/errors.js';
import type { Ms } from '../base/time.js';
import { kernelSockets } from '../os/socket.js';
import type { KernelSockets, KernelSocketsState } from '../os/socket.js';
import { monotonicNow } from './clock.js';

export interface TcpRequest {
  readonly interface: string;
  readonly from: string;
  readonly to: TransportAddress;
  readonly pin: boolean;
  readonly timeoutMs: Ms;
}

export interface TcpResult {
  /** `null`: a STUN answer came. `EPROTO`: something else did. Otherwise as the kernel names it. */
  readonly code: string | null;
  readonly afterMs: Ms;
}

const HEADER_BYTES = 20;
const COOKIE_BYTES = Uint8Array.of(0x21, 0x12, 0xa4, 0x42);

/** A STUN Binding request over a TCP connection of its own (RFC 8489 §6.2.2: the message is its own frame). Never throws. */
export async function connectReferenceTcp(
  request: TcpRequest,
  signal: AbortSignal,
  kernel: KernelSocketsState = kernelSockets(),
): Promise<TcpResult> {
  const started = monotonicNow();
  // A timer of our own: Node may collect an AbortSignal.timeout() inside AbortSignal.any() before it fires (nodejs/node#57736).
  const over = new AbortController();
  const abort = (): void => {
    over.abort();
  };
  const timer = setTimeout(abort, request.timeoutMs);
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  const limit = over.signal;
  let code: string | null;
  try {
    const socket = kernel.sockets ? await connectPinned(kernel.sockets, request, limit) : connectByAddress(request);
    code = await askStun(socket, limit);
  } catch (error) {
    code = limit.aborted ? 'ETIMEDOUT' : errorCode(error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
  return { code, afterMs: monotonicNow() - started };
}

/** How often a connection that is under way is looked at: `net.Socket` takes none that is not connected yet. */
const POLL_MS = 5;

async function connectPinned(
  sockets: KernelSockets,
  { interface: name, from, to, pin }: TcpRequest,
  limit: AbortSignal,
): Promise<Socket> {
  const device = pin && scopeOf(from) !== 'loopback' ? name : null;
  const fd = sockets.open({ protocol: 'tcp', local: transportAddress(from, 0), device });
  try {
    sockets.connect(fd, to);
    for (;;) {
      const state = sockets.connection(fd);
      if (state === 'connected') return new Socket({ fd });
      if (state !== null) throw Object.assign(new Error(`connect ${state}`), { code: state });
      await delay(POLL_MS, undefined, { signal: limit });
    }
  } catch (error) {
    sockets.close(fd);
    throw error;
  }
}

function connectByAddress({ from, to }: TcpRequest): Socket {
  return new Socket().connect({ host: to.address, port: to.port, localAddress: from });
}

function askStun(socket: Socket, limit: AbortSignal): Promise<string | null> {
  return new Promise((resolve) => {
    const transaction = randomBytes(12);
    let received: Uint8Array = new Uint8Array(0);
    const finish = (code: string | null): void => {
      limit.removeEventListener('abort', onAbort);
      socket.destroy();
      resolve(code);
    };
    const onAbort = (): void => {
      finish('ETIMEDOUT');
    };
    limit.addEventListener('abort', onAbort);
    if (limit.aborted) onAbort();
    socket.on('error', (error) => {
      finish(errorCode(error));
    });
    socket.on('end', () => {
      finish('ECONNRESET');
    });
    socket.on('data', (chunk) => {
      received = concatBytes(received, chunk);
      const verdict = readAnswer(received, transaction);
      if (verdict !== 'incomplete') finish(verdict);
    });
    socket.write(concatBytes(Uint8Array.of(0, 1, 0, 0), COOKIE_BYTES, transaction));
  });
}

/** `null`: a Binding answer, success or error, to this transaction. */
function readAnswer(bytes: Uint8Array, transaction: Uint8Array): 'incomplete' | 'EPROTO' | null {
  if (bytes.length < HEADER_BYTES) return 'incomplete';
  const type = viewOf(bytes).getUint16(0);
  const own =
    equalBytes(bytes.subarray(4, 8), COOKIE_BYTES) && equalBytes(bytes.subarray(8, HEADER_BYTES), transaction);
  if (!own || (type !== 0x0101 && type !== 0x0111)) return 'EPROTO';
  return bytes.length < HEADER_BYTES + viewOf(bytes).getUint16(2) ? 'incomplete' : null;
}
