import { performance } from 'node:perf_hooks';
import type { Ms } from '../base/time.js';

/** Milliseconds on this process's monotonic clock. */
export function monotonicNow(): Ms {
  return performance.now();
}

/** The wall clock as ISO 8601, for people: nothing is computed from it. */
export function wallClock(): string {
  return new Date().toISOString();
}
