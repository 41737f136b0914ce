import { EventEmitter } from 'node:events';
import type { TransportAddress } from '../../base/address.js';
import { IcepathError } from '../../base/errors.js';
import type { Ms } from '../../base/time.js';
import type {
  CloseReason,
  ConnectionEvent,
  FourTuple,
  PathStatistics,
  PathStatus,
  QuicConnection,
  StreamDirection,
} from '../../quic/connection/types.js';
import { errorName } from '../../quic/wire/errors.js';
import { QuicStream, type StreamOwner } from './stream.js';

type EventOf<T extends ConnectionEvent['type']> = Extract<ConnectionEvent, { readonly type: T }>;
export type PathEvent = Extract<ConnectionEvent, { readonly type: `path-${string}` }>;

interface LinkEvents {
  /** Both ends have proved who they are. */
  handshake: [EventOf<'handshake-complete'>];
  /** Paths can be opened, keys updated. */
  confirmed: [];
  /** The far end has opened a stream. */
  stream: [QuicStream];
  datagram: [Uint8Array];
  path: [PathEvent];
  'new-token': [Uint8Array];
  /** How the paths do; as often as the host was asked to say. */
  statistics: [readonly PathStatistics[]];
  /** Always comes, once, and is the last. */
  closed: [CloseReason];
}

/** What a link wants of its host. */
export interface LinkHost {
  now(): Ms;
  touch(connection: QuicConnection): void;
  /** The host has a socket there. */
  hasSocket(local: TransportAddress): boolean;
}

