import { formatTransportAddress, type TransportAddress } from '../base/address.js';
import { utf8Bytes } from '../base/bytes.js';
import type { IcepathError } from '../base/errors.js';
import { drain } from '../base/machine.js';
import type { Ms } from '../base/time.js';
import { ControlChannel, type ControlInput } from '../control/channel.js';
import { type ControlCode, controlError } from '../control/errors.js';
import { Alarm } from './alarm.js';
import type { TcpHandlers, TcpStream } from './tcp-socket.js';
import type { ControlPort, VirtualDriver } from './virtual-driver.js';

/** The next address is tried after so long, or as soon as one has failed: as net/control-client.ts does. */
const STAGGER_MS: Ms = 250;
/** For all addresses together. */
const CONNECT_MS: Ms = 8000;
/** How long what was sent may take to leave after `close`, as in net/control-connection.ts. */
const LINGER_MS: Ms = 5000;
/**
 * There is no TLS on a virtual clock: nobody in the model listens in or stands in the middle. Both ends authenticate
 * all the same, with what an invite and two certificates would give them.
 */
const NO_TLS = {
  secret: utf8Bytes('a virtual world.'),
  binding: {
    exporter: new Uint8Array(32),
    clientFingerprint: new Uint8Array(32),
    serverFingerprint: new Uint8Array(32),
  },
} as const;

export interface ControlOptions {
  readonly client: VirtualDriver;
  readonly server: VirtualDriver;
  /** Of the server, where it listens: the first that answers is taken, as with the addresses of an invite. */
  readonly addresses: readonly TransportAddress[];
  /** No address led to the server. */
  readonly failed?: (error: IcepathError) => void;
}

/** Has the server listen and the client connect: from then on each is the authenticated far end of the other. */
export function connectControl({ client, server, addresses, failed }: ControlOptions): void {
  for (const address of addresses) listen(server, address);
  new Attempts(client, addresses, failed ?? (() => undefined)).next();
}

function listen(server: VirtualDriver, at: TransportAddress): void {
  const stop = server.host.tcp.listen(at, (stream) => {
    const channel = new ControlChannel({ role: 'server', ...NO_TLS, admit: () => !server.isConnected });
    return new ControlConnection(server, channel, {}, () => stream).handlers;
  });
  if (typeof stop !== 'string') server.hold(stop);
}

/** One after the other to all addresses of the server, each a moment after the one before. */
class Attempts {
  readonly #client: VirtualDriver;
  readonly #waiting: TransportAddress[];
  readonly #failed: (error: IcepathError) => void;
  readonly #open = new Map<ControlConnection, TransportAddress>();
  readonly #failures: string[] = [];
  #turn = 0;
  #isOver = false;

  constructor(client: VirtualDriver, addresses: readonly TransportAddress[], failed: (error: IcepathError) => void) {
    this.#client = client;
    this.#waiting = [...addresses];
    this.#failed = failed;
    client.network.after(CONNECT_MS, () => {
      this.#end('control-timeout');
    });
  }

