import { viewOf } from '../base/bytes.js';
import { errnoName, loadLibc, SystemCallError } from './libc.js';

const O_CLOEXEC = 0o2000000;
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;

/** A pipe as the kernel has it, which a child can open as `/dev/fd/N`: Node's own are sockets, which cannot be opened. */
export function openPipe(): { readonly readFd: number; readonly writeFd: number } {
  const { libc, reason } = loadLibc();
  if (!libc) throw new SystemCallError('pipe2', 'ENOSYS', reason);
  const fds = new Uint8Array(8);
  if (libc.pipe2(fds, O_CLOEXEC) < 0) throw new SystemCallError('pipe2', errnoName(libc.errno()), 'a pipe');
  const view = viewOf(fds);
  return { readFd: view.getInt32(0, true), writeFd: view.getInt32(4, true) };
}

/** From now on this process is killed when the thread that started it ends, however that ends. */
export function dieWithParent(): void {
  loadLibc().libc?.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}
