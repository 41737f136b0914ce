import type { Family } from '../base/address.js';
import type { Filtering, Mapping, NatModel, PathState } from '../verdict/words.js';
import type { Paint } from './style.js';

/** The words for people behind the words of the contract. */

export function familyName(family: Family): string {
  return family === 'ipv4' ? 'IPv4' : 'IPv6';
}

/** Works; does not; nothing proven. */
export const STATE_PAINT: Readonly<Record<PathState, Paint>> = {
  established: 'green',
  unresponsive: 'red',
  rejected: 'red',
  'one-way': 'red',
  blocked: 'red',
  failed: 'red',
  lost: 'red',
  'not-gathered': 'yellow',
  unprobed: 'yellow',
  misrouted: 'yellow',
  inconclusive: 'yellow',
  superseded: 'yellow',
};

const MAPPING_NAMES: Readonly<Record<Mapping, string>> = {
  none: 'no NAT',
  eim: 'endpoint-independent',
  adm: 'per address',
  apdm: 'per address+port',
  unknown: 'not known',
};

const FILTERING_NAMES: Readonly<Record<Filtering, string>> = {
  eif: 'endpoint-independent',
  adf: 'per address',
  apdf: 'per address+port',
  unknown: 'not known',
};

/** Mapping, filtering, spoil test: the cells of one line (RFC 4787 §4.1, §5; RFC 6092 where nothing is translated). */
export function natCells({ mapping, filtering, spoil, firewall }: NatModel): readonly [string, string, string] {
  const spoiled = spoil === null ? 'not run' : `${spoil.k > 0 ? 'spoiled' : 'holds'} ${spoil.k}/${spoil.n}`;
  const lets = FILTERING_NAMES[filtering];
  return [MAPPING_NAMES[mapping], firewall === 'stateful' ? `stateful, ${lets}` : lets, spoiled];
}

const PATTERN_NAMES: Readonly<Record<NonNullable<NatModel['ports']>['pattern'], string>> = {
  preserving: 'ports as inside',
  sequential: 'ports one after the other',
  random: 'ports at random',
};

const HAIRPIN_NAMES: Readonly<Record<NonNullable<NatModel['hairpin']>, string>> = {
  external: 'hairpins',
  internal: 'hairpins, with the inside source',
  none: 'does not hairpin',
};

/** What else was measured of a NAT, in a line; `null` where nothing was. */
export function natLine({
  opener,
  ports,
  pooling,
  outside = [],
  hairpin,
  carrierGrade,
  lifetime,
  translated,
}: NatModel): string | null {
  const beyond = opener?.hops.at(-1) ?? null;
  const stride = ports?.step ?? 1;
  const step = stride > 1 ? ` (by ${stride})` : '';
  const parity = ports?.pattern !== 'preserving' && ports?.keepsParity === true ? ', odd ones odd' : '';
  const words = [
    opener && `an opener needs a TTL of ${opener.ttl}${beyond === null ? '' : ` and dies at ${beyond}`}`,
    ports && `${PATTERN_NAMES[ports.pattern]}${step}${parity}`,
    pooling && (pooling === 'paired' ? 'one outside address' : `any of its outside addresses (${outside.join(', ')})`),
    hairpin && HAIRPIN_NAMES[hairpin],
    lifetime && lifetimeWords(lifetime),
    carrierGrade && `carrier-grade: ${carrierGrade.join('; ')}`,
    translated &&
      `${translated.by === 'nat64' ? 'NAT64' : 'translated to IPv6'}${prefixWords(translated.prefix)}: ${translated.because}`,
  ].filter((text) => text !== undefined);
  return words.length > 0 ? words.join('; ') : null;
}

function lifetimeWords({ leastMs, mostMs }: NonNullable<NatModel['lifetime']>): string {
  const [least, most] = [leastMs / 1000, mostMs === null ? null : mostMs / 1000];
  if (most === null) return `keeps a silent mapping for more than ${least} s`;
  return least === 0
    ? `keeps a silent mapping for less than ${most} s`
    : `keeps a silent mapping for ${least} to ${most} s`;
}

function prefixWords(prefix: string | null): string {
  return prefix === null ? '' : ` (${prefix})`;
}

/** IANA's names, shortened: those that a path can meet. */
const ICMP_NAMES: Readonly<Record<Family, Readonly<Record<string, string>>>> = {
  ipv4: {
    '3/0': 'network unreachable',
    '3/1': 'host unreachable',
    '3/2': 'protocol unreachable',
    '3/3': 'port unreachable',
    '3/4': 'packet too big',
    '3/9': 'network administratively prohibited',
    '3/10': 'host administratively prohibited',
    '3/13': 'administratively prohibited',
    '11/0': 'hop limit exceeded',
  },
  ipv6: {
    '1/0': 'no route',
    '1/1': 'administratively prohibited',
    '1/3': 'address unreachable',
    '1/4': 'port unreachable',
    '1/5': 'source address failed policy',
    '1/6': 'reject route',
    '2/0': 'packet too big',
    '3/0': 'hop limit exceeded',
  },
};

export function icmpName(family: Family, type: number, code: number): string {
  const name = ICMP_NAMES[family][`${type}/${code}`];
  return name === undefined ? `ICMP ${type}/${code}` : `ICMP ${type}/${code} (${name})`;
}

/** Two digits at most below 10 ms, whole milliseconds below 1 s, tenths of a second above: `0.42 ms`, `41 ms`, `30.0 s`. */
export function duration(ms: number): string {
  if (ms < 10) return `${Number(ms.toPrecision(2))} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** ISO 8601 in UTC, to the second, as people write it. */
export function when(iso: string): string {
  return iso.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z$/, '$1 $2 UTC');
}
