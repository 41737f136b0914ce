import type { TLSSocket } from 'node:tls';
import { errorCode } from '../base/errors.js';
import type { Ms } from '../base/time.js';
import { ControlChannel, type Keepalive } from '../control/channel.js';
import { controlError, type ControlCode } from '../control/errors.js';
import type { Invite, InviteAddress } from '../control/invite.js';
import { roomOf } from '../control/rendezvous.js';
import { createIdentity, type Identity } from './certificate.js';
import { ControlConnection, isDamage } from './control-connection.js';
import type { ControlPort } from './control-port.js';
import { bindingOf, connectTls, connectTlsOver } from './tls.js';
import { meetAt } from './web-socket.js';

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
  'rendezvous-tampered',
  'rendezvous-cut',
  'control-closed',
  'rendezvous-no-server',
  'rendezvous-full',
  'rendezvous-protocol',
  'rendezvous-certificate',
  'rendezvous-not-one',
  'rendezvous-unreachable',
  'control-not-icepath',
  'control-connection-refused',
  'control-timeout',
  'control-unreachable',
  'control-name-unknown',
];

/** Where a server may be met: at an address of its own, or at the rendezvous of this URL. */
type Place = InviteAddress | string;

/** So many addresses of the server are tried before its rendezvous, which is the longer way. */
const BEFORE_RENDEZVOUS = 4;

function placesOf({ addresses, rendezvous }: Invite): Place[] {
  const last = rendezvous === undefined ? [] : [rendezvous];
  return [...addresses.slice(0, BEFORE_RENDEZVOUS), ...last, ...addresses.slice(BEFORE_RENDEZVOUS)];
}

interface Failure {
  readonly code: ControlCode;
  readonly reason: string;
  readonly place: Place;
}

/**
 * Tries the invite's addresses, each a moment after the one before; the first that authenticates wins, the others
 * are dropped. Throws `IcepathError` with one of the codes above.
 */
export async function connectControl(invite: Invite, options: ConnectOptions): Promise<ControlPort> {
  const identity = options.identity ?? (await createIdentity());
  return new Promise((resolve, reject) => {
    const waiting = placesOf(invite);
    const attempts = new Map<Place, Attempt>();
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
      attempts.delete(failure.place);
      if (waiting.length > 0) next();
      else if (attempts.size === 0) {
        settle();
        reject(bestOf(failures));
      }
    };
    const next = (): void => {
      clearTimeout(stagger);
      const place = waiting.shift();
      if (place === undefined) return;
      const attempt = new Attempt(invite, place, identity, options.keepalive, {
        won: (port) => {
          attempts.delete(place);
          settle();
          resolve(port);
        },
        failed: (code, reason) => {
          if (attempts.has(place)) fail({ code, reason, place });
        },
      });
      attempts.set(place, attempt);
      stagger = setTimeout(next, STAGGER_MS);
    };
    const limit = setTimeout(() => {
      waiting.length = 0;
      const seconds = String(options.timeoutMs / 1000);
      for (const place of [...attempts.keys()]) {
        attempts.get(place)?.abandon();
        fail({ code: 'control-timeout', reason: `No answer within ${seconds} s.`, place });
      }
    }, options.timeoutMs);
    next();
  });
}

interface AttemptResult {
  readonly won: (port: ControlPort) => void;
  readonly failed: (code: ControlCode, reason: string) => void;
}

/** One place of the invite, up to authentication. */
class Attempt {
  readonly #invite: Invite;
  readonly #identity: Identity;
  readonly #keepalive: Keepalive | undefined;
  readonly #result: AttemptResult;
  #abandon: () => void = () => undefined;

  constructor(
    invite: Invite,
    place: Place,
    identity: Identity,
    keepalive: Keepalive | undefined,
    result: AttemptResult,
  ) {
    this.#invite = invite;
    this.#identity = identity;
    this.#keepalive = keepalive;
    this.#result = result;
    if (typeof place !== 'string') {
      this.#secure(connectTls(identity, place.host, place.port), null);
      return;
    }
    const hello = { type: 'join', room: roomOf(invite.secret) } as const;
    const meeting = meetAt(place, hello, {
      joined: (stream) => {
        this.#secure(connectTlsOver(identity, stream), place);
      },
      failed: result.failed,
    });
    this.#abandon = () => {
      meeting.abandon();
    };
  }

  abandon(): void {
    this.#abandon();
  }

  #secure(socket: TLSSocket, via: string | null): void {
    const result = this.#result;
    this.#abandon = () => socket.destroy();
    const broken = (error: Error): void => {
      const { code, reason } = via === null ? connectFailure(errorCode(error)) : carriedFailure(error);
      result.failed(code, reason);
    };
    const ended = (): void => {
      result.failed(via === null ? 'control-not-icepath' : 'rendezvous-cut', 'The connection ended before TLS was up.');
    };
    socket.on('error', broken);
    socket.on('close', ended);
    socket.once('secureConnect', () => {
      socket.off('error', broken).off('close', ended);
      const binding = bindingOf(socket, 'client', this.#identity);
      if (!binding) {
        socket.on('error', () => undefined).destroy();
        result.failed('control-not-icepath', 'A TLS server answers there that is not icepath.');
        return;
      }
      const { secret, fingerprint } = this.#invite;
      const keepalive = this.#keepalive;
      const channel = new ControlChannel({
        role: 'client',
        secret,
        binding,
        fingerprint,
        ...(keepalive && { keepalive }),
      });
      const events = {
        authenticated: result.won,
        ended: (code: ControlCode | null, reason: string): void => {
          if (code !== null) result.failed(code, reason);
        },
      };
      new ControlConnection(socket, channel, events, via);
    });
  }
}

/** Of a TLS handshake that a rendezvous carries. */
function carriedFailure(error: Error): { code: ControlCode; reason: string } {
  const detail = errorCode(error);
  return isDamage(error)
    ? { code: 'rendezvous-tampered', reason: `What the server sent did not arrive as it was (${detail}).` }
    : { code: 'rendezvous-cut', reason: `The connection through it ended before TLS was up (${detail}).` };
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
  for (const { place, reason } of failures) {
    const name = typeof place === 'string' ? `the rendezvous ${place}` : `${place.host} port ${String(place.port)}`;
    places.set(reason, [...(places.get(reason) ?? []), name]);
  }
  const lines = [...places].map(([reason, at]) => `${at.join(', ')}: ${reason}`);
  return controlError(best?.code ?? 'control-unreachable', `No control channel to the server. ${lines.join(' ')}`);
}
