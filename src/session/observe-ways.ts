import type { PathObservation } from '../verdict/observation.js';
import { type Role, ROLES } from '../verdict/words.js';
import { directionKey, FAR, type RecordIndex } from './record-index.js';

/** What was tried for a path on fresh sockets, and whether it came up there. */
export function waysOf(index: RecordIndex, path: string): PathObservation['ways'] {
  const events = index.all('way').filter((event) => event.path === path);
  const helped = new Set(index.all('valid').flatMap((event) => (event.path === path ? [event.attempt] : [])));
  const openers = ROLES.flatMap((from) =>
    index
      .sends(directionKey(path, from))
      .filter((sent) => sent.purpose === 'opener' && index.arrived(sent, FAR[from]) !== undefined),
  );
  return [...new Set(events.map(({ attempt }) => attempt))]
    .sort((a, b) => a - b)
    .flatMap((attempt) => {
      const own = events.filter((event) => event.attempt === attempt);
      const first = own.find(({ host }) => host === 'client') ?? own[0];
      if (!first) return [];
      const ttlOf = (role: Role): number | null => own.find(({ host }) => host === role)?.ttl ?? null;
      const ttl = { client: ttlOf('client'), server: ttlOf('server') };
      const guess = first.guess ? { guess: first.guess } : {};
      const arrived = openers.filter(({ round }) => round === attempt).length;
      return [
        { attempt, way: first.way, arm: first.arm, at: first.t, ttl, arrived, helped: helped.has(attempt), ...guess },
      ];
    });
}
