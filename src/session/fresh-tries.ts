import type { ArmName } from '../mutation/names.js';
import type { PathObservation, RunObservation } from '../verdict/observation.js';
import { firstStunArm, receivedOf } from './decide.js';
import type { Run } from './run.js';

/** Tries of a path that nobody asks about. */
const UNWANTED_TRIES = 2;

/**
 * Paths that do not come up although an arm gets through on the matrix's sockets: those of ICE are burnt, by a filter
 * that remembers a tuple, or by a bad way among parallel ones. They are tried again on fresh ones.
 */
export class FreshTries {
  readonly #tries = new Map<string, { readonly path: PathObservation; readonly arm: ArmName }>();

  /** From now on, in `arm`; in the first arm of all where that got through at all: then nobody filters it. */
  add({ paths, arms, ownArms }: RunObservation, id: string, arm: ArmName): void {
    const path = paths.find((one) => one.id === id);
    if (!path) return;
    const first = firstStunArm({ arms, ownArms });
    const arrives = first !== undefined && [path.up, path.down].every((way) => receivedOf(way, first) > 0);
    this.#tries.set(id, { path, arm: arrives ? first : arm });
  }

  /** Begins every try that is due. */
  work({ connectivity, regathering }: Run): void {
    for (const [id, { path, arm }] of this.#tries) {
      const { times, underWay } = regathering.tried(id);
      if (underWay) continue;
      const name = { client: path.client.interface, server: path.server.interface, family: path.family };
      const isOver = connectivity.established.has(id) || (!path.wanted && times >= UNWANTED_TRIES);
      if (isOver || !regathering.begin(name, { arm, way: 'fresh-sockets' })) this.#tries.delete(id);
    }
  }
}
