import { type QuicError, quicError } from '../wire/errors.js';
import { FRAME } from '../wire/frame-types.js';
import type { Frame, PathStatus } from '../wire/frames.js';

export type PathIdState = 'unused' | 'open' | 'abandoned';

/** The largest that the nonce has room for (multipath draft -21, "Nonce Calculation"). */
const LARGEST_PATH_ID = 2 ** 32 - 1;

interface Known {
  state: PathIdState;
  /** What each end wishes of a path, with the number of that wish. */
  ours: { readonly status: PathStatus; readonly sequence: number } | null;
  theirs: { readonly status: PathStatus; readonly sequence: number } | null;
  /** Why this end leaves it; `null` until it does. */
  abandonCode: number | null;
}

/** What is to be done about a frame of the far end. */
export type PathVerdict = 'take' | 'ignore' | QuicError;

/**
 * The path ids of a connection: which may be used, which are, which never again (multipath draft -21, "Path
 * Management"). An id serves both directions; only the client takes new ones into use.
 */
export class PathIds {
  readonly #isServer: boolean;
  /** What this end allows, and what the far end does. */
  #localMaximum: number;
  #remoteMaximum: number;
  readonly #paths = new Map<number, Known>();
  readonly #due = new Map<string, Frame>();

  /** Both ends' initial_max_path_id; path 0 is that of the handshake. */
  constructor(isServer: boolean, localMaximum: number, remoteMaximum: number) {
    this.#isServer = isServer;
    this.#localMaximum = localMaximum;
    this.#remoteMaximum = remoteMaximum;
    this.#known(0).state = 'open';
  }

  /** Ids up to this may have connection ids and be opened: the smaller of both ends' limits. */
  get maximum(): number {
    return Math.min(this.#localMaximum, this.#remoteMaximum);
  }

  get open(): readonly number[] {
    return [...this.#paths].filter(([, { state }]) => state === 'open').map(([id]) => id);
  }

  stateOf(path: number): PathIdState {
    return this.#paths.get(path)?.state ?? 'unused';
  }

  /** What the far end wishes of a path; `null` where it has said nothing. */
  wishOf(path: number): PathStatus | null {
    return this.#paths.get(path)?.theirs?.status ?? null;
  }

  /** The smallest id that a client may open now; `null` where there is none, and the far end is told so. */
  next(hasIds: (path: number) => boolean): number | null {
    if (this.#isServer) return null;
    let unused: number | null = null;
    for (let path = 1; path <= this.maximum; path += 1) {
      if (this.stateOf(path) !== 'unused') continue;
      if (hasIds(path)) return path;
      unused ??= path;
    }
    if (unused === null) this.#due.set('blocked', { type: 'paths-blocked', maximum: this.#remoteMaximum });
    else this.#due.set('cids', { type: 'path-cids-blocked', path: unused, nextSequence: 0 });
    return null;
  }

  /** A path is used from now on: by this client, or because a packet came on it. False for one that is no more. */
  use(path: number): boolean {
    if (path > this.maximum || this.stateOf(path) === 'abandoned') return false;
    this.#known(path).state = 'open';
    return true;
  }

  /** Whether a frame of the far end about `path` counts ("New Frames"): not beyond the limit, not for what is no more. */
  verdict(path: number, frameType: number): PathVerdict {
    if (path > this.#localMaximum) {
      return quicError('PROTOCOL_VIOLATION', 'a path id above the limit', frameType);
    }
    return this.stateOf(path) === 'abandoned' ? 'ignore' : 'take';
  }

  /** This end leaves a path. It can be said on any other; the id is never used again. */
  abandon(path: number, errorCode: number): void {
    const known = this.#known(path);
    if (known.abandonCode !== null) return;
    known.abandonCode = errorCode;
    known.state = 'abandoned';
    this.#due.set(`abandon ${String(path)}`, { type: 'path-abandon', path, errorCode });
    this.#due.delete(`status ${String(path)}`);
  }

  /** This end's wish for a path. */
  setStatus(path: number, status: PathStatus): void {
    const known = this.#known(path);
    if (known.state === 'abandoned') return;
    known.ours = { status, sequence: (known.ours?.sequence ?? -1) + 1 };
    this.#due.set(`status ${String(path)}`, { type: 'path-status', path, ...known.ours });
  }

  /** This end allows more paths. */
  allow(maximum: number): void {
    if (maximum <= this.#localMaximum || maximum > LARGEST_PATH_ID) return;
    this.#localMaximum = maximum;
    this.#due.set('maximum', { type: 'max-path-id', maximum });
  }

  /** A frame about path ids; those about connection ids and acknowledgments have only their {@link verdict} here. */
  onFrame(frame: Frame): QuicError | null {
    switch (frame.type) {
      case 'path-abandon': {
        const verdict = this.verdict(frame.path, FRAME.PATH_ABANDON);
        if (typeof verdict === 'object') return verdict;
        // Answered in kind, once.
        this.abandon(frame.path, 0);
        return null;
      }
      case 'path-status': {
        const type = frame.status === 'backup' ? FRAME.PATH_STATUS_BACKUP : FRAME.PATH_STATUS_AVAILABLE;
        const verdict = this.verdict(frame.path, type);
        if (verdict !== 'take') return typeof verdict === 'object' ? verdict : null;
        const known = this.#known(frame.path);
        if ((known.theirs?.sequence ?? -1) < frame.sequence) known.theirs = frame;
        return null;
      }
      case 'max-path-id':
        if (frame.maximum > LARGEST_PATH_ID) {
          return quicError('PROTOCOL_VIOLATION', 'a path id beyond 32 bits', FRAME.MAX_PATH_ID);
        }
        this.#remoteMaximum = Math.max(this.#remoteMaximum, frame.maximum);
        return null;
      case 'paths-blocked':
      case 'path-cids-blocked': {
        const path = frame.type === 'paths-blocked' ? frame.maximum : frame.path;
        const verdict = this.verdict(
          path,
          frame.type === 'paths-blocked' ? FRAME.PATHS_BLOCKED : FRAME.PATH_CIDS_BLOCKED,
        );
        return typeof verdict === 'object' ? verdict : null;
      }
      default:
        return null;
    }
  }

  takeFrames(): Frame[] {
    if (this.#due.size === 0) return [];
    const frames = [...this.#due.values()];
    this.#due.clear();
    return frames;
  }

  /** Said again where it is still the last word. */
  onLost(frame: Frame): void {
    if (frame.type === 'path-abandon') this.#due.set(`abandon ${String(frame.path)}`, frame);
    else if (frame.type === 'path-status') {
      const known = this.#known(frame.path);
      const isLast = known.state !== 'abandoned' && known.ours?.sequence === frame.sequence;
      if (isLast) this.#due.set(`status ${String(frame.path)}`, frame);
    } else if (frame.type === 'max-path-id' && frame.maximum === this.#localMaximum) this.#due.set('maximum', frame);
  }

  #known(path: number): Known {
    const known = this.#paths.get(path) ?? { state: 'unused', ours: null, theirs: null, abandonCode: null };
    this.#paths.set(path, known);
    return known;
  }
}
