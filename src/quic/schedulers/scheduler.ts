import type { Ms } from '../../base/time.js';

/** What a scheduler sees of a path: only paths that are validated and not abandoned are shown to it. */
export interface SchedulablePath {
  readonly id: number;
  readonly smoothedRttMs: Ms;
  readonly congestionWindowBytes: number;
  readonly bytesInFlight: number;
  readonly datagramBytes: number;
  /** Window and pacer let a full datagram leave now. */
  readonly canSend: boolean;
  /** How long it is likely to take until they do; 0 where they do now. */
  readonly waitMs: Ms;
  /** The far end asked to leave it for when no other works (PATH_STATUS_BACKUP), or this end decided so. */
  readonly isBackup: boolean;
  /** Probe timeouts in a row: it may be dead. */
  readonly ptoCount: number;
}

/** What is waiting to be sent. */
export interface Backlog {
  /** How much more the far end takes now, by its flow control. */
  readonly creditBytes: number;
  /** What the far end waits for most: what was lost, and what is to be said of the connection. */
  readonly urgentBytes: number;
  /** What was never sent and may be now. */
  readonly freshBytes: number;
}

/** Decides on which path, or paths, the next datagram with data goes; none: it waits. Small machines, exchangeable. */
export interface Scheduler {
  readonly name: string;
  choose(paths: readonly SchedulablePath[], backlog: Backlog): readonly number[];
  /**
   * How many bytes of what waits the datagram leaves to faster paths, as they bring them before it would; 0, or no such
   * method: it takes what is first.
   */
  ahead?(path: SchedulablePath, paths: readonly SchedulablePath[]): number;
}

/** From so many probe timeouts on a path is not counted on while another works. */
export const SUSPECT_PTOS = 2;

/**
 * The paths to choose from: those that work before those that may be dead, those that are available before those for
 * backup (multipath draft -21, "Path Status Management"), whether or not they have room at the moment.
 */
export function usable(paths: readonly SchedulablePath[]): readonly SchedulablePath[] {
  const alive = paths.filter(({ ptoCount }) => ptoCount < SUSPECT_PTOS);
  const available = alive.filter(({ isBackup }) => !isBackup);
  if (available.length > 0) return available;
  return alive.length > 0 ? alive : paths;
}

export function fastest(paths: readonly SchedulablePath[]): SchedulablePath | undefined {
  let first: SchedulablePath | undefined;
  for (const path of paths) if (first === undefined || path.smoothedRttMs < first.smoothedRttMs) first = path;
  return first;
}
