import type { Lapse } from '../verdict/observation.js';
import type { Role } from '../verdict/words.js';
import { directionKey, FAR, type EventOf, type RecordIndex } from './record-index.js';

/** When a path that had come up was down: from either end's loss until that end's pair came up again; what overlaps is one. */
export function lapsesOf(lost: readonly EventOf<'lost'>[], valid: readonly EventOf<'valid'>[]): Lapse[] {
  const spans = lost
    .map(({ t, host, gone }) => {
      const again = valid.filter((event) => event.host === host && event.t > t).map((event) => event.t);
      return { from: t, until: again.length > 0 ? Math.min(...again) : null, gone: gone ? host : null };
    })
    .sort((left, right) => left.from - right.from);
  const lapses: Lapse[] = [];
  for (const span of spans) {
    const before = lapses.at(-1);
    if (!before || (before.until !== null && before.until < span.from)) lapses.push(span);
    else {
      const until = before.until === null || span.until === null ? null : Math.max(before.until, span.until);
      lapses[lapses.length - 1] = { from: before.from, until, gone: before.gone ?? span.gone };
    }
  }
  return lapses;
}

/** The same with what the last one lacked, where it lasts although the address that went is there again. */
export function unansweredIn(index: RecordIndex, path: string, lapses: readonly Lapse[]): readonly Lapse[] {
  const last = lapses.at(-1);
  if (last?.until !== null || last.gone === null) return lapses;
  const checks = checksSince(index, path, last.gone, last.from);
  const ids = new Set(checks.map(({ id }) => id));
  // Also one that its kernel refused: that end meant to answer.
  const answers = index
    .sends(directionKey(path, FAR[last.gone]))
    .some(({ purpose, id }) => purpose === 'response' && ids.has(id));
  if (answers || checks.length === 0) return lapses;
  const { gone } = last;
  const received = checks.filter((sent) => index.arrived(sent, FAR[gone]) !== undefined).length;
  return [...lapses.slice(0, -1), { ...last, unanswered: { sent: checks.length, received } }];
}

function checksSince(index: RecordIndex, path: string, host: Role, from: number): EventOf<'sent'>[] {
  return index
    .sends(directionKey(path, host))
    .filter(({ purpose, error, t }) => (purpose === 'check' || purpose === 'consent') && error === null && t > from);
}
