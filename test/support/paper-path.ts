import { fraction, SeededRandom } from '../../src/base/random.js';
import type { Ms } from '../../src/base/time.js';
import type { Fate, PaperPacket } from './paper-bench.js';

export interface PaperPathOptions {
  readonly seed: string | number;
  /** At the client's carrier, inside its NAT: whether it drops a packet. Sees only what comes that far. */
  readonly drops?: (packet: PaperPacket) => boolean;
  /** Of single packets, each on its own. */
  readonly loss?: number;
  /** Nothing passes for so much of the time, for so long on average (exponential). */
  readonly bursts?: { readonly share: number; readonly meanMs: Ms };
}

/**
 * A path on paper: both ends behind NATs that let in whoever was sent to (RFC 4787: APDF), a middlebox between the
 * client and its NAT, and loss between the NATs. The reference answers unless the way there loses.
 */
export function paperPath({
  seed,
  drops = () => false,
  loss = 0,
  bursts,
}: PaperPathOptions): (packet: PaperPacket) => Fate {
  const random = new SeededRandom(`paper path ${seed}`);
  const opened = { client: new Set<number>(), server: new Set<number>() };
  const isBurst = bursts ? burstsOf(random, bursts) : () => false;
  return (packet) => {
    const { flow, from, to, at } = packet;
    const isLost = isBurst(at) || fraction(random) < loss;
    if (from === 'client' && drops(packet)) return 'lost';
    if (to === 'reference') return isLost ? 'lost' : 'arrives';
    opened[from].add(flow);
    if (isLost || !opened[from === 'client' ? 'server' : 'client'].has(flow)) return 'lost';
    return from === 'server' && drops(packet) ? 'lost' : 'arrives';
  };
}

/** Asked about times that do not go back. */
function burstsOf(
  random: SeededRandom,
  { share, meanMs }: { readonly share: number; readonly meanMs: Ms },
): (at: Ms) => boolean {
  const span = (mean: Ms): Ms => -mean * Math.log(1 - fraction(random));
  let isOn = fraction(random) < share;
  let until = 0;
  const next = (): void => {
    until += span(isOn ? meanMs : (meanMs * (1 - share)) / share);
  };
  next();
  return (at) => {
    while (at >= until) {
      isOn = !isOn;
      next();
    }
    return isOn;
  };
}

/** The loss regimes that no finding may come of. */
export const LOSS_REGIMES: Readonly<Record<string, Partial<PaperPathOptions>>> = {
  'single 30 %': { loss: 0.3 },
  'bursts 25 %': { bursts: { share: 0.25, meanMs: 2000 } },
  'short bursts 25 %': { bursts: { share: 0.25, meanMs: 200 } },
  'bursts 12 % and single 10 %': { loss: 0.1, bursts: { share: 0.12, meanMs: 2000 } },
};

export function hasCookie({ bytes }: PaperPacket): boolean {
  return [0x21, 0x12, 0xa4, 0x42].every((byte, index) => bytes[4 + index] === byte);
}

/** Judges a flow by the first packet that it sees of it. */
export function byFirstPacket(matches: (packet: PaperPacket) => boolean): (packet: PaperPacket) => boolean {
  const judged = new Map<number, boolean>();
  return (packet) => {
    const drops = judged.get(packet.flow) ?? matches(packet);
    judged.set(packet.flow, drops);
    return drops;
  };
}

/** Drops what matches, and everything on its flow for so long after. */
export function residual(forMs: Ms, matches: (packet: PaperPacket) => boolean): (packet: PaperPacket) => boolean {
  const until = new Map<number, Ms>();
  return (packet) => {
    if (packet.at < (until.get(packet.flow) ?? 0)) return true;
    if (!matches(packet)) return false;
    until.set(packet.flow, packet.at + forMs);
    return true;
  };
}
