import { spawnSync } from 'node:child_process';
import { errorCode, IcepathError } from '../../base/errors.js';
import { loadLibc } from '../../os/libc.js';
import { newNetworkNamespace } from '../../os/namespace.js';
import { openTun } from '../../os/tun.js';
import { ENVIRONMENT } from './tun-host.js';

/** Why this machine cannot run a lab on the kernel: one sentence; `null` where it can. Found by trying, in milliseconds. */
export function whyNoKernel(): string | null {
  const { reason } = loadLibc();
  if (reason !== null) return reason;
  const { error } = spawnSync('ip', ['-V'], { env: ENVIRONMENT, stdio: 'ignore' });
  if (error) return `the program ip (iproute2) cannot be run: ${errorCode(error)}`;
  let namespace;
  try {
    namespace = newNetworkNamespace();
  } catch (cause) {
    return `this user may not make network namespaces (${errorCode(cause)}): that needs root`;
  }
  try {
    openTun('eth0', namespace.path).close();
    return null;
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause);
  } finally {
    namespace.close();
  }
}

/** Throws `lab-no-kernel` where {@link whyNoKernel} has a reason. */
export function needKernel(): void {
  const reason = whyNoKernel();
  if (reason === null) return;
  throw new IcepathError(
    'lab-no-kernel',
    `this machine cannot run the kernel back end: ${reason}`,
    'Use the virtual back end, which needs nothing: --backend virtual.',
  );
}
