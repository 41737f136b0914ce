import type { Ms } from '../../base/time.js';
import { type Backlog, type SchedulablePath, type Scheduler, usable } from './scheduler.js';

/**
 * As ECF (Lim et al., CoNEXT 2017): a datagram goes where it arrives first, also where it has to wait for that, and a slower
 * path takes only what the faster ones would not have brought by the time that it arrives. And as DAPS (Kuhn et al., ICC
 * 2014): what it takes is what comes after that, so that the far end has no gap to wait for.
 */
export class EarliestFirst implements Scheduler {
  readonly name = 'earliest-first';

  choose(paths: readonly SchedulablePath[], { urgentBytes, freshBytes }: Backlog): readonly number[] {
    const candidates = usable(paths);
    const first = earliest(candidates);
    if (first === undefined || first.canSend) return first === undefined ? [] : [first.id];
    if (freshBytes === 0) return [];
    const second = earliest(candidates.filter(({ canSend }) => canSend));
    if (second === undefined) return [];
    return urgentBytes + freshBytes > bytesBefore(second, candidates) ? [second.id] : [];
  }

  ahead(path: SchedulablePath, paths: readonly SchedulablePath[]): number {
    return bytesBefore(path, usable(paths));
  }
}

/** How long a datagram takes to the far end, the wait for its turn included. */
function arrivalMs({ waitMs, smoothedRttMs }: SchedulablePath): Ms {
  return waitMs + smoothedRttMs / 2;
}

function earliest(paths: readonly SchedulablePath[]): SchedulablePath | undefined {
  let first: SchedulablePath | undefined;
  for (const path of paths) if (first === undefined || arrivalMs(path) < arrivalMs(first)) first = path;
  return first;
}

/** What the others bring before a datagram that leaves now on `path` is there, at the rate of their windows. */
function bytesBefore(path: SchedulablePath, paths: readonly SchedulablePath[]): number {
  const arrival = arrivalMs(path);
  let bytes = 0;
  for (const other of paths) {
    const before = arrival - arrivalMs(other);
    if (other === path || before <= 0) continue;
    bytes += Math.max(other.datagramBytes, (before * other.congestionWindowBytes) / Math.max(other.smoothedRttMs, 1));
  }
  return bytes;
}
