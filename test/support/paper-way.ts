import { SeededRandom } from '../../src/base/random.js';
import { CONTROL_ARM } from '../../src/mutation/names.js';
import type { Role } from '../../src/verdict/words.js';
import { IcmpBudget } from '../../src/world/box.js';
import { Link, type LinkOptions } from '../../src/world/link.js';
import { udpPacket } from '../../src/world/packet.js';
import type { Fate, PaperPacket } from './paper-bench.js';

export interface PaperWay {
  /** Routers between the two ends, the sender's nearest first. */
  readonly hops: readonly ('answers' | 'silent')[];
  /** The filter is behind so many of them, seen from `from`. */
  readonly filterAfter: number;
  /**
   * What it drops of packets from `from`: those that are no control; these and whatever follows on their tuple; a flow
   * whose first packet is no control; everything to the peer, nothing to the reference; nothing.
   */
  readonly drops: 'trigger' | 'tuple' | 'flow' | 'peer' | 'nothing';
  readonly from?: Role;
  /** Routers on the way to the reference, the first of the same. */
  readonly toReference?: number;
  readonly loss?: LinkOptions;
  readonly seed?: string | number;
}

const SENDER = { family: 'ipv4', address: '10.0.0.1', port: 4000 } as const;
const FAR = { family: 'ipv4', address: '203.0.113.1', port: 4000 } as const;
const PACKET = udpPacket(SENDER, FAR, new Uint8Array(100));

export function hopAddress(hop: number): string {
  return `198.18.0.${String(hop)}`;
}

/** Routers that answer as Linux does, a filter among them, and a far end behind a NAT that opens for whom it sends to. */
export function paperWay(way: PaperWay): (packet: PaperPacket) => Fate {
  const {
    hops,
    filterAfter,
    drops,
    from = 'client',
    toReference = Math.ceil(hops.length / 2),
    loss = {},
    seed = 1,
  } = way;
  const there = new Link(loss, new SeededRandom(`there ${String(seed)}`));
  const back = new Link(loss, new SeededRandom(`back ${String(seed)}`));
  const budgets = hops.map(() => new IcmpBudget());
  const seen = new Set<number>();
  const blocked = new Set<number>();
  const opened = new Set<number>();
  const passes = (link: Link, at: number): boolean => link.transmit(PACKET, at, () => undefined) === 'sent';

  return ({ flow, from: sender, to, spec: { arm, ttl }, at }) => {
    const isTrigger = arm !== CONTROL_ARM;
    /** What passes the filter, either way. */
    const filtered = (): boolean => {
      const isFirst = !seen.has(flow);
      seen.add(flow);
      if (to === 'reference' || drops === 'nothing') return false;
      if (drops === 'peer') return sender === from;
      if (blocked.has(flow)) return true;
      const caught = sender === from && isTrigger && (drops !== 'flow' || isFirst);
      if (caught && drops !== 'trigger') blocked.add(flow);
      return caught;
    };
    if (sender !== from) {
      opened.add(flow);
      return passes(back, at) && !filtered() ? 'arrives' : 'lost';
    }
    if (!passes(there, at)) return 'lost';
    const length = to === 'reference' ? toReference : hops.length;
    for (let hop = 0; hop <= length; hop += 1) {
      if (hop > 0 && ttl === hop) {
        const answers = hops[hop - 1] === 'answers' && budgets[hop - 1]?.take(SENDER.address, at) === true;
        return answers && passes(back, at) ? { icmp: { type: 11, code: 0, from: hopAddress(hop) } } : 'lost';
      }
      if (hop === filterAfter && filtered()) return 'lost';
    }
    if (to === 'reference') return passes(back, at) ? 'arrives' : 'lost';
    return opened.has(flow) ? 'arrives' : 'lost';
  };
}
