import { scopeOf } from '../base/address.js';
import type { PathEvidence } from './evidence.js';
import type { PathObservation } from './observation.js';
import type { Role } from './words.js';

export type PathIcmp = PathObservation['icmp'][number];

/** RFC 792, RFC 1812 §5.2.7.1: network, host, communication administratively prohibited. RFC 4443 §3.1; 5 and 6: RFC 4443 too. */
const ADMIN_CODES = { ipv4: new Set([9, 10, 13]), ipv6: new Set([1, 5, 6]) } as const;
const UNREACHABLE_TYPE = { ipv4: 3, ipv6: 1 } as const;
const PORT_CODE = { ipv4: 3, ipv6: 4 } as const;

/**
 * What an ICMP error says of the path. `nat-port`: the far end's NAT itself has no mapping for this tuple, which speaks
 * of NATs and not of a filter. `null`: nothing (another type, or it answers a try at an address that cannot be public).
 */
export function readIcmp(evidence: PathEvidence, icmp: PathIcmp): 'admin' | 'port' | 'nat-port' | null {
  if (icmp.type !== UNREACHABLE_TYPE[icmp.family] || !isAboutPath(evidence, icmp)) return null;
  if (ADMIN_CODES[icmp.family].has(icmp.code)) return 'admin';
  if (icmp.code !== PORT_CODE[icmp.family]) return null;
  return icmp.from === icmp.quotedTo && isTranslated(evidence, farOf(icmp.host), icmp.quotedTo) ? 'nat-port' : 'port';
}

/**
 * Which end's network an ICMP error came out of, as far as its sender's address alone tells; `null` where it does not.
 * A private sender is on the inside of the receiver's own NAT; the address that was written to belongs to the far end.
 */
export function senderSide(evidence: PathEvidence, icmp: PathIcmp): Role | null {
  if (icmp.from === icmp.quotedTo) return farOf(icmp.host);
  const scope = scopeOrNull(icmp.from);
  if (scope === 'private' || scope === 'shared') return icmp.host;
  return evidence.ends[icmp.host]?.nat?.reflexive?.address === icmp.from ? icmp.host : null;
}

export function describeIcmp({ type, code, from, count }: PathIcmp): string {
  return `ICMP ${String(type)}/${String(code)} from ${from}${count > 1 ? ` (${String(count)} times)` : ''}`;
}

/** Private addresses of the far end are tried too, and carriers refuse those for good reason. */
function isAboutPath({ ends, path }: PathEvidence, { host, quotedTo }: PathIcmp): boolean {
  if (scopeOrNull(quotedTo) === 'global') return true;
  const far = farOf(host);
  const known = [path[far].candidate?.address, ends[far]?.nat?.reflexive?.address];
  return !known.some((address) => address !== undefined && scopeOrNull(address) === 'global');
}

function isTranslated({ run, path }: PathEvidence, host: Role, address: string): boolean {
  const own = run.hosts.find(({ role }) => role === host)?.interfaces.find(({ name }) => name === path[host].interface);
  return own?.addresses.some((candidate) => candidate.address === address) !== true;
}

function scopeOrNull(address: string): ReturnType<typeof scopeOf> | null {
  try {
    return scopeOf(address);
  } catch {
    return null;
  }
}

export function farOf(host: Role): Role {
  return host === 'client' ? 'server' : 'client';
}
