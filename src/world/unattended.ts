import type { Ms } from '../base/time.js';
import type { IcmpBudget } from './box.js';
import { destinationOf, echoReply, icmpError, isEchoRequest, type Packet, sourceOf, tcpPacket } from './packet.js';
import { resetFor } from './tcp-segment.js';

/** What a router says to a packet for itself, since nothing listens on it; `null`: nothing. */
export function unattendedAnswer(packet: Packet, budget: IcmpBudget, now: Ms): Packet | null {
  const { tcp, payload } = packet;
  if (isEchoRequest(packet)) return echoReply(packet);
  if (tcp) {
    const reset = resetFor({ header: tcp, payload });
    return reset && tcpPacket(destinationOf(packet), sourceOf(packet), reset.header);
  }
  if (packet.protocol !== 'udp') return null;
  return budget.take(packet.source, now) ? icmpError(packet, packet.destination, 'port-unreachable') : null;
}
