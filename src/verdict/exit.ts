import { nameOf } from './evidence.js';
import type { RunObservation } from './observation.js';
import type { PathVerdict } from './path.js';
import type { Report } from './report.js';
import type { PathState } from './words.js';

const DECIDED: ReadonlySet<PathState> = new Set(['rejected', 'one-way', 'unresponsive', 'blocked', 'failed', 'lost']);

/** verdicts.md, "Exit codes". */
export function exitOf(run: RunObservation, paths: readonly PathVerdict[]): Report['exit'] {
  const wanted = paths.filter(({ evidence }) => evidence.path.wanted);
  const list = (some: readonly PathVerdict[]): string =>
    some
      .map(({ evidence: { path }, state }) => `${nameOf(path.client)} ↔ ${nameOf(path.server)} ${path.family} ${state}`)
      .join(', ');
  if (run.interrupted) return { code: 130, reason: `interrupted; so far: ${list(wanted) || 'nothing is known'}` };
  const decided = wanted.filter(({ state }) => DECIDED.has(state));
  if (decided.length > 0) return { code: 3, reason: list(decided) };
  const open = wanted.filter(({ state }) => state !== 'established');
  if (open.length > 0) return { code: 4, reason: `the run proves nothing about: ${list(open)}` };
  if (wanted.length === 0) return { code: 4, reason: 'there was no wanted path to try' };
  return { code: 0, reason: `every wanted path is established (${String(wanted.length)})` };
}
