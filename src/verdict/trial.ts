import type { Ms } from '../base/time.js';
import type { ByteRange } from '../mutation/differences.js';
import type { PacketSpec } from '../mutation/trial-packet.js';
import type { Direction } from './words.js';

/**
 * One packet of an experiment, joined from both ends' records: what it was made of, and what became of it. What the
 * matrix is for arms, these are for questions of another kind (size, port, rate, flow, bytes, hops): `probes/` asks
 * them, the findings of this folder answer them, from these alone.
 */
export interface Trial {
  /** The probe that it belongs to: `packet-size`, `filter-location` … */
  readonly experiment: string;
  readonly direction: Direction;
  /** Where it was sent: to the far end, or to the reference as its control. */
  readonly to: 'peer' | 'reference';
  /** The 5-tuple: one number a flow, drawn anew for each, the same for both directions. */
  readonly flow: number;
  /** The ports that the flow was opened between, on the hosts themselves; `null` where any would do. */
  readonly ports: { readonly client: number | null; readonly server: number | null };
  readonly packet: PacketSpec;
  /** When it was sent: ms since the run's start on the sender's clock. */
  readonly at: Ms;
  /** Whether the kernel took it. */
  readonly sent: boolean;
  /** For the reference: whether its answer came back. */
  readonly received: boolean;
  /** When it arrived, on the receiver's clock; of one receiver the differences are times, nothing else is. */
  readonly receivedAt: Ms | null;
  /** Bytes that were others when it arrived. */
  readonly changed: readonly ByteRange[];
  /** The first ICMP error that came for it. */
  readonly icmp: TrialIcmp | null;
}

export interface TrialIcmp {
  readonly type: number;
  readonly code: number;
  readonly from: string;
  /** Bytes that were others by then, as it quotes the packet; `null` or not there: it quotes too little to say. */
  readonly changed?: readonly ByteRange[] | null;
}
