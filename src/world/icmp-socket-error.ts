import type { Family } from '../base/address.js';
import { ICMP_ERRORS } from './packet.js';

/** What Linux makes of an ICMP error for a socket (`icmp_err_convert`, `icmpv6_err_convert`); `null`: nothing. */
export function unreachableCode(family: Family, type: number, code: number): string | null {
  if (type === ICMP_ERRORS['time-exceeded'][family][0]) return 'EHOSTUNREACH';
  const [unreachable] = ICMP_ERRORS['no-route'][family];
  if (type !== unreachable) return null;
  return UNREACHABLE[family][code] ?? 'EHOSTUNREACH';
}

const UNREACHABLE: Readonly<Record<Family, Readonly<Record<number, string>>>> = {
  ipv4: {
    0: 'ENETUNREACH',
    2: 'ENOPROTOOPT',
    3: 'ECONNREFUSED',
    5: 'EOPNOTSUPP',
    6: 'ENETUNREACH',
    7: 'EHOSTDOWN',
    8: 'ENONET',
    9: 'ENETUNREACH',
    11: 'ENETUNREACH',
  },
  ipv6: { 0: 'ENETUNREACH', 1: 'EACCES', 4: 'ECONNREFUSED', 5: 'EACCES', 6: 'EACCES' },
};
