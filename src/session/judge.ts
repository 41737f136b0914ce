import { IcepathError } from '../base/errors.js';
import { judgeRun } from '../verdict/judge-run.js';
import type { Report } from '../verdict/report.js';
import { observe } from './observe.js';
import type { RecordEvent } from './record.js';

/**
 * A record → its report. Pure, so that `icepath report` judges an old record as the run itself did.
 * Throws `IcepathError` (`record-without-run`) where the record does not say which run it is of.
 */
export function judge(events: readonly RecordEvent[]): Report {
  const observation = observe(events);
  if (!observation) {
    throw new IcepathError(
      'record-without-run',
      'the record holds no `run` event: it does not say what was tried',
      'give the file that --record wrote, from its first line on',
    );
  }
  return judgeRun(observation);
}
