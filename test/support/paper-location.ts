import { locateFilter, locatePeerBlock } from '../../probes/filter-location.js';
import { LOCATION_EXPERIMENT, type LocationFinding } from '../../src/verdict/findings/location.js';
import { PaperBench } from './paper-bench.js';
import { paperWay, type PaperWay } from './paper-way.js';

export interface Located {
  readonly finding: LocationFinding | null;
  readonly bench: PaperBench;
}

/** Asks where, as a session would, on a way that is described on paper. */
export function locateOnPaper(way: PaperWay): Located {
  const from = way.from ?? 'client';
  const bench = new PaperBench(LOCATION_EXPERIMENT, paperWay(way), { seed: way.seed ?? 1 });
  const finding = bench.run((on) => (way.drops === 'peer' ? locatePeerBlock(on, from) : locateFilter(on, from)));
  return { finding, bench };
}

/** Whether the filter behind hop `filterAfter` lies within what was found. */
export function holds({ after, before }: LocationFinding, filterAfter: number): boolean {
  return after.hop <= filterAfter && (before === null || before.hop > filterAfter);
}

export function widthOf({ after, before }: LocationFinding): number {
  return before === null ? Infinity : before.hop - after.hop;
}

export function answering(count: number): ('answers' | 'silent')[] {
  return Array.from({ length: count }, () => 'answers');
}