/** A QUIC connection for who uses it, with streams of `node:stream`. */
export class QuicLink extends EventEmitter<LinkEvents> implements StreamOwner {
  readonly connection: QuicConnection;
  readonly #host: LinkHost;
  readonly #streams = new Map<number, QuicStream>();
  readonly #wanted: {
    readonly direction: StreamDirection;
    readonly resolve: (stream: QuicStream) => void;
    readonly reject: (error: Error) => void;
  }[] = [];
  #handshake: EventOf<'handshake-complete'> | null = null;
  #confirmed = false;
  #closed: CloseReason | null = null;

  constructor(connection: QuicConnection, host: LinkHost) {
    super();
    this.connection = connection;
    this.#host = host;
  }

  get handshake(): EventOf<'handshake-complete'> | null {
    return this.#handshake;
  }

  get isConfirmed(): boolean {
    return this.#confirmed;
  }

  get closed(): CloseReason | null {
    return this.#closed;
  }

  get paths(): readonly PathStatistics[] {
    return this.connection.paths;
  }

  /** Resolves when streams can be opened; rejects with `quic-connection-closed` where the handshake fails. */
  async ready(): Promise<EventOf<'handshake-complete'>> {
    if (this.#handshake === null) await this.#until('handshake');
    return this.#handshake ?? (await this.ready());
  }

  /** Resolves when paths can be opened and keys updated. */
  async confirmed(): Promise<void> {
    if (!this.#confirmed) await this.#until('confirmed');
  }

  /** Waits where the far end allows no more streams at the moment. */
  async openStream(direction: StreamDirection = 'bidi'): Promise<QuicStream> {
    await this.ready();
    const id = this.connection.openStream(direction);
    this.touch();
    if (id !== null) return this.#newStream(id, { readable: direction === 'bidi', writable: true });
    return await new Promise((resolve, reject) => this.#wanted.push({ direction, resolve, reject }));
  }

  /** False where it is too large, or too many wait. */
  sendDatagram(data: Uint8Array): boolean {
    const taken = this.connection.sendDatagram(data);
    this.touch();
    return taken;
  }

  /** The id of a further path of a client, between a socket of its host and the server; `null` where it may not be opened now. */
  openPath(tuple: FourTuple): number | null {
    if (!this.#host.hasSocket(tuple.local)) {
      throw new IcepathError(
        'quic-no-socket',
        `no socket is open at ${tuple.local.address} port ${String(tuple.local.port)}`,
        'Open one on the host first, and give its address as it says it.',
      );
    }
    const path = this.connection.openPath(tuple, this.#host.now());
    this.touch();
    return path;
  }

  abandonPath(path: number, errorCode?: number): boolean {
    const done = this.connection.abandonPath(path, this.#host.now(), errorCode);
    this.touch();
    return done;
  }

  setPathStatus(path: number, status: PathStatus): void {
    this.connection.setPathStatus(path, status);
    this.touch();
  }

  migratePath(path: number, tuple: FourTuple): boolean {
    const begun = this.connection.migratePath(path, tuple, this.#host.now());
    this.touch();
    return begun;
  }

  updateKeys(): boolean {
    const done = this.connection.updateKeys(this.#host.now());
    this.touch();
    return done;
  }

  /** Ends the connection now; resolves when it is over. */
  async close(errorCode = 0, reason = ''): Promise<void> {
    if (this.#closed) return;
    const over = new Promise<void>((resolve) => {
      this.once('closed', () => {
        resolve();
      });
    });
    this.connection.close(errorCode, reason, this.#host.now());
    this.touch();
    await over;
  }

  touch(): void {
    this.#host.touch(this.connection);
  }

  forget(stream: number): void {
    this.#streams.delete(stream);
  }

  /** Called by the host. */
  onEvent(event: ConnectionEvent): void {
    switch (event.type) {
      case 'handshake-complete':
        this.#handshake = event;
        this.emit('handshake', event);
        return;
      case 'handshake-confirmed':
        this.#confirmed = true;
        this.emit('confirmed');
        return;
      case 'stream-opened':
        this.emit('stream', this.#newStream(event.stream, { readable: true, writable: event.direction === 'bidi' }));
        return;
      case 'streams-available':
        this.#openWanted(event.direction);
        return;
      case 'datagram':
        this.emit('datagram', event.data);
        return;
      case 'new-token':
        this.emit('new-token', event.token);
        return;
      case 'closed':
        this.#onClosed(event);
        return;
      case 'paths-available':
      case 'drained':
        return;
      case 'readable':
      case 'writable':
      case 'finished':
      case 'delivered':
      case 'reset':
      case 'stopped':
        this.#onStreamEvent(event);
        return;
      case 'path-opened':
      case 'path-validated':
      case 'path-migrated':
      case 'path-migration-failed':
      case 'path-abandoned':
      case 'path-status':
        this.emit('path', event);
        return;
    }
  }

  #onStreamEvent(event: EventOf<'readable' | 'writable' | 'finished' | 'delivered' | 'reset' | 'stopped'>): void {
    const stream = this.#streams.get(event.stream);
    switch (event.type) {
      case 'readable':
        stream?.onReadable();
        return;
      case 'writable':
        stream?.onWritable();
        return;
      case 'finished':
        stream?.onFinished();
        return;
      case 'delivered':
        stream?.onDelivered();
        return;
      case 'reset':
        stream?.onGivenUp('read', event.errorCode);
        return;
      case 'stopped':
        stream?.onGivenUp('write', event.errorCode);
        return;
    }
  }

  #onClosed(reason: EventOf<'closed'>): void {
    this.#closed = reason;
    const text = describeClose(reason);
    for (const { reject } of this.#wanted.splice(0)) reject(this.#closedError(text));
    for (const stream of [...this.#streams.values()]) stream.onConnectionClosed(text);
    this.#streams.clear();
    this.emit('closed', reason);
  }

  #openWanted(direction: StreamDirection): void {
    for (let at = this.#wanted.findIndex((each) => each.direction === direction); at >= 0;) {
      const id = this.connection.openStream(direction);
      if (id === null) return;
      const [wanted] = this.#wanted.splice(at, 1);
      wanted?.resolve(this.#newStream(id, { readable: direction === 'bidi', writable: true }));
      at = this.#wanted.findIndex((each) => each.direction === direction);
    }
    this.touch();
  }

  #newStream(id: number, ways: { readonly readable: boolean; readonly writable: boolean }): QuicStream {
    const stream = new QuicStream(this, id, ways);
    this.#streams.set(id, stream);
    return stream;
  }

  #until(event: 'handshake' | 'confirmed'): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(this.#closedError(describeClose(this.#closed)));
        return;
      }
      const settle = (error: Error | null): void => {
        this.off(event, onEvent);
        this.off('closed', onClosed);
        if (error) reject(error);
        else resolve();
      };
      const onEvent = (): void => {
        settle(null);
      };
      const onClosed = (reason: CloseReason): void => {
        settle(this.#closedError(describeClose(reason)));
      };
      this.on(event, onEvent);
      this.on('closed', onClosed);
    });
  }

  #closedError(text: string): IcepathError {
    return new IcepathError(
      'quic-connection-closed',
      `the connection is over: ${text}`,
      'Connect again; where the certificate was refused, compare its fingerprint with the one in the invite.',
    );
  }
}

/** `the far end: CRYPTO_ERROR(42), bad certificate`. */
export function describeClose({ by, layer, code, reason }: CloseReason): string {
  const who = {
    local: 'this end',
    remote: 'the far end',
    timeout: 'silence',
    reset: 'stateless reset',
    version: 'no common version',
  };
  const what = layer === 'application' ? `application code ${String(code)}` : errorName(code);
  return `${who[by]}: ${what}${reason === '' ? '' : `, ${reason}`}`;
}
