import { CONTROL_ARM, PLAIN_ARM } from '../src/mutation/names.js';
import { FILTERED_SHARE } from '../src/verdict/direction.js';
import { LOCATION_EXPERIMENT } from '../src/verdict/findings/location.js';
import { RATE_EXPERIMENT } from '../src/verdict/findings/rate.js';
import type { ArmDirectionReport, PathReport } from '../src/verdict/report.js';
import { boundary } from '../src/verdict/statistics.js';
import { DIRECTIONS } from '../src/verdict/words.js';
import { isSomewhere, locate } from './filter-location.js';
import { firstPacketDecides } from './first-packet.js';
import { flowsDiffer } from './flows.js';
import { headerFields } from './header-fields.js';
import { packetSize } from './packet-size.js';
import type { PeerBench } from './peer-bench.js';
import type { Experiment } from './probe.js';
import { rate } from './rate.js';
import { residual } from './residual.js';
import { rewriting } from './rewriting.js';
import { triggerBytes } from './trigger-bytes.js';

/** A question that is put to a path once the arm matrix has decided. */
export interface ExperimentDefinition {
  readonly name: string;
  /** Whether it arises, as far as the path is known by now. */
  readonly arises: (path: PathReport) => boolean;
  /** It fills the path, or must not be disturbed: nothing else runs beside it, and it comes last. */
  readonly isExclusive?: boolean;
  readonly run: (bench: PeerBench, path: PathReport) => Experiment<unknown>;
}

const cameUp = ({ state }: PathReport): boolean => state === 'established';

/**
 * Not where a NAT is known to let some flows through and others not. That dead tuples left its model unfinished is no reason:
 * then the question is the more worth asking.
 */
const natsAgree = ({ predicted }: PathReport): boolean => predicted === 'success' || predicted === 'unknown';
const isStunFiltered = ({ cause }: PathReport): boolean => cause === 'stun-filtered';

/**
 * Plain STUN dies in the matrix, where the control passes, one way at least. The matrix's few flows may be why, and many
 * fresh ones tell: so this asks whatever the path's cause is by now.
 */
export const plainFails = ({ arms }: PathReport): boolean =>
  DIRECTIONS.some((direction) => {
    const of = (name: string): ArmDirectionReport | undefined => arms.find(({ arm }) => arm === name)?.[direction];
    const [control, plain] = [of(CONTROL_ARM), of(PLAIN_ARM)];
    return (
      control !== undefined &&
      plain?.p !== undefined &&
      plain.p !== null &&
      plain.p <= boundary(plain.sent) &&
      plain.received <= FILTERED_SHARE * control.received
    );
  });

/** Flows of experiments have any ports, and so had the control. */
const controlPasses = (path: PathReport): boolean => cameUp(path) && path.cause !== 'port-filtered';

/** In the order in which they are put; each file tells its own. */
export const EXPERIMENTS: readonly ExperimentDefinition[] = [
  { name: 'first-packet', arises: (path) => isStunFiltered(path) || plainFails(path), run: firstPacketDecides },
  { name: 'header-fields', arises: isStunFiltered, run: headerFields },
  { name: 'trigger-bytes', arises: isStunFiltered, run: triggerBytes },
  { name: 'packet-size', arises: cameUp, run: packetSize },
  { name: 'rewriting', arises: cameUp, run: rewriting },
  { name: 'flows', arises: (path) => cameUp(path) && natsAgree(path), run: flowsDiffer },
  { name: LOCATION_EXPERIMENT, arises: isSomewhere, run: locate },
  { name: 'residual', arises: isStunFiltered, run: residual },
  { name: RATE_EXPERIMENT, arises: controlPasses, isExclusive: true, run: rate },
];