  next(): void {
    if (this.#isOver || this.#client.isOver) return;
    const to = this.#waiting.shift();
    if (!to) {
      if (this.#open.size === 0) this.#end('control-unreachable');
      return;
    }
    const { host, network } = this.#client;
    const channel = new ControlChannel({ role: 'client', ...NO_TLS, fingerprint: NO_TLS.binding.serverFingerprint });
    const events: ConnectionEvents = {
      authenticated: () => {
        this.#open.delete(connection);
        this.#settle();
      },
      failed: (reason) => {
        this.#fail(to, reason);
        this.#open.delete(connection);
        this.next();
      },
    };
    const connection = new ControlConnection(this.#client, channel, events, (handlers) =>
      host.tcp.connect({ from: null, device: null, to }, handlers),
    );
    this.#open.set(connection, to);
    this.#turn += 1;
    const turn = this.#turn;
    network.after(STAGGER_MS, () => {
      if (turn === this.#turn && this.#waiting.length > 0) this.next();
    });
  }

  #fail(address: TransportAddress, reason: string): void {
    this.#failures.push(`${formatTransportAddress(address)}: ${reason}`);
  }

  #settle(): void {
    this.#isOver = true;
    for (const connection of this.#open.keys()) connection.abandon();
    this.#open.clear();
  }

  #end(code: ControlCode): void {
    if (this.#isOver) return;
    for (const address of this.#open.values()) this.#fail(address, `No answer within ${CONNECT_MS / 1000} s.`);
    this.#settle();
    this.#failed(controlError(code, `No control channel to the server. ${this.#failures.join(' ')}`));
  }
}

interface ConnectionEvents {
  readonly authenticated?: () => void;
  /** Before it was authenticated. */
  readonly failed?: (reason: string) => void;
}

/** Pumps a control channel over a TCP stream: what net/control-connection.ts is on real networks. */
class ControlConnection implements ControlPort {
  readonly handlers: TcpHandlers;
  readonly #driver: VirtualDriver;
  readonly #channel: ControlChannel;
  readonly #events: ConnectionEvents;
  readonly #stream: TcpStream;
  readonly #alarm: Alarm;
  /** Ends when the process does. */
  readonly #release: () => void;
  #isAuthenticated = false;
  #isOpen = false;
  #isLeft = false;

  constructor(
    driver: VirtualDriver,
    channel: ControlChannel,
    events: ConnectionEvents,
    open: (handlers: TcpHandlers) => TcpStream,
  ) {
    this.#driver = driver;
    this.#channel = channel;
    this.#events = events;
    this.#alarm = new Alarm(
      driver.network,
      () => channel.deadline(),
      () => {
        this.#handle({ type: 'timeout' });
      },
    );
    this.handlers = {
      open: () => {
        this.#isOpen = true;
        this.#handle({ type: 'open' });
      },
      data: (bytes) => {
        this.#handle({ type: 'bytes', bytes });
      },
      end: () => {
        this.#handle({ type: 'closed', code: 'control-closed', reason: 'The connection to the far end has ended.' });
      },
      failed: (code) => {
        const reason = this.#isOpen ? `The connection to the far end broke (${code}).` : `No connection (${code}).`;
        this.#handle({ type: 'closed', code: 'control-closed', reason });
      },
    };
    this.#stream = open(this.handlers);
    this.#release = driver.hold(() => {
      this.abandon();
    });
  }

  send(message: Readonly<Record<string, unknown>>): void {
    this.#handle({ type: 'send', message });
  }

  close(reason: string): void {
    this.#isLeft = true;
    this.#handle({ type: 'close', reason });
  }

  abandon(): void {
    this.#isLeft = true;
    this.#release();
    this.#stream.close();
    this.#channel.handle({ type: 'closed', code: 'control-closed', reason: '' }, this.#driver.network.now);
  }

  #handle(input: ControlInput): void {
    this.#channel.handle(input, this.#driver.network.now);
    for (const output of drain(this.#channel)) {
      switch (output.type) {
        case 'bytes':
          this.#stream.write(output.bytes);
          break;
        case 'authenticated':
          this.#isAuthenticated = true;
          this.#events.authenticated?.();
          this.#driver.connect(this, formatTransportAddress(this.#stream.remote));
          break;
        case 'message':
          if (!this.#isLeft) this.#driver.message(output.message);
          break;
        case 'lost':
          this.#lose(output.code, output.reason);
          break;
        case 'close':
          this.#finish();
      }
    }
    this.#alarm.update();
  }

  #lose(code: ControlCode, reason: string): void {
    if (this.#isLeft) return;
    this.#isLeft = true;
    // Nothing more would leave: the far end takes nothing.
    if (code === 'control-silent') this.#stream.close();
    if (this.#isAuthenticated) this.#driver.lost(reason);
    else this.#events.failed?.(reason);
  }

  /** What was written leaves; what still comes is read and thrown away, so that the far end's writes do not fail. */
  #finish(): void {
    this.#release();
    this.#stream.end();
    this.#driver.network.after(LINGER_MS, () => {
      this.#stream.close();
    });
  }
}
