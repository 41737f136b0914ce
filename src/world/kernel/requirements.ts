import { spawnSync } from 'node:child_process';
import { errorCode, IcepathError } from '../../base/errors.js';
import { loadLibc } from '../../os/libc.js';
import { newNetworkNamespace } from '../../os/namespace.js';
import { openTun } from '../../os/tun.js';
import type { Scenario } from '../scenario.js';
import { ENVIRONMENT } from './tun-host.js';

/** coturn's, found as `ip` is. */
export const TURN_SERVER = 'turnserver';

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

/** Why a scenario's relays cannot be had here: they are those of coturn; `null` where they can, or none are wanted. */
export function whyNoRelay({ run: { relay } }: Scenario): string | null {
  if (!relay) return null;
  const { error } = spawnSync(TURN_SERVER, ['--version'], { env: ENVIRONMENT, stdio: 'ignore' });
  return error ? `the program ${TURN_SERVER} (Debian's coturn) cannot be run: ${errorCode(error)}` : null;
}

/** Throws `lab-no-kernel` where {@link whyNoKernel} has a reason, or {@link whyNoRelay}. */
export function needKernel(scenario?: Scenario): void {
  const reason = whyNoKernel() ?? (scenario ? whyNoRelay(scenario) : null);
  if (reason === null) return;
  throw new IcepathError(
    'lab-no-kernel',
    `this machine cannot run the kernel back end: ${reason}`,
    'Use the virtual back end, which needs nothing: --backend virtual.',
  );
}
