import { CONTROL_ARM } from '../../mutation/names.js';
import type { PacketSpec } from '../../mutation/trial-packet.js';
import { FILTERED_SHARE, passesOften } from '../direction.js';
import { boundary, mcnemar } from '../statistics.js';
import type { Trial } from '../trial.js';
import type { Direction } from '../words.js';

/** A packet on a flow that controls opened before, beside the last control that went the same way. */
export interface Behind {
  readonly direction: Direction;
  readonly flow: number;
  readonly packet: PacketSpec;
  readonly control: boolean;
  readonly arrived: boolean;
}

/** The random control as it is, to the far end. */
export function isControl({ to, packet: { arm, lengthBytes, graft, ttl } }: Trial): boolean {
  return to === 'peer' && arm === CONTROL_ARM && lengthBytes === null && graft === null && ttl === null;
}

export function byFlow(trials: readonly Trial[]): Map<number, Trial[]> {
  const flows = new Map<number, Trial[]>();
  for (const trial of trials) {
    const flow = flows.get(trial.flow);
    if (flow) flow.push(trial);
    else flows.set(trial.flow, [trial]);
  }
  return flows;
}

/** Of each flow the first packet that is no control, where a control was sent before it and the kernel took both. */
export function behindControls(trials: readonly Trial[]): Behind[] {
  return [...byFlow(trials)].flatMap(([flow, own]): Behind[] => {
    const tried = own.find((trial) => trial.to === 'peer' && !isControl(trial));
    if (!tried?.sent) return [];
    const { direction, packet, at, received } = tried;
    const before = own
      .filter((trial) => isControl(trial) && trial.sent && trial.direction === direction && trial.at < at)
      .reduce<Trial | null>((last, trial) => (last && last.at > trial.at ? last : trial), null);
    return before ? [{ direction, flow, packet, control: before.received, arrived: received }] : [];
  });
}

/** How a kind of packet fared beside the controls of its flows. */
export interface Compared {
  /** Flows. */
  readonly n: number;
  /** Controls that arrived, packets that did, and flows in which both did. */
  readonly control: number;
  readonly received: number;
  readonly both: number;
  /** The exact paired test, times the number of kinds that were asked about. */
  readonly p: number;
  readonly outcome: 'fails' | 'passes' | 'undecided';
}

/** As an arm is compared with the control (verdicts.md), a flow being a pair; `kinds`: how many are asked about. */
export function compareBehind(pairs: readonly Pick<Behind, 'control' | 'arrived'>[], kinds = 1): Compared {
  const count = (test: (pair: Pick<Behind, 'control' | 'arrived'>) => boolean): number => pairs.filter(test).length;
  const control = count((pair) => pair.control);
  const received = count(({ arrived }) => arrived);
  const both = count((pair) => pair.control && pair.arrived);
  const p = Math.min(1, mcnemar(control - both, received - both) * Math.max(1, kinds));
  const fails = p <= boundary(pairs.length) && received <= FILTERED_SHARE * control;
  const passes = passesOften({ sent: control, received: both });
  return { n: pairs.length, control, received, both, p, outcome: fails ? 'fails' : passes ? 'passes' : 'undecided' };
}
