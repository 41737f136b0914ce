import type { TLSSocket } from 'node:tls';
import { errorCode } from '../base/errors.js';
import type { Ms } from '../base/time.js';
import { ControlChannel, type Keepalive } from '../control/channel.js';
import { controlError, type ControlCode } from '../control/errors.js';
import type { Invite, InviteAddress } from '../control/invite.js';
import { createIdentity, type Identity } from './certificate.js';
import { ControlConnection } from './control-connection.js';
import type { ControlPort } from './control-port.js';
import { bindingOf, connectTls } from './tls.js';

export interface ConnectOptions {
  /** For all addresses together. */
  readonly timeoutMs: Ms;
  readonly identity?: Identity;
  readonly keepalive?: Keepalive;
}

/** The next address is tried after so long, or as soon as one has failed (RFC 8305 §5). */
const STAGGER_MS: Ms = 250;

/** Which failure of several tells a person the most, best first: those of the invited server, then those of its network. */
const TELLING: readonly ControlCode[] = [
  'control-busy',
  'control-version',
  'control-refused',
  'control-wrong-fingerprint',
  'control-protocol',
  'control-closed',
  'control-not-icepath',
  'control-connection-refused',
  'control-timeout',
  'control-unreachable',
  'control-name-unknown',
];

interface Failure {
  readonly code: ControlCode;
  readonly reason: string;
  readonly address: InviteAddress;
}

/**
 * Tries the invite's addresses, each a moment after the one before; the first that authenticates wins, the others
 * are dropped. Throws `IcepathError` with one of the codes above.
 */
export async function connectControl(invite: Invite, options: ConnectOptions): Promise<ControlPort> {
  const identity = options.identity ?? (await createIdentity());
  return new Promise((resolve, reject) => {
    const waiting = [...invite.addresses];
    const attempts = new Map<InviteAddress, Attempt>();
    const failures: Failure[] = [];
    let stagger: NodeJS.Timeout | undefined;
    const settle = (): void => {
      clearTimeout(stagger);
      clearTimeout(limit);
      for (const attempt of attempts.values()) attempt.abandon();
      attempts.clear();
    };
    const fail = (failure: Failure): void => {
      failures.push(failure);
      attempts.delete(failure.address);
      if (waiting.length > 0) next();
      else if (attempts.size === 0) {
        settle();
        reject(bestOf(failures));
      }
    };
    const next = (): void => {
      clearTimeout(stagger);
      const address = waiting.shift();
      if (!address) return;
      const attempt = new Attempt(invite, address, identity, options.keepalive, {
        won: (port) => {
          attempts.delete(address);
          settle();
          resolve(port);
        },
        failed: (code, reason) => {
          if (attempts.has(address)) fail({ code, reason, address });
        },
      });
      attempts.set(address, attempt);
      stagger = setTimeout(next, STAGGER_MS);
    };
    const limit = setTimeout(() => {
      waiting.length = 0;
      const seconds = String(options.timeoutMs / 1000);
      for (const address of [...attempts.keys()]) {
        attempts.get(address)?.abandon();
        fail({ code: 'control-timeout', reason: `No answer within ${seconds} s.`, address });
      }
    }, options.timeoutMs);
    next();
  });
}

/** One address of the invite, up to authentication. */
class Attempt {
  readonly #socket: TLSSocket;

  constructor(
    invite: Invite,
    { host, port }: InviteAddress,
    identity: Identity,
    keepalive: Keepalive | undefined,
    result: { readonly won: (port: ControlPort) => void; readonly failed: (code: ControlCode, reason: string) => void },
  ) {
    const socket = (this.#socket = connectTls(identity, host, port));
    const broken = (error: Error): void => {
      const { code, reason } = connectFailure(errorCode(error));
      result.failed(code, reason);
    };
    const ended = (): void => {
      result.failed('control-not-icepath', 'The connection ended before TLS was up.');
    };
    socket.on('error', broken);
    socket.on('close', ended);
    socket.once('secureConnect', () => {
      socket.off('error', broken).off('close', ended);
      const binding = bindingOf(socket, 'client', identity);
      if (!binding) {
        socket.on('error', () => undefined).destroy();
        result.failed('control-not-icepath', 'A TLS server answers there that is not icepath.');
        return;
      }
      const { secret, fingerprint } = invite;
      const channel = new ControlChannel({
        role: 'client',
        secret,
        binding,
        fingerprint,
        ...(keepalive && { keepalive }),
      });
      new ControlConnection(socket, channel, {
        authenticated: result.won,
        ended: (code, reason) => {
          if (code !== null) result.failed(code, reason);
        },
      });
    });
  }

  abandon(): void {
    this.#socket.destroy();
  }
}

function connectFailure(code: string): { code: ControlCode; reason: string } {
  switch (code) {
    case 'ECONNREFUSED':
      return { code: 'control-connection-refused', reason: 'The host is there, but nothing listens on the port.' };
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return { code: 'control-name-unknown', reason: 'The host name has no address.' };
    case 'ETIMEDOUT':
      return { code: 'control-timeout', reason: 'No answer.' };
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
    case 'EACCES':
    case 'EPERM':
      return { code: 'control-unreachable', reason: `There is no way to the host (${code}).` };
    default:
      return { code: 'control-not-icepath', reason: `What answers there does not speak TLS 1.3 (${code}).` };
  }
}

/** The most telling failure as the error; all of them in its message, each reason once. */
function bestOf(failures: readonly Failure[]): Error {
  const best = [...failures].sort((left, right) => TELLING.indexOf(left.code) - TELLING.indexOf(right.code))[0];
  const places = new Map<string, string[]>();
  for (const { address, reason } of failures) {
    places.set(reason, [...(places.get(reason) ?? []), `${address.host} port ${String(address.port)}`]);
  }
  const lines = [...places].map(([reason, at]) => `${at.join(', ')}: ${reason}`);
  return controlError(best?.code ?? 'control-unreachable', `No control channel to the server. ${lines.join(' ')}`);
}
