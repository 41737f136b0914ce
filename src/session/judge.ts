import { IcepathError } from '../base/errors.js';
import { judgeRun } from '../verdict/judge-run.js';
import type { RunObservation } from '../verdict/observation.js';
import type { PolicyReport } from '../verdict/policies.js';
import type { Report } from '../verdict/report.js';
import { observe } from './observe.js';
import { policiesOf } from './policies/policies.js';
import { RecordIndex } from './record-index.js';
import type { RecordEvent } from './record.js';

/**
 * A record → its report. Pure, so that `icepath report` judges an old record as the run itself did.
 * Throws `IcepathError` (`record-without-run`) where the record does not say which run it is of.
 */
export function judge(events: readonly RecordEvent[]): Report {
  const { index, observation } = observed(events);
  return judgeRun({ ...observation, policies: policiesOf(index, observation) });
}

/** What these policies make of a record beside its own, which comes first; the same error. */
export function judgePolicies(events: readonly RecordEvent[], policies: readonly string[]): PolicyReport[] {
  const { index, observation } = observed(events);
  return policiesOf(index, observation, policies);
}

/** What a record's run observed; the same error. */
export function observeRun(events: readonly RecordEvent[]): RunObservation {
  return observed(events).observation;
}

function observed(events: readonly RecordEvent[]): {
  readonly index: RecordIndex;
  readonly observation: RunObservation;
} {
  const index = new RecordIndex(events);
  const observation = observe(index);
  if (!observation) {
    throw new IcepathError(
      'record-without-run',
      'the record holds no `run` event: it does not say what was tried',
      'give the file that --record wrote, from its first line on',
    );
  }
  return { index, observation };
}
