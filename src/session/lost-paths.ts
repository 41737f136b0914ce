import { NEVER, type Ms } from '../base/time.js';
import type { Run } from './run.js';

/** How long after a try of a path that was lost it is tried again. */
const AGAIN_MS: Ms = 10_000;

/**
 * Paths that were up and whose consent expired: each gets fresh sockets, as a box on the way may hold the old ones against
 * it. Once; but while data flow until it is up again, since whatever took it may end (a route, a NAT, a radio).
 */
export class LostPaths {
  readonly #againAt = new Map<string, Ms>();

  /** Begins what is due, and tells when that is the next time. */
  work({ connectivity, regathering, transfer }: Run, now: Ms): Ms {
    const { lost } = connectivity;
    for (const id of [...this.#againAt.keys()]) if (!lost.has(id)) this.#againAt.delete(id);
    let next = NEVER;
    for (const [id, { path, arm }] of lost) {
      const at = this.#againAt.get(id) ?? now;
      if (at <= now && !regathering.tried(id).underWay) {
        const again = regathering.begin(path, { arm, way: 'fresh-sockets' }) && transfer?.done === false;
        this.#againAt.set(id, again ? now + AGAIN_MS : NEVER);
      } else if (at <= now) this.#againAt.set(id, now + AGAIN_MS);
      next = Math.min(next, this.#againAt.get(id) ?? NEVER);
    }
    return next;
  }
}
