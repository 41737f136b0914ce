import { CONTROL_ARM } from '../mutation/names.js';
import type { PathReport, Report } from '../verdict/report.js';

/** What the control shows of a path that is not decided yet: no verdict, and it may still turn. */
export interface SoFar {
  readonly path: string;
  /** Which ways the control arrives. */
  readonly arrives: 'nowhere' | 'up' | 'down' | 'both ways';
  readonly up: { readonly sent: number; readonly received: number };
  readonly down: { readonly sent: number; readonly received: number };
}

/** Fewer packets than this say nothing even for the moment. */
const LEAST_SENT = 6;

/** What is to be said of wanted paths while they are undecided: once each, and again when it turns. */
export class EarlyWord {
  readonly #said = new Map<string, SoFar['arrives']>();

  of({ paths }: Pick<Report, 'paths'>): SoFar[] {
    return paths.flatMap((path) => {
      const soFar = soFarOf(path);
      if (!soFar || this.#said.get(path.id) === soFar.arrives) return [];
      this.#said.set(path.id, soFar.arrives);
      return [soFar];
    });
  }
}

function soFarOf({ id, wanted, state, arms }: PathReport): SoFar | null {
  const control = arms.find(({ arm }) => arm === CONTROL_ARM);
  // Those with a state are told as `path.state`.
  if (!wanted || !control || (state !== 'inconclusive' && state !== 'failed')) return null;
  const up = { sent: control.up.sent, received: control.up.received };
  const down = { sent: control.down.sent, received: control.down.received };
  if (Math.min(up.sent, down.sent) < LEAST_SENT) return null;
  const arrives = up.received > 0 ? (down.received > 0 ? 'both ways' : 'up') : down.received > 0 ? 'down' : 'nowhere';
  return { path: id, arrives, up, down };
}
