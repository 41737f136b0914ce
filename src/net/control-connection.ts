import { performance } from 'node:perf_hooks';
import type { TLSSocket } from 'node:tls';
import { formatTransportAddress, transportAddress } from '../base/address.js';
import { errorCode, type IcepathError } from '../base/errors.js';
import { drain, Queue } from '../base/machine.js';
import { NEVER } from '../base/time.js';
import type { ControlChannel, ControlInput } from '../control/channel.js';
import { controlError, type ControlCode } from '../control/errors.js';
import type { ControlPort } from './control-port.js';

/** What one side holds for the other before it gives up: written and not taken, or received and not fetched. */
const MAX_BACKLOG_BYTES = 8 * 1024 * 1024;
/** How long what was sent may take to leave after `close`. */
const LINGER_MS = 5000;

export interface ConnectionEvents {
  readonly authenticated: (connection: ControlConnection) => void;
  /** The channel is over; once. `code` is null after our own `close`. */
  readonly ended: (code: ControlCode | null, reason: string) => void;
}

/**
 * Pumps a control channel over a TLS connection that is up. `via`: the URL of the rendezvous that carries it, which can
 * change and hold back what it likes; TLS tells the one, the goodbye that is missing the other.
 */
export class ControlConnection implements ControlPort {
  readonly peerAddress: string;
  failure: IcepathError | null = null;
  readonly #via: string | null;
  readonly #socket: TLSSocket;
  readonly #channel: ControlChannel;
  readonly #events: ConnectionEvents;
  readonly #received = new Queue<{ readonly message: unknown; readonly bytes: number }>();
  #receivedBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;
  #lost: string | null = null;
  #onMessage: ControlPort['onMessage'] = null;
  #onLost: ControlPort['onLost'] = null;

  constructor(socket: TLSSocket, channel: ControlChannel, events: ConnectionEvents, via: string | null = null) {
    this.#via = via;
    this.#socket = socket;
    this.#channel = channel;
    this.#events = events;
    this.peerAddress = via === null ? peerAddressOf(socket) : `through ${via}`;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => {
      this.#handle({ type: 'bytes', bytes });
    });
    let code: ControlCode = via === null ? 'control-closed' : 'rendezvous-cut';
    let reason =
      via === null ? 'The connection to the far end has ended.' : 'It ended before the far end said goodbye.';
    socket.on('error', (error) => {
      reason = `The connection to the far end broke (${errorCode(error)}).`;
      if (via === null || !isDamage(error)) return;
      code = 'rendezvous-tampered';
      reason = `What one end sent did not arrive at the other as it was (${errorCode(error)}).`;
    });
    const gone = (): void => {
      this.#handle({ type: 'closed', code, reason });
    };
    socket.on('end', gone);
    socket.on('close', gone);
    this.#handle({ type: 'open' });
  }

  get onMessage(): ControlPort['onMessage'] {
    return this.#onMessage;
  }

  set onMessage(listener: ControlPort['onMessage']) {
    this.#onMessage = listener;
    this.#deliverSoon();
  }

  get onLost(): ControlPort['onLost'] {
    return this.#onLost;
  }

  set onLost(listener: ControlPort['onLost']) {
    this.#onLost = listener;
    this.#deliverSoon();
  }

  send(message: Readonly<Record<string, unknown>>): void {
    this.#handle({ type: 'send', message });
  }

  close(reason: string): void {
    this.#onMessage = this.#onLost = null;
    this.#handle({ type: 'close', reason });
  }

  #handle(input: ControlInput): void {
    if (this.#ended) return;
    this.#channel.handle(input, performance.now());
    for (const output of drain(this.#channel)) {
      switch (output.type) {
        case 'bytes':
          if (this.#socket.writable) this.#socket.write(output.bytes);
          break;
        case 'authenticated':
          this.#events.authenticated(this);
          break;
        case 'message':
          this.#received.push(output);
          this.#receivedBytes += output.bytes;
          break;
        case 'lost':
          this.#end(output.code, output.reason);
          // Nothing more would leave: the far end takes nothing.
          if (output.code === 'control-silent' || output.code === 'control-backlog') this.#socket.destroy();
          break;
        case 'close':
          this.#end(null, '');
          this.#finish();
      }
    }
    this.#deliver();
    this.#bound();
    this.#schedule();
  }

  #end(code: ControlCode | null, reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    const told = code === null || this.#via === null ? reason : `Through the rendezvous ${this.#via}: ${reason}`;
    if (code !== null) {
      this.#lost = told;
      if (this.#via !== null && code !== 'control-closed') this.failure = controlError(code, told);
    }
    this.#events.ended(code, told);
  }

  #bound(): void {
    if (this.#ended) return;
    if (this.#socket.writableLength > MAX_BACKLOG_BYTES) {
      this.#handle({ type: 'closed', code: 'control-backlog', reason: 'The far end does not take what it is sent.' });
    } else if (this.#receivedBytes > MAX_BACKLOG_BYTES) {
      this.#handle({ type: 'closed', code: 'control-backlog', reason: 'The far end sends faster than it is heard.' });
    }
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const deadline = this.#channel.deadline();
    if (this.#ended || deadline === NEVER) return;
    this.#timer = setTimeout(
      () => {
        this.#handle({ type: 'timeout' });
      },
      Math.max(0, Math.ceil(deadline - performance.now())),
    );
  }

  /** What was written leaves; what still comes is read and thrown away, so that the far end's writes do not fail. */
  #finish(): void {
    if (this.#socket.destroyed) return;
    this.#socket.end();
    const linger = setTimeout(() => {
      this.#socket.destroy();
    }, LINGER_MS);
    this.#socket.once('close', () => {
      clearTimeout(linger);
    });
  }

  #deliverSoon(): void {
    queueMicrotask(() => {
      this.#deliver();
    });
  }

  #deliver(): void {
    while (this.#onMessage) {
      const received = this.#received.shift();
      if (!received) break;
      this.#receivedBytes -= received.bytes;
      this.#onMessage(received.message);
    }
    if (this.#lost !== null && this.#onLost) {
      const reason = this.#lost;
      this.#lost = null;
      this.#onLost(reason);
    }
  }
}

/** What TLS says of records that are not those that were sent, one after the other; also the far end's alert of it. */
export function isDamage(error: unknown): boolean {
  return /^(ERR_SSL_|EPROTO$)/.test(errorCode(error));
}

/** `ADDRESS:PORT` of the far end, without an IPv4 address's IPv6 clothes. */
export function peerAddressOf({ remoteAddress = '', remotePort = 0 }: TLSSocket): string {
  try {
    return formatTransportAddress(transportAddress(remoteAddress, remotePort));
  } catch {
    return 'unknown';
  }
}
