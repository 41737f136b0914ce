import type { Ms } from '../base/time.js';
import { nameOf, type PathEvidence } from './evidence.js';
import type { Lapse, PathObservation } from './observation.js';
import type { Cause } from './words.js';

/** A path that came up `at` and was lost: the far end is gone with its control channel, an own address is, or nobody knows. */
export function lost(
  { run, path }: PathEvidence,
  at: Ms,
  lapse: Lapse,
): { readonly state: 'lost'; readonly cause: Cause | null; readonly why: string } {
  const times = `it came up after ${String(Math.round(at))} ms and was lost after ${String(Math.round(lapse.from))} ms`;
  if (lapse.gone) return { state: 'lost', cause: 'local-fault', why: `${times}, ${goneWords(path, lapse.gone)}` };
  if (!run.controlLost) return { state: 'lost', cause: null, why: times };
  const why = `${times}, when the control channel ended (${run.controlLost.reason})`;
  return { state: 'lost', cause: 'peer-fault', why };
}

/** Checks that the far end logged and left unanswered before it is called unresponsive: fewer may be the run's end. */
export const UNANSWERED_MIN = 3;

/**
 * The end whose address went has one again and asks, and the other, which logs that, says nothing (requirements.md, O23): not
 * the address is what it lacks now. `null` where that is not so, or where half of a record may be missing.
 */
export function unansweredSince(
  { run, path }: PathEvidence,
  { gone, unanswered }: Lapse,
): { readonly state: 'unresponsive'; readonly cause: Cause; readonly why: string; readonly remedy: string } | null {
  if (gone === null || !unanswered || unanswered.received < UNANSWERED_MIN || run.controlLost) return null;
  const far = gone === 'client' ? 'server' : 'client';
  const { sent, received } = unanswered;
  return {
    state: 'unresponsive',
    cause: 'peer-fault',
    why: `lost ${goneWords(path, gone)}; since that has an address again the ${far} logged ${received} of ${sent} checks on ${nameOf(path[far])} and answered none`,
    remedy: `look at icepath on the ${far}: it hears the checks and does not answer`,
  };
}

/** That a path was lost and came up again: a part of the sentence, none where it was up all the time. */
export function lapseWords(path: PathObservation): string[] {
  const [first] = path.lapses;
  if (!first) return [];
  const seconds = (ms: Ms): string => (ms / 1000).toFixed(1);
  const all = path.lapses.reduce((sum, { from, until }) => sum + (until ?? from) - from, 0);
  const times = path.lapses.length === 1 ? 'lost' : `lost ${String(path.lapses.length)} times, first`;
  const because = first.gone ? `, ${goneWords(path, first.gone)}` : '';
  return [`${times} after ${seconds(first.from)} s${because}, and up again: down for ${seconds(all)} s in all`];
}

const goneWords = (path: PathObservation, gone: NonNullable<Lapse['gone']>): string =>
  `when the ${gone}'s address on ${nameOf(path[gone])} went away`;
