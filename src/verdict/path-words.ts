import { nameOf, type PathEvidence } from './evidence.js';
import type { PortFilter } from './ports.js';
import { upWords } from './ways.js';
import { ROLES, type Role } from './words.js';

/** What is said of a path that works. */

export function workingWords(evidence: PathEvidence, atMs: number): string {
  return `${upWords(atMs, evidence)}${firewallWords(evidence)}${nat64Words(evidence.path)}${portWords(evidence)}`;
}

/** RFC 6092: both sides sent, so both let the other in; a peer that only waits would hear nothing. */
function firewallWords({ path, ends }: PathEvidence): string {
  const stateful = ROLES.filter((role) => ends[role]?.nat?.firewall === 'stateful').map((role) => nameOf(path[role]));
  if (stateful.length === 0) return '';
  return `; the firewall${stateful.length > 1 ? 's' : ''} before ${stateful.join(' and ')} ${stateful.length > 1 ? 'are' : 'is'} stateful`;
}

export function nat64Words({ nat64 }: PathEvidence['path']): string {
  return nat64 ? `; the ${nat64.host} reaches IPv4 through NAT64, by the prefix ${nat64.prefix}` : '';
}

/** The ends that let only some ports through, where the control, which has other ones, does not pass both ways. */
export function portFiltersOf({
  reference,
  up,
  down,
}: PathEvidence): { readonly host: Role; readonly filter: PortFilter }[] {
  if (up.control.received > 0 && down.control.received > 0) return [];
  return ROLES.flatMap((host) => {
    const filter = reference[host].ports;
    return filter ? [{ host, filter }] : [];
  });
}

export function portWords(evidence: PathEvidence): string {
  return portFiltersOf(evidence)
    .map(
      ({ host, filter }) =>
        `; before ${nameOf(evidence.path[host])} ports are filtered, ${portsText(filter)}: ${filter.why}`,
    )
    .join('');
}

function portsText({ open, closed }: PortFilter): string {
  const passing = open.length > 0 ? `${open.join(', ')} pass${open.length > 1 ? '' : 'es'}` : 'few pass';
  return `${passing} and ${closed.join(', ')} ${closed.length > 1 ? 'do' : 'does'} not`;
}

export function portAdvice(pair: string, evidence: PathEvidence): string {
  const open = [...new Set(portFiltersOf(evidence).flatMap(({ filter }) => filter.open))];
  return `${pair}: let the sockets of both ends use a port that passes: --ports ${open.length > 0 ? open.join(',') : '443'} on client and server`;
}
