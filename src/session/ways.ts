import { openersHelp } from '../verdict/nat-prediction.js';
import type { EndObservation, PathObservation, RunObservation } from '../verdict/observation.js';
import { type GuessPlan, guessPlan } from '../verdict/port-guessing.js';
import type { NatModel, Role } from '../verdict/words.js';
import type { PathName } from './regather.js';

/** A path is tried so often behind openers: the first try may have been lost. */
export const MOST_OPENER_TRIES = 3;

/**
 * Paths that did not come up, and to which low-TTL openers may help (verdicts.md, NAT model): the wanted ones first. A
 * guess for the agent, not a verdict.
 */
export function openerPaths({ paths, ends }: RunObservation): PathName[] {
  return paths
    .filter((path) => path.valid === null && !path.nat64)
    .filter((path) => openersHelp(natOf(ends, path, 'client'), natOf(ends, path, 'server')))
    .sort((left, right) => Number(right.wanted) - Number(left.wanted))
    .map(nameOf);
}

/** Wanted paths on which a port may be guessed, with what that is worth. */
export function guessPaths({ paths, ends }: RunObservation): { readonly path: PathName; readonly plan: GuessPlan }[] {
  return paths
    .filter((path) => path.wanted && path.valid === null && !path.nat64)
    .flatMap((path) => {
      const plan = guessPlan(natOf(ends, path, 'client'), natOf(ends, path, 'server'));
      return plan ? [{ path: nameOf(path), plan }] : [];
    });
}

function natOf(ends: readonly EndObservation[], path: PathObservation, host: Role): NatModel | null {
  const end = ends.find(
    (one) => one.host === host && one.interface === path[host].interface && one.family === path.family,
  );
  return end?.nat ?? null;
}

function nameOf({ client, server, family }: PathObservation): PathName {
  return { client: client.interface, server: server.interface, family };
}
