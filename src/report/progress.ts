import type { Cause, PathState } from '../verdict/words.js';
import { printable } from './text.js';

/** A change of a path, as the log and the record carry it: `path.state {path, from, to, cause}`. */
export interface PathStateChange {
  readonly path: string;
  readonly from: PathState | null;
  readonly to: PathState;
  readonly cause: Cause | null;
}

/** Whether a log event is the change of a path. */
export function isPathState(event: object): event is PathStateChange {
  return 'path' in event && typeof event.path === 'string' && 'to' in event && typeof event.to === 'string';
}

/** `wwan0-usb0-v4: established → lost (peer-fault)`; one line for people while a run goes on. */
export function progressLine({ path, from, to, cause }: PathStateChange): string {
  const before = from === null ? '' : `${from} → `;
  const why = cause === null ? '' : ` (${cause})`;
  return printable(`${path}: ${before}${to}${why}`);
}
