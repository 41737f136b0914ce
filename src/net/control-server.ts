import { isIP, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { createServer, type Server } from 'node:tls';
import { scopeOf } from '../base/address.js';
import { errorCode, IcepathError } from '../base/errors.js';
import type { Ms } from '../base/time.js';
import { ControlChannel, HANDSHAKE_MS, type Keepalive } from '../control/channel.js';
import type { ControlCode } from '../control/errors.js';
import { MAX_INVITE_ADDRESSES, type Invite } from '../control/invite.js';
import { createIdentity, type Identity } from './certificate.js';
import { ControlConnection, peerAddressOf } from './control-connection.js';
import type { ControlPort } from './control-port.js';
import { bindingOf, tlsServerOptions } from './tls.js';

export interface ListenOptions {
  /** `address` null: every address of the host, IPv6 and IPv4. `port` 0: any. */
  readonly listen: { readonly address: string | null; readonly port: number };
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

/** Throws `IcepathError` `port-in-use`, `no-permission`, `address-not-local` or `cannot-listen`. */
export async function listenControl(options: ListenOptions): Promise<ControlServer> {
  const identity = options.identity ?? (await createIdentity());
  const handshakeMs = options.handshakeMs ?? HANDSHAKE_MS;
  const strangers = new Strangers(handshakeMs);
  let current: ControlConnection | null = null;
  let admitted = 0;

  const server = createServer(tlsServerOptions(identity, handshakeMs), (socket) => {
    const binding = bindingOf(socket, 'server', identity);
    if (!binding) {
      options.onRefused?.(peerAddressOf(socket), 'control-not-icepath', 'A client showed no certificate.');
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
    const connection = new ControlConnection(socket, channel, {
      authenticated: (port) => {
        strangers.remove(socket);
        current = port;
        admitted += 1;
        options.onPeer(port);
      },
      ended: (code, reason) => {
        if (connection !== current) {
          if (code !== null) options.onRefused?.(connection.peerAddress, code, reason);
          return;
        }
        current = null;
        if (!options.once) return;
        server.close();
        strangers.removeAll();
      },
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

  const port = await listen(server, options.listen.address, options.listen.port);
  const { address } = options.listen;
  const everywhere = address === null || (isIP(address) !== 0 && scopeOf(address) === 'unspecified');
  const hosts = everywhere ? ownAddresses(server, options.loopback ?? false) : [address];
  return {
    invite: {
      addresses: hosts.slice(0, MAX_INVITE_ADDRESSES).map((host) => ({ host, port })),
      secret: options.secret,
      fingerprint: identity.fingerprint,
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
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

function listenError(error: unknown, host: string, port: number): IcepathError {
  const where = `${host} port ${String(port)}`;
  const options = { cause: error };
  switch (errorCode(error)) {
    case 'EADDRINUSE':
      return new IcepathError(
        'port-in-use',
        `Something else listens on ${where}.`,
        'Choose another port with --listen, or end the program that has it.',
        options,
      );
    case 'EACCES':
      return new IcepathError(
        'no-permission',
        `This user may not listen on ${where}.`,
        'Choose a port from 1024 up with --listen.',
        options,
      );
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
    case 'ENOTFOUND':
      return new IcepathError(
        'address-not-local',
        `${host} is not an address of this host.`,
        'Take one of the addresses that `icepath interfaces` shows.',
        options,
      );
    default:
      return new IcepathError(
        'cannot-listen',
        `Cannot listen on ${where} (${errorCode(error)}).`,
        'Choose another address and port with --listen.',
        options,
      );
  }
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
