import type { PairView } from '../ice/types.js';
import type { Ms } from '../base/time.js';
import type { Host } from './host.js';
import { attemptOf } from './regather.js';

const LOST = {
  expired: { reason: 'consent expired (RFC 7675)' },
  'base-lost': { reason: 'an address of this host is gone', gone: true },
} as const;

export function recordLost(host: Host, path: string, why: keyof typeof LOST): void {
  host.record({ type: 'lost', path, ...LOST[why] });
}

export function recordValid(host: Host, path: string, pair: PairView, rttMs: Ms): void {
  const { arm, priority, local } = pair;
  const attempt = attemptOf(local.group);
  host.record({ type: 'valid', path, arm, rttMs, ...endsOf(pair), priority: Number(priority), ...attempt });
}

/** Writes what the agent knows of each path at the end of a run. */
export function summarisePairs(
  host: Host,
  pairs: readonly PairView[],
  pathOf: (pair: PairView) => string | null,
): void {
  const paths = new Map<string, PairView[]>();
  for (const pair of pairs) {
    const path = pathOf(pair);
    if (path !== null) paths.set(path, [...(paths.get(path) ?? []), pair]);
  }
  for (const [path, own] of paths) {
    const priority = own.reduce((best, pair) => Math.max(best, Number(pair.priority)), 0);
    const requestsSent = own.reduce((sum, pair) => sum + pair.requestsSent, 0);
    host.record({ type: 'pair', path, priority, requestsSent });
    const fastest = own
      .flatMap(({ rttMs }) => (rttMs ? [rttMs] : []))
      .sort((left, right) => left.median - right.median)[0];
    if (fastest) host.record({ type: 'rtt', path, ...fastest });
  }
}

/** The same of those that a relay carries, with the round trip that they settled at. */
export function summariseRelayed(
  host: Host,
  pairs: readonly PairView[],
  pathOf: (pair: PairView) => string | null,
): void {
  for (const pair of pairs) {
    const path = pathOf(pair);
    if (path === null || !pair.valid || !pair.rttMs) continue;
    host.record({ type: 'relayed', path, rttMs: pair.rttMs.median, ...endsOf(pair) });
  }
}

/** Both ends of a pair that came up, as an event has them. */
export function endsOf({ local, remote }: PairView) {
  return {
    local: { ...local.address },
    localType: local.type,
    remote: { ...remote.address },
    remoteType: remote.type,
  };
}
