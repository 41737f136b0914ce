import { isIP, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Duplex } from 'node:stream';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { scopeOf } from '../base/address.js';
import { errorCode } from '../base/errors.js';
import type { Ms } from '../base/time.js';
import { ControlChannel, HANDSHAKE_MS, type Keepalive } from '../control/channel.js';
import type { ControlCode } from '../control/errors.js';
import { MAX_INVITE_ADDRESSES, type Invite } from '../control/invite.js';
import { createIdentity, type Identity } from './certificate.js';
import { ControlConnection, type ConnectionEvents, isDamage, peerAddressOf } from './control-connection.js';
import type { ControlPort } from './control-port.js';
import { listenError } from './listen-error.js';
import { waitAtRendezvous } from './rendezvous-presence.js';
import { acceptTlsOver, bindingOf, tlsServerOptions } from './tls.js';

export interface ListenOptions {
  /** `address` null: every address of the host, IPv6 and IPv4. `port` 0: any. `null`: clients come by the rendezvous. */
  readonly listen: { readonly address: string | null; readonly port: number } | null;
  /** Let clients come through this one: what `parseRendezvousUrl` gives. */
  readonly rendezvous?: string;
  /** {@link Invite.secret}: 16 bytes from a cryptographic source. */
  readonly secret: Uint8Array;
  readonly identity?: Identity;
  /** Name loopback addresses in the invite too; without this they stand there only where there is nothing else. */
  readonly loopback?: boolean;
  /** Ends after the first client. */
  readonly once?: boolean;
  readonly keepalive?: Keepalive;
  readonly handshakeMs?: Ms;
  /** An authenticated client; the next can come once this one has ended. */
  readonly onPeer: (port: ControlPort) => void;
  /** Clients cannot come through the rendezvous any more (`code` says why), or can again. */
  readonly onRendezvous?: (code: ControlCode | null, reason: string) => void;
  /** Somebody was turned away: for the log. */
  readonly onRefused?: (peerAddress: string, code: ControlCode, reason: string) => void;
}

export interface ControlServer {
  readonly invite: Invite;
  /** Says goodbye to a connected client and frees the port. */
  close(): Promise<void>;
}

/** Who has not authenticated yet shares so many connections. */
const MAX_STRANGERS = 16;

/** Throws `IcepathError` `port-in-use`, `no-permission`, `address-not-local`, `cannot-listen` or `rendezvous-…`. */
export async function listenControl(options: ListenOptions): Promise<ControlServer> {
  const identity = options.identity ?? (await createIdentity());
  const handshakeMs = options.handshakeMs ?? HANDSHAKE_MS;
  const strangers = new Strangers(handshakeMs);
  let current: ControlConnection | null = null;
  let admitted = 0;

  let attendance: { close(): void } | null = null;

  const secured = (socket: TLSSocket, via: string | null, settled: () => void): void => {
    const binding = bindingOf(socket, 'server', identity);
    if (!binding) {
      options.onRefused?.(peerAddressOf(socket), 'control-not-icepath', 'A client showed no certificate.');
      settled();
      socket.on('error', () => undefined);
      socket.destroy();
      return;
    }
    const channel = new ControlChannel({
      role: 'server',
      secret: options.secret,
      binding,
      admit: () => current === null && !(options.once && admitted > 0),
      ...(options.keepalive && { keepalive: options.keepalive }),
    });
    const events: ConnectionEvents = {
      authenticated: (port) => {
        settled();
        current = port;
        admitted += 1;
        options.onPeer(port);
      },
      ended: (code, reason) => {
        settled();
        if (connection !== current) {
          if (code !== null) options.onRefused?.(connection.peerAddress, code, reason);
          return;
        }
        current = null;
        if (!options.once) return;
        server.close();
        attendance?.close();
        strangers.removeAll();
      },
    };
    const connection: ControlConnection = new ControlConnection(socket, channel, events, via);
  };

  const server = createServer(tlsServerOptions(identity, handshakeMs), (socket) => {
    secured(socket, null, () => {
      strangers.remove(socket);
    });
  });
  server.on('connection', (socket: Socket) => {
    strangers.add(socket);
  });
  server.on('tlsClientError', (error, socket) => {
    options.onRefused?.(
      peerAddressOf(socket),
      'control-not-icepath',
      `A client does not speak TLS 1.3 (${errorCode(error)}).`,
    );
    socket.destroy();
  });

  /** A client that a rendezvous brought: TLS inside of its stream, and the same rules. */
  const receive = (stream: Duplex, url: string, release: () => void): void => {
    const limit = setTimeout(() => stream.destroy(), 2 * handshakeMs);
    const settled = (): void => {
      clearTimeout(limit);
      release();
    };
    stream.on('error', () => undefined);
    acceptTlsOver(identity, stream, handshakeMs, {
      secured: (socket) => {
        secured(socket, url, settled);
      },
      failed: (error) => {
        settled();
        const code = isDamage(error) ? 'rendezvous-tampered' : 'rendezvous-cut';
        options.onRefused?.(`through ${url}`, code, `A client's TLS handshake did not arrive (${errorCode(error)}).`);
      },
    });
  };

  const { listen: place, rendezvous } = options;
  const port = place === null ? 0 : await listen(server, place.address, place.port);
  if (rendezvous !== undefined) {
    attendance = await waitAtRendezvous({
      url: rendezvous,
      secret: options.secret,
      onVisitor: (stream, release) => {
        receive(stream, rendezvous, release);
      },
      onChange: (code, reason) => options.onRendezvous?.(code, reason),
      onMissed: (code, reason) => options.onRefused?.(`through ${rendezvous}`, code, reason),
    }).catch((error: unknown) => {
      server.close();
      throw error;
    });
  }
  return {
    invite: {
      addresses: place === null ? [] : hostsOf(server, place.address, options.loopback).map((host) => ({ host, port })),
      ...(rendezvous !== undefined && { rendezvous }),
      secret: options.secret,
      fingerprint: identity.fingerprint,
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        attendance?.close();
        current?.close('The server ends.');
        strangers.removeAll();
      }),
  };
}

