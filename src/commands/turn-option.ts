import { IcepathError } from '../base/errors.js';
import type { TurnServer } from '../turn/types.js';
import { repeated, type HostPort } from './options.js';
import { resolveHost } from './resolve.js';

export interface TurnUri extends HostPort {
  /** `null`: those of the environment. */
  readonly credentials: TurnServer['credentials'] | null;
}

/** RFC 7065 §3.2. */
const DEFAULT_PORT = 3478;
/** RFC 7065, with credentials as RFC 3986 has a user's; percent-encoded where they hold `:`, `@` or `%`. */
const URI =
  /^turn:(?:([^:@\s]+):([^@\s]+)@)?(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]@?]+))(?::(\d{1,5}))?(?:\?transport=udp)?$/i;
const EXAMPLE =
  "--turn 'turn:USER:PASSWORD@turn.example.net:3478', or turn:turn.example.net with both in the environment";
const VARIABLES = ['ICEPATH_TURN_USER', 'ICEPATH_TURN_PASSWORD'] as const;

/** The value itself is never repeated: a password may stand in it. */
function wrong(what: string): IcepathError {
  return new IcepathError('bad-option-value', `--turn ${what}`, `Write it like this: ${EXAMPLE}`);
}

export function parseTurn(text: string): TurnUri {
  if (/^turns:/i.test(text) || /\?transport=(?!udp$)/i.test(text)) {
    throw wrong('takes servers over UDP only: no turns:, no transport=tcp');
  }
  const match = URI.exec(text);
  if (!match) throw wrong('takes a URI of a TURN server (RFC 7065)');
  const [, user, password, ipv6, name = '', digits] = match;
  const port = digits === undefined ? DEFAULT_PORT : Number(digits);
  if (port < 1 || port > 0xffff) throw wrong('has a port that is none');
  const credentials =
    user === undefined || password === undefined ? null : { username: decoded(user), password: decoded(password) };
  return { host: ipv6 ?? name, port, credentials };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw wrong('has a % that begins no encoded character; write % itself as %25');
  }
}

/** The servers with their addresses, one a family. Throws `host-unknown`, and `turn-user-missing`. */
export async function resolveTurn(
  uris: readonly TurnUri[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<TurnServer[]> {
  const [user, password] = VARIABLES;
  const [username, secret] = [env[user], env[password]];
  const fallback = username === undefined || secret === undefined ? null : { username, password: secret };
  const servers = uris.map(async (uri) => {
    const credentials = uri.credentials ?? fallback;
    if (credentials) return (await resolveHost(uri)).map((address) => ({ address, credentials }));
    throw new IcepathError(
      'turn-user-missing',
      `--turn turn:${uri.host} comes without user name and password`,
      `Give both in the URI, or by the environment: ${VARIABLES.join(' and ')}.`,
    );
  });
  return (await Promise.all(servers)).flat();
}

export const turnOption = repeated(
  'URI',
  'a TURN server whose relays are candidates too: turn:USER:PASSWORD@HOST:PORT; repeatable, the fastest is used',
  parseTurn,
);
