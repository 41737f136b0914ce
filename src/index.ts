/** The public library: judging and rendering runs. The command line is `icepath`. */
export { IcepathError } from './base/errors.js';
export { judge } from './session/judge.js';
export { pathId, RECORD_VERSION, recordEventSchema, type RecordEvent } from './session/record.js';
export type * from './verdict/report.js';
export {
  CARRIER_VERDICTS,
  CAUSES,
  PATH_STATES,
  type CarrierVerdict,
  type Cause,
  type NatModel,
  type PathState,
} from './verdict/words.js';
export { reportJson } from './report/json.js';
export { renderReport } from './report/terminal.js';
export { styleOf, type Style } from './report/style.js';
