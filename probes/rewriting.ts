import { shuffled } from '../src/base/random.js';
import type { Ms } from '../src/base/time.js';
import { PLAIN_ARM } from '../src/mutation/names.js';
import type { PacketSpec } from '../src/mutation/trial-packet.js';
import { type Rewriting, rewritingFinding } from '../src/verdict/findings/rewriting.js';
import type { Trial } from '../src/verdict/trial.js';
import { ROLES } from '../src/verdict/words.js';
import { closeAll, later } from './behind-control.js';
import { type Flow, openers, type PeerBench, type Shot } from './peer-bench.js';
import type { Experiment } from './probe.js';

/** Of each kind, both ways. */
const ROUNDS = 12;
const ROUND_MS: Ms = 50;
const OPENED_MS: Ms = 240;

/** Routers send few ICMP errors: Linux six at once to one address, then one a second (`icmp_ratelimit`). */
const QUOTED_EVERY_MS: Ms = 1400;
/** Two quotations of a hop prove what accidents do not; some are lost. */
const QUOTED_ROUNDS = 4;
/** Gateways that look into packets stand at the edge: in the router at home, in the carrier's NAT. */
const QUOTED_HOPS = 12;

/**
 * Is anything in the packets rewritten on the way? Both ends know every byte of them: the control, plain STUN, and the
 * control with the address of its sender in it, which an application-layer gateway would exchange for the one outside
 * (what XOR-MAPPED-ADDRESS hides from it, RFC 8489 §14.2). Each round has every kind in an order drawn anew.
 *
 * Where something is, it is asked where: the same packets with so small a TTL that each router on the way says that it
 * ran out, and quotes what came to it.
 */
export function* rewriting(bench: PeerBench): Experiment<readonly Trial[]> {
  const flows = yield* bench.open(2);
  const kinds: readonly Partial<PacketSpec>[] = [{}, { carries: 'address' }, { arm: PLAIN_ARM }];
  const shots = flows.flatMap((flow) => [
    ...openers(flow),
    ...Array.from({ length: ROUNDS / 2 }, (_, round) => {
      const inTurn = shuffled(
        bench.random,
        kinds.flatMap((packet) => ROLES.map((from) => ({ packet, from }))),
      );
      const own = inTurn.map(({ packet, from }, index): Shot => ({ flow, from, afterMs: index, packet }));
      return later(OPENED_MS + round * ROUND_MS, own);
    }).flat(),
  ]);
  const trials = [...(yield* bench.fire(shots))];
  const found = rewritingFinding(trials) ?? [];
  const [flow] = flows;
  for (let round = 0; flow && found.length > 0 && round < QUOTED_ROUNDS; round += 1) {
    trials.push(...(yield* bench.fire(limited(bench, flow, found), QUOTED_EVERY_MS / 2)));
  }
  closeAll(bench, flows);
  return trials;
}

function limited(bench: PeerBench, flow: Flow, found: readonly Rewriting[]): Shot[] {
  const packets = found.slice(0, 4).flatMap(({ direction, arm, hasAddress }) =>
    Array.from({ length: QUOTED_HOPS }, (_, hop) => ({
      from: direction === 'up' ? ('client' as const) : ('server' as const),
      packet: { ttl: hop + 1, arm, ...(hasAddress ? { carries: 'address' as const } : {}) },
    })),
  );
  return shuffled(bench.random, packets).map((shot, index) => ({
    ...shot,
    flow,
    afterMs: (index * QUOTED_EVERY_MS) / 2 / packets.length,
  }));
}
