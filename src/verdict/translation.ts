import { inPrefix, scopeOf } from '../base/address.js';
import type { HostInterface, InterfaceKind } from '../base/interface.js';
import type { NatModel } from './words.js';

/** RFC 7335: kept for the IPv4 end of a translator inside the host or the modem; RFC 6333 has it for DS-Lite. */
const SERVICE_CONTINUITY = { address: '192.0.0.0', length: 29 } as const;
/** Six random ports in a block of so many of 64 512 are a chance of 6·10⁻⁶. */
const BLOCK_PORTS = 4096;
const LEAST_IN_BLOCK = 6;

/** What says that a carrier translates this interface's addresses, and not only a router at home. None proves who. */
export function carrierGradeSigns(
  model: NatModel,
  { kind, address }: { readonly kind: InterfaceKind; readonly address: string },
): string[] {
  if (model.mapping === 'none' || model.mapping === 'unknown') return [];
  const scope = scopeOf(address);
  const { ports, outside = [] } = model;
  return [
    scope === 'shared' && `its own address ${address} is of the space that carriers share among customers (RFC 6598)`,
    scope === 'private' &&
      kind === 'cellular' &&
      !isBehindTranslator(address) &&
      `its own address ${address} is private, and a modem has no router of its own before it`,
    outside.length > 1 &&
      `its sockets were seen at ${outside.length} outside addresses: a pool, or several lines behind a router`,
    ports?.pattern === 'random' &&
      ports.n >= LEAST_IN_BLOCK &&
      ports.high - ports.low < BLOCK_PORTS &&
      `its outside ports all lie between ${ports.low} and ${ports.high}: a customer's share of an address (RFC 6888)`,
  ].filter((sign) => sign !== false);
}

/** Whether an interface's own IPv4 address tells of a translator (464XLAT, RFC 6877) between it and an IPv6 network. */
export function isBehindTranslator(address: string): boolean {
  return inPrefix(address, SERVICE_CONTINUITY.address, SERVICE_CONTINUITY.length);
}

/** Who translates this interface's IPv4 into IPv6 and back; `null`: nobody that is known of. */
export function translationOf(
  { nat64 }: Pick<HostInterface, 'nat64'>,
  address: string,
): NonNullable<NatModel['translated']> | null {
  if (!isBehindTranslator(address)) return null;
  if (nat64) {
    const because =
      nat64.source === 'dns'
        ? `its resolver makes IPv6 addresses of it (RFC 7050), and an IPv4 host answers there`
        : `an IPv4 host answers behind this prefix, which RFC 6052 gives to all networks`;
    return { by: 'nat64', prefix: nat64.prefix, because };
  }
  const because = `its own address ${address} is of 192.0.0.0/29, kept for a translator to IPv6 in the modem or the host (464XLAT, RFC 7335; or DS-Lite)`;
  return { by: 'clat', prefix: null, because };
}
