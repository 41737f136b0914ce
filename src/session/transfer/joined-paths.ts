import { sameAddress, type TransportAddress } from '../../base/address.js';
import { earliest, NEVER, type Ms } from '../../base/time.js';
import type { FourTuple, PathStatistics, QuicConnection } from '../../quic/connection/types.js';
import { isRelayed } from './types.js';

/** A path that ICE proved, for QUIC to use. */
export interface ProvenPath {
  readonly path: string;
  readonly tuple: FourTuple;
  readonly since: Ms;
}

/** How long after QUIC could not open or keep a path that ICE still calls good it is tried again. */
const AGAIN_MS: Ms = 1000;

/** What is known of a QUIC path at the end: of both directions, as this end saw it. */
export type PathTotals = Pick<
  PathStatistics,
  'sentBytes' | 'receivedBytes' | 'sentDatagrams' | 'receivedDatagrams' | 'lostPackets' | 'smoothedRttMs'
>;

interface Joined {
  /** `null`: ICE has not said yet whose addresses these are. */
  path: string | null;
  readonly tuple: FourTuple;
  validated: boolean;
}

export interface JoinedPathsOptions {
  /** A path carries data from now on; how long after ICE had proved it. */
  readonly joined: (path: string, quicPath: number, afterMs: Ms) => void;
  readonly left: (path: string, quicPath: number, why: string) => void;
}

/**
 * Which QUIC paths (multipath extension) the paths are that ICE proved. A client opens one for each; either end leaves the
 * one whose addresses went away. A path that comes back on other addresses is a new QUIC path.
 */
export class JoinedPaths {
  readonly #options: JoinedPathsOptions;
  readonly #proven = new Map<string, ProvenPath>();
  /** All that ever were. */
  readonly #known: ProvenPath[] = [];
  readonly #joined = new Map<number, Joined>();
  readonly #againAt = new Map<string, Ms>();
  readonly #statistics = new Map<number, { readonly path: string; readonly totals: PathTotals }>();

  constructor(options: JoinedPathsOptions) {
    this.#options = options;
  }

  /** Of the handshake: nothing has to be opened for it. */
  begin(id: number, { path, tuple }: ProvenPath): void {
    this.#joined.set(id, { path, tuple, validated: false });
  }

  /** Where to connect: on the path that was proven first, and of those that refused QUIC the one that did so longest ago. */
  first(): ProvenPath | null {
    return [...this.#proven.values()][0] ?? null;
  }

  /** QUIC did not connect there: the others are tried first. */
  refused(path: string): void {
    const proven = this.#proven.get(path);
    if (!proven) return;
    this.#proven.delete(path);
    this.#proven.set(path, proven);
    this.#joined.clear();
  }

  proven(path: string, tuple: FourTuple, now: Ms): void {
    const before = this.#proven.get(path);
    if (before && sameTuple(before.tuple, tuple)) return;
    const proven = { path, tuple, since: now };
    this.#proven.set(path, proven);
    this.#known.push(proven);
    this.#againAt.delete(path);
    for (const joined of this.#joined.values()) if (sameTuple(joined.tuple, tuple)) joined.path = path;
  }

  isProven(tuple: FourTuple): boolean {
    return [...this.#proven.values()].some((proven) => sameTuple(proven.tuple, tuple));
  }

  /** ICE has lost it: QUIC leaves it too, unless it is the last that is open. */
  lost(path: string, connection: QuicConnection | null, now: Ms): void {
    this.#proven.delete(path);
    this.#againAt.delete(path);
    for (const [id, joined] of this.#joined) {
      if (joined.path === path) this.#abandon(id, connection, now);
    }
  }

  /** A socket is gone: what went over it is left. */
  socketGone(local: TransportAddress, connection: QuicConnection | null, now: Ms): void {
    for (const { path: id, tuple } of connection?.paths ?? []) {
      if (sameAddress(tuple.local, local)) this.#abandon(id, connection, now);
    }
  }

  /** Opens what is proven and not open; a client's. */
  work(connection: QuicConnection, now: Ms): void {
    for (const [path, at] of this.#againAt) if (at <= now) this.#againAt.delete(path);
    for (const proven of this.#proven.values()) {
      if (this.#againAt.has(proven.path)) continue;
      const own = [...this.#joined.values()].filter(({ path }) => path === proven.path);
      if (own.some(({ tuple }) => sameTuple(tuple, proven.tuple))) continue;
      const id = connection.openPath(proven.tuple, now);
      if (id === null) this.#againAt.set(proven.path, now + AGAIN_MS);
      else this.#joined.set(id, { path: proven.path, tuple: proven.tuple, validated: false });
    }
  }

  /** More paths may be opened than before. */
  retry(): void {
    this.#againAt.clear();
  }

  deadline(): Ms {
    return this.#againAt.size === 0 ? NEVER : earliest(...this.#againAt.values());
  }

  /** Of the far end's making, by its addresses. */
  opened(id: number, tuple: FourTuple): void {
    const known = this.#known.findLast((proven) => sameTuple(proven.tuple, tuple));
    this.#joined.set(id, { path: known?.path ?? null, tuple, validated: false });
  }

  validated(id: number, connection: QuicConnection, now: Ms): void {
    const joined = this.#joined.get(id);
    if (!joined || joined.validated) return;
    joined.validated = true;
    const { path } = joined;
    if (path === null) return;
    // What goes by a relay moves to the first direct path, and comes back where there is none any more.
    if (isRelayed(path)) connection.setPathStatus(id, 'backup');
    this.#options.joined(path, id, now - (this.#proven.get(path)?.since ?? now));
    // One that was kept as it was the last, and whose path has come back on other addresses.
    for (const [other, { path: of, validated }] of this.#joined) {
      if (other !== id && of === path && validated) this.#abandon(other, connection, now);
    }
  }

  abandoned(id: number, by: string, now: Ms): void {
    const joined = this.#joined.get(id);
    if (!joined) return;
    this.#joined.delete(id);
    if (joined.path === null) return;
    this.#options.left(joined.path, id, by);
    if (this.#proven.has(joined.path)) this.#againAt.set(joined.path, now + AGAIN_MS);
  }

  /** Keeps what the connection says of its paths: it says nothing of those that are abandoned. */
  note(connection: QuicConnection): void {
    for (const totals of connection.paths) {
      const path = this.#joined.get(totals.path)?.path ?? this.#statistics.get(totals.path)?.path;
      if (path !== undefined) this.#statistics.set(totals.path, { path, totals });
    }
  }

  /** By path, all QUIC paths that it was together. */
  totals(): ReadonlyMap<string, PathTotals> {
    const sums = new Map<string, PathTotals>();
    for (const { path, totals } of this.#statistics.values()) {
      const before = sums.get(path);
      const sum = (key: keyof PathTotals): number => (before?.[key] ?? 0) + totals[key];
      sums.set(path, {
        sentBytes: sum('sentBytes'),
        receivedBytes: sum('receivedBytes'),
        sentDatagrams: sum('sentDatagrams'),
        receivedDatagrams: sum('receivedDatagrams'),
        lostPackets: sum('lostPackets'),
        smoothedRttMs: totals.smoothedRttMs,
      });
    }
    return sums;
  }

  #abandon(id: number, connection: QuicConnection | null, now: Ms): void {
    if (connection) this.note(connection);
    connection?.abandonPath(id, now);
  }
}

function sameTuple(left: FourTuple, right: FourTuple): boolean {
  return sameAddress(left.local, right.local) && sameAddress(left.remote, right.remote);
}
