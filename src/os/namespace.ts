import { errnoName, loadLibc, SystemCallError } from './libc.js';
import type { Libc } from './libc.js';

/** A network namespace without a name: it lives as long as this is open, or anything runs in it. */
export interface NetworkNamespace {
  /** For {@link inNetworkNamespace}, and `nsenter --net=` of this process. */
  readonly path: string;
  close(): void;
}

const O_RDONLY = 0;
const O_CLOEXEC = 0o2000000;
const CLONE_NEWNET = 0x4000_0000;
const OWN = '/proc/thread-self/ns/net';

/** Makes one, with nothing but `lo` in it, which is down. Throws {@link SystemCallError}: EPERM without the right to. */
export function newNetworkNamespace(): NetworkNamespace {
  const libc = needLibc();
  const fd = andBack(libc, () => {
    if (libc.unshare(CLONE_NEWNET) < 0) throw failed(libc, 'unshare', 'a network namespace');
    return open(libc, OWN);
  });
  let isOpen = true;
  return {
    path: `/proc/self/fd/${fd}`,
    close() {
      // The number may be another file's by the second time.
      if (isOpen) libc.close(fd);
      isOpen = false;
    },
  };
}

/**
 * Runs `run`, which must be synchronous, with this thread in the network namespace of `path` (`/proc/PID/ns/net`), then
 * returns to its own. What it spawns and opens belongs there. Throws {@link SystemCallError}.
 */
export function inNetworkNamespace<Result>(path: string, run: () => Result): Result {
  const libc = needLibc();
  return andBack(libc, () => {
    const other = open(libc, path);
    try {
      enter(libc, other, path);
    } finally {
      libc.close(other);
    }
    return run();
  });
}

function andBack<Result>(libc: Libc, run: () => Result): Result {
  const own = open(libc, OWN);
  try {
    return run();
  } finally {
    try {
      enter(libc, own, 'back');
    } finally {
      libc.close(own);
    }
  }
}

function enter(libc: Libc, fd: number, what: string): void {
  if (libc.setns(fd, CLONE_NEWNET) < 0) throw failed(libc, 'setns', what);
}

function open(libc: Libc, path: string): number {
  const fd = libc.open(path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) throw failed(libc, 'open', path);
  return fd;
}

function failed(libc: Libc, syscall: string, detail: string): SystemCallError {
  return new SystemCallError(syscall, errnoName(libc.errno()), detail);
}

function needLibc(): Libc {
  const { libc, reason } = loadLibc();
  if (!libc) throw new SystemCallError('setns', 'ENOSYS', reason);
  return libc;
}
