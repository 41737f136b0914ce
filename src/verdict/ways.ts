import type { PathEvidence } from './evidence.js';
import type { PathObservation, WayObservation } from './observation.js';
import { guessWords } from './port-guessing.js';
import { ROLES } from './words.js';

/** How a try on fresh sockets went about it. */
export function wayWords({ ttl, guess }: WayObservation): string {
  if (guess) return `on a guessed port (${guessWords(guess)})`;
  const openers = ROLES.flatMap((host) => (ttl[host] === null ? [] : [`${ttl[host]} at the ${host}`]));
  return openers.length > 0
    ? `on fresh sockets behind low-TTL openers (TTL ${openers.join(', ')})`
    : 'on fresh sockets';
}

/** When and how a path came up, and how the control fared on it. */
export function upWords(atMs: number, { path, up, down }: PathEvidence): string {
  const way = path.ways.find(({ helped }) => helped);
  const since = `up after ${String(Math.round(atMs))} ms${way ? `, ${wayWords(way)}` : ''}`;
  if (up.control.sent === 0 && down.control.sent === 0) return since;
  return `${since}; ${way ? 'without that ' : ''}${up.control.received} of ${up.control.sent} control packets arrived up, ${down.control.received} of ${down.control.sent} down`;
}

/** What was tried where an early packet moves the mapping, and did not help. */
export function vainWords(ways: PathObservation['ways']): string {
  const tried = ways.filter(({ ttl }) => ROLES.some((host) => ttl[host] !== null));
  const [first] = tried;
  if (!first) return '; no opener was tried';
  const arrived = tried.some((way) => way.arrived > 0) ? ': these got as far as the other host themselves' : '';
  const times = tried.length > 1 ? `${tried.length} tries` : 'a try';
  return `; ${times} ${wayWords(first)} did not help${arrived}`;
}

/** Guessing that was allowed and did not help. */
export function missedWords(ways: PathObservation['ways']): string {
  const missed = ways.find(({ guess, helped }) => guess && !helped);
  return missed?.guess ? `; ports were guessed and none was hit (${guessWords(missed.guess)})` : '';
}
