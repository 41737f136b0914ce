import type { Lapse } from '../verdict/observation.js';
import type { EventOf } from './record-index.js';

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