/** Connections that have not authenticated: few, and not for long. */
class Strangers {
  readonly #limitMs: Ms;
  /** Oldest first; by the far end's address and port, which the raw socket and the TLS socket on it share. */
  readonly #byEnd = new Map<string, { readonly socket: Socket; readonly timer: NodeJS.Timeout }>();

  constructor(limitMs: Ms) {
    this.#limitMs = limitMs;
  }

  add(socket: Socket): void {
    const end = endOf(socket);
    const timer = setTimeout(() => socket.destroy(), this.#limitMs);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      clearTimeout(timer);
      if (this.#byEnd.get(end)?.socket === socket) this.#byEnd.delete(end);
    });
    this.#byEnd.set(end, { socket, timer });
    if (this.#byEnd.size > MAX_STRANGERS) this.#evict();
  }

  remove(socket: Socket): void {
    const end = endOf(socket);
    clearTimeout(this.#byEnd.get(end)?.timer);
    this.#byEnd.delete(end);
  }

  removeAll(): void {
    for (const { socket } of [...this.#byEnd.values()]) socket.destroy();
  }

  /** The oldest connection of the host that has the most: a crowd from one host cannot keep another host out. */
  #evict(): void {
    const byHost = new Map<string, Socket[]>();
    for (const { socket } of this.#byEnd.values()) {
      const host = socket.remoteAddress ?? '';
      byHost.set(host, [...(byHost.get(host) ?? []), socket]);
    }
    const [crowd] = [...byHost.values()].sort((left, right) => right.length - left.length);
    const oldest = crowd?.[0];
    if (!oldest) return;
    this.remove(oldest);
    oldest.destroy();
  }
}

function endOf({ remoteAddress = '', remotePort = 0 }: Socket): string {
  return `${remoteAddress} ${String(remotePort)}`;
}

async function listen(server: Server, address: string | null, port: number): Promise<number> {
  // A kernel without IPv6 refuses `::`.
  const hosts = address === null ? ['::', '0.0.0.0'] : [address];
  for (const [index, host] of hosts.entries()) {
    try {
      return await new Promise<number>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port }, () => {
          server.off('error', reject);
          const bound = server.address();
          resolve(bound !== null && typeof bound === 'object' ? bound.port : port);
        });
      });
    } catch (error) {
      const isLast = index === hosts.length - 1;
      if (isLast || !['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(errorCode(error))) throw listenError(error, host, port);
    }
  }
  throw new RangeError('nothing to listen on');
}

function hostsOf(server: Server, address: string | null, loopback = false): string[] {
  const everywhere = address === null || (isIP(address) !== 0 && scopeOf(address) === 'unspecified');
  return everywhere ? ownAddresses(server, loopback).slice(0, MAX_INVITE_ADDRESSES) : [address];
}

/** What a client may try, IPv4 first: there the stagger costs nothing in most networks. Link-local ones need a zone. */
function ownAddresses(server: Server, loopback: boolean): string[] {
  const bound = server.address();
  const onlyIpv4 = bound !== null && typeof bound === 'object' && bound.family === 'IPv4';
  const all = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family }) => family === 'IPv4' || !onlyIpv4)
    .sort((left, right) => left.family.localeCompare(right.family))
    .map(({ address }) => address);
  const routable = all.filter((address) => ['private', 'shared', 'global'].includes(scopeOf(address)));
  const local = all.filter((address) => scopeOf(address) === 'loopback');
  return routable.length === 0 ? local : loopback ? [...routable, ...local] : routable;
}
