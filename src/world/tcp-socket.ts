import type { TransportAddress } from '../base/address.js';
import { Alarm } from './alarm.js';
import type { Network } from './network.js';
import type { TcpConnection, TcpInput, TcpOutput } from './tcp-connection.js';
import type { TcpSegment } from './tcp-segment.js';

/** What the owner of a stream is told. */
export interface TcpHandlers {
  readonly open?: () => void;
  readonly data: (bytes: Uint8Array) => void;
  /** The far end writes nothing more; this end still may. */
  readonly end?: () => void;
  /** The stream is over, by the kernel's name: `ECONNREFUSED`, `ETIMEDOUT`, `ECONNRESET`, `EHOSTUNREACH` … */
  readonly failed?: (code: string) => void;
}

/** One end of a TCP connection, as a process holds it. After `close` and `abort` its handlers hear nothing more. */
export interface TcpStream {
  readonly local: TransportAddress;
  readonly remote: TransportAddress;
  /** Takes any number of bytes. */
  write(bytes: Uint8Array): void;
  /** Nothing more will be written: a FIN behind what was. */
  end(): void;
  /** As the kernel does when a process closes its socket or dies: what was written still leaves, what comes is reset. */
  close(): void;
  /** Reset at once. */
  abort(): void;
  /** Stops and goes on reading; meanwhile the far end fills the window, then waits. */
  pause(): void;
  resume(): void;
}

export interface TcpSocketOptions {
  readonly local: TransportAddress;
  readonly remote: TransportAddress;
  readonly device: string | null;
  readonly network: Network;
  readonly connection: TcpConnection;
  /** Gives what the host said of it to the connection. */
  readonly send: (segment: TcpSegment) => TcpInput | null;
  readonly closed: () => void;
}

/** Pumps one connection on the network's clock. */
export class TcpSocket implements TcpStream {
  readonly local: TransportAddress;
  readonly remote: TransportAddress;
  readonly device: string | null;
  handlers: TcpHandlers | null = null;
  onOpen: () => void = () => this.handlers?.open?.();
  readonly #options: TcpSocketOptions;
  readonly #alarm: Alarm;
  #pumping = false;

  constructor(options: TcpSocketOptions) {
    this.#options = options;
    this.local = options.local;
    this.remote = options.remote;
    this.device = options.device;
    this.#alarm = new Alarm(
      options.network,
      () => options.connection.deadline(),
      () => {
        this.handle({ type: 'timeout' });
      },
    );
  }

  write(bytes: Uint8Array): void {
    this.handle({ type: 'write', bytes });
  }

  end(): void {
    this.handle({ type: 'end' });
  }

  close(): void {
    this.handlers = null;
    this.handle({ type: 'close' });
  }

  abort(): void {
    this.handlers = null;
    this.handle({ type: 'abort' });
  }

  pause(): void {
    this.handle({ type: 'read', reads: false });
  }

  resume(): void {
    this.handle({ type: 'read', reads: true });
  }

  /** It never gets as far as to a SYN. */
  refuse(code: string): void {
    const { handlers } = this;
    this.abort();
    handlers?.failed?.(code);
  }

  isReplacedBy(segment: TcpSegment): boolean {
    return this.#options.connection.isReplacedBy(segment);
  }

  handle(input: TcpInput): void {
    const { connection, network } = this.#options;
    if (connection.isClosed) return;
    connection.handle(input, network.now);
    // A handler that writes has its segments sent by the loop that called it.
    if (this.#pumping) return;
    this.#pumping = true;
    for (let output = connection.poll(); output; output = connection.poll()) this.#perform(output);
    this.#pumping = false;
    this.#settle();
  }

  #settle(): void {
    const { connection, closed } = this.#options;
    if (connection.isClosed) closed();
    else this.#alarm.update();
  }

  #perform(output: TcpOutput): void {
    const { connection, network, send } = this.#options;
    switch (output.type) {
      case 'segment': {
        const answer = send(output.segment);
        if (answer) connection.handle(answer, network.now);
        return;
      }
      case 'open':
        this.onOpen();
        return;
      case 'data':
        this.handlers?.data(output.bytes);
        return;
      case 'end':
        this.handlers?.end?.();
        return;
      case 'failed':
        this.handlers?.failed?.(output.code);
    }
  }
}
