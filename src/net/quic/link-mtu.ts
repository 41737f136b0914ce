import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { TransportAddress } from '../../base/address.js';
import { JUMBO_DATAGRAM_BYTES } from '../../quic/recovery/mtu.js';

/** IPv4 and UDP, IPv6 and UDP. */
const HEADER_BYTES = { ipv4: 28, ipv6: 48 };

/**
 * The largest UDP payload that the link of a local address takes, up to a jumbo frame's; `null` where nobody says, as for
 * an address that stands for all. A path may take less: DPLPMTUD tries.
 */
export function linkDatagramBytes({ address, family }: TransportAddress): number | null {
  const found = Object.entries(networkInterfaces()).find(([, infos]) =>
    infos?.some((info) => info.address === address),
  );
  if (found === undefined) return null;
  try {
    // Linux alone has it; the file belongs to the network namespace whose /sys this is.
    const mtu = Number(readFileSync(`/sys/class/net/${found[0]}/mtu`, 'latin1'));
    return Number.isSafeInteger(mtu) && mtu > 0 ? Math.min(mtu - HEADER_BYTES[family], JUMBO_DATAGRAM_BYTES) : null;
  } catch {
    return null;
  }
}
