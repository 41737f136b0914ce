import type { Ms } from '../src/base/time.js';
import { PLAIN_ARM } from '../src/mutation/names.js';
import { firstPacket, type FirstPacketFinding } from '../src/verdict/findings/first-packet.js';
import type { Trial } from '../src/verdict/trial.js';
import { type Direction, DIRECTIONS } from '../src/verdict/words.js';
import { behindControls, inTurn, later, senderOf } from './behind-control.js';
import { type Flow, openers, type PeerBench, type Shot } from './peer-bench.js';
import type { Experiment } from './probe.js';

/** After the packet that begins a flow, before the controls that see what became of it. */
const JUDGED_MS: Ms = 150;
/** Flows a direction: plain STUN behind a control, and as many begun by STUN as by a control. */
const BEHIND = 20;
const BEGUN = 12;
const MOST_VOLLEYS = 4;

/**
 * Is a packet filtered, or a flow that begins with it? And which way? In the arm matrix every arm has a 5-tuple of its
 * own: a box that judges a flow by its first packet looks there like one that judges packets, and STUN that dies on its
 * way out never opens its own NAT, so that the other direction dies with it. Here plain STUN is sent behind controls
 * that opened the flow, and as the first packet of another; beside these are flows that a control begins.
 */
export function* firstPacketDecides(bench: PeerBench): Experiment<FirstPacketFinding | null> {
  const trials: Trial[] = [];
  for (let volley = 0; volley < MOST_VOLLEYS; volley += 1) {
    const kinds = DIRECTIONS.flatMap((direction) => [
      ...Array.from({ length: BEHIND }, () => (flow: Flow) => behindControls(flow, direction, STUN)),
      ...Array.from({ length: BEGUN }, () => (flow: Flow) => begunBy(flow, direction, STUN)),
      ...Array.from({ length: BEGUN }, () => (flow: Flow) => begunBy(flow, direction, {})),
    ]);
    trials.push(...(yield* inTurn(bench, kinds)));
    const finding = firstPacket(trials);
    if (finding && isDecided(finding)) return finding;
  }
  return firstPacket(trials);
}

const STUN = { arm: PLAIN_ARM };

function begunBy(flow: Flow, direction: Direction, packet: Shot['packet'] & object): Shot[] {
  return [{ flow, from: senderOf(direction), afterMs: 0, packet }, ...later(JUDGED_MS, openers(flow))];
}

function isDecided({ behind, first }: FirstPacketFinding): boolean {
  return DIRECTIONS.every(
    (direction) =>
      behind[direction].outcome === 'fails' ||
      (behind[direction].outcome === 'passes' && first[direction].outcome !== 'undecided'),
  );
}
