import { addressBytes, sameAddress, scopeOf, type TransportAddress, transportAddressOf } from '../../base/address.js';
import type { Ms } from '../../base/time.js';
import type { PreferredAddress } from '../wire/transport-parameters.js';
import type { Core } from './core.js';
import { migrateTo } from './paths.js';
import type { ConnectionIds, ServerConnectionOptions } from './types.js';

const IPV4_BYTES = 4;
const IPV6_BYTES = 16;

/** What a server says of its other address; `null` where it has none. */
export function preferredParameter(
  { ipv4, ipv6 }: NonNullable<ServerConnectionOptions['preferredAddress']>,
  ids: ConnectionIds,
): PreferredAddress | null {
  if (ipv4 === undefined && ipv6 === undefined) return null;
  const { id, resetToken } = ids.issue();
  return {
    ipv4: ipv4 ? addressBytes(ipv4.address) : new Uint8Array(IPV4_BYTES),
    ipv4Port: ipv4?.port ?? 0,
    ipv6: ipv6 ? addressBytes(ipv6.address) : new Uint8Array(IPV6_BYTES),
    ipv6Port: ipv6?.port ?? 0,
    connectionId: id,
    statelessResetToken: resetToken,
  };
}

/**
 * A server has named another address of its own: the client asks there for proof, and goes there when it has it; where
 * nobody answers it stays (RFC 9000 §9.6.1).
 */
export function goToPreferred(core: Core, now: Ms): void {
  const { preferredAddress } = core.remote;
  const path = core.firstPath;
  if (core.isServer || preferredAddress === null || path?.isOpen !== true) return;
  const { local, remote: from } = path.tuple;
  const remote = addressFor(preferredAddress, from);
  if (remote !== null && migrateTo(core, path, { local, remote }, now)) core.leftServer = from;
}

/** Of the family that the path has; RFC 9000 §21.5.3: nobody is made to send into his own host or network. */
function addressFor(preferred: PreferredAddress, from: TransportAddress): TransportAddress | null {
  const isIpv4 = from.family === 'ipv4';
  const port = isIpv4 ? preferred.ipv4Port : preferred.ipv6Port;
  const remote = transportAddressOf(isIpv4 ? preferred.ipv4 : preferred.ipv6, port);
  const scope = scopeOf(remote.address);
  const isFit = port > 0 && (scope === 'global' || scope === scopeOf(from.address));
  return isFit && !sameAddress(remote, from) ? remote : null;
}
