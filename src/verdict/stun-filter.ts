import { PLAIN_ARM } from '../mutation/names.js';
import { type FlowTest, flowTest } from './arm-flows.js';
import type { Condition } from './blocked.js';
import { armOf, type DirectionEvidence } from './direction.js';
import type { PathEvidence } from './evidence.js';
import { stunFailsIn } from './fields.js';
import type { ResidualFinding } from './findings/residual.js';
import { type TriggerFinding, valuesOf } from './findings/trigger.js';
import type { Cause, Direction } from './words.js';

/**
 * The directions in which plain STUN is filtered. The arm matrix says where it dies; behind a control that opened the flow
 * it may pass nonetheless, because only the first packet of a flow decides, because STUN that dies one way never opened
 * the NAT for the other, or because the matrix's few 5-tuples took a bad way among parallel ones. Where nobody asked, or
 * loss hid the answer, the matrix's flows must be so many that chance does not kill them.
 *
 * What the experiment shows needs no second proof from the matrix: a NAT that opens late takes the first packets of every
 * block from the control of one direction, and leaves its matrix undecided. Only what passes in the matrix is not filtered.
 */
export function stunFilteredIn(evidence: PathEvidence): DirectionEvidence[] {
  return [evidence.up, evidence.down].filter((direction) => isFiltered(evidence, direction));
}

function isFiltered({ isUnsteady, findings: { firstPacket } }: PathEvidence, direction: DirectionEvidence): boolean {
  const inMatrix = armOf(direction, PLAIN_ARM)?.outcome;
  if (inMatrix === undefined || inMatrix === 'passes') return false;
  const outcome = firstPacket?.behind[direction.direction].outcome;
  if (outcome === 'fails' || firstPacket?.decides.includes(direction.direction) === true) return true;
  // Where flows are known to differ only many of them prove a filter.
  if (inMatrix !== 'fails' || isUnsteady || outcome === 'passes') return false;
  return flowsOf(direction).proves;
}

function flowsOf({ observed, controlRounds }: DirectionEvidence): FlowTest {
  return flowTest(observed, controlRounds);
}

/** Where plain STUN dies and its flows are too few to call that a filter: what is lacking. Empty where nothing is. */
export function flowConditions(evidence: PathEvidence): Condition[] {
  const { up, down, isUnsteady, findings } = evidence;
  if (isUnsteady) return [];
  return stunFailsIn([up, down]).flatMap((direction) => {
    const asked = findings.firstPacket?.behind[direction.direction].outcome;
    if (asked === 'passes' || isFiltered(evidence, direction)) return [];
    const { p, limit, dead, needsTime } = flowsOf(direction);
    const condition = `${direction.direction}: plain STUN dies on more flows than die by chance`;
    const detail = `${dead} flows of it, p = ${p.toExponential(1)}, at most ${limit.toExponential(1)}`;
    return [{ condition, met: false, detail, needsTime }];
  });
}

/** What a filter on STUN does to a path: `null` where there is none. */
export function stunCause(evidence: PathEvidence): Extract<Cause, 'residual-block' | 'stun-filtered'> | null {
  if (stunFilteredIn(evidence).length === 0) return null;
  return (evidence.findings.residual?.blocks.length ?? 0) > 0 ? 'residual-block' : 'stun-filtered';
}

export function stunFilteredWords(evidence: PathEvidence): string {
  const { firstPacket, trigger, residual } = evidence.findings;
  const filtered = stunFilteredIn(evidence).map(({ direction }) => direction);
  const words = [`plain STUN is filtered ${filtered.map(wayOf).join(' and ')}, where the control passes`];
  for (const direction of firstPacket?.decides ?? []) {
    const { stun, control } = firstPacket?.first[direction] ?? {};
    if (!stun || !control) continue;
    words.push(
      `the first packet of a flow decides: behind a control plain STUN passes ${wayOf(direction)}, of flows that it began ${stun.k} of ${stun.n} lived, of those that a control began ${control.k} of ${control.n}`,
    );
  }
  if (trigger) words.push(...triggerWords(trigger));
  if (residual && residual.blocks.length > 0) words.push(residualWords(residual));
  return words.join('; ');
}

function wayOf(direction: Direction): string {
  return direction === 'up' ? 'client → server' : 'server → client';
}

/** `dropped client → server when bytes 4–7 are 21 12 a4 42, whatever else`, and how sure that is. */
function triggerWords({ direction, sets, without: rest, confirmed }: TriggerFinding): string[] {
  if (sets.length === 0) return [];
  const what = sets.map(({ bytes }) => bytes.map(bytesWords).join(' and ')).join(', or ');
  const dead = sets.reduce((sum, { alone }) => sum + alone.n - alone.received, 0);
  const random = sets.reduce((sum, { alone }) => sum + alone.n, 0);
  const more = sets.every(({ smallest }) => smallest) ? '' : '; fewer bytes may be enough';
  const passed = rest ? `${rest.received} of ${rest.n} STUN packets with random bytes there passed` : '';
  const both = confirmed
    ? `${passed}${more}`
    : rest?.outcome === 'fails'
      ? `STUN with random bytes there dies, too, so something else is enough as well${more}`
      : `whether STUN passes without them is not known${more}`;
  return [
    `dropped ${wayOf(direction)} when ${what}, whatever else (${dead} of ${random} random packets with that died, ${both})`,
  ];
}

function bytesWords(range: { readonly at: number; readonly end: number }): string {
  const { at, end } = range;
  const values = valuesOf(range);
  const name = end - at === 1 ? `byte ${at} is` : `bytes ${at}–${end - 1} are`;
  return `${name} ${values ?? 'as in STUN'}`;
}

function residualWords({ blocks, deadAtMs, aliveAtMs, triggered, untouched }: ResidualFinding): string {
  const seconds = (ms: number): string => (ms / 1000).toFixed(0);
  const span =
    aliveAtMs !== null
      ? `for ${seconds(deadAtMs ?? 0)} to ${seconds(aliveAtMs)} s`
      : `for longer than ${seconds(deadAtMs ?? 0)} s`;
  const counts = blocks.map(
    (direction) =>
      `${wayOf(direction)} ${triggered[direction].k} of ${triggered[direction].n} such tuples lived on, ${untouched[direction].k} of ${untouched[direction].n} without it`,
  );
  return `after it nothing passes between the same addresses and ports ${span} (${counts.join(', ')})`;
}
