import type { Report } from '../verdict/report.js';

/** The contract's order (design.md, Report); names that it does not know follow by the alphabet. */
const ORDER = [
  ...['schema', 'run', 'paths', 'carriers', 'reference', 'transfer', 'policies', 'profile', 'webrtc', 'advice', 'exit'],
  ...['id', 'started', 'durationMs', 'version', 'backend', 'seed', 'policy', 'hosts', 'clock', 'incomplete'],
  ...['role', 'name', 'pinning', 'interfaces', 'interface', 'host', 'kind', 'label', 'addresses', 'nat', 'candidate'],
  ...['mapping', 'filtering', 'portPreservation', 'spoil', 'reflexive', 'missing', 'type', 'code', 'from'],
  ...['family', 'address', 'port', 'prefixLength', 'ipv4', 'ipv6'],
  ...['wanted', 'state', 'cause', 'verdict', 'arm', 'fields', 'summary', 'client', 'server', 'egress'],
  ...['sent', 'received', 'answered', 'up', 'down', 'arms', 'rttMs', 'min', 'median', 'icmp', 'priority', 'selected'],
  ...[
    'ways',
    'way',
    'ttl',
    'arrived',
    'helped',
    'predicted',
    'conditions',
    'condition',
    'met',
    'detail',
    'because',
    'remaining',
    'runs',
  ],
  ...[
    'udp',
    'tcp',
    'serverAheadMs',
    'withinMs',
    'n',
    'k',
    'low',
    'high',
    'p',
    'stack',
    'connected',
    'afterMs',
    'pair',
    'note',
    'reason',
  ],
];
const RANK = new Map(ORDER.map((name, index) => [name, index]));

/** A report as one JSON document whose keys stand in the same order every time. Ends with a line break. */
export function reportJson(report: Report): string {
  return `${JSON.stringify(ordered(report), null, 2)}\n`;
}

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([left], [right]) => {
    return rank(left) - rank(right) || (left < right ? -1 : 1);
  });
  return Object.fromEntries(entries.map(([key, item]) => [key, ordered(item)]));
}

function rank(name: string): number {
  return RANK.get(name) ?? ORDER.length;
}
