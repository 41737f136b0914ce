import { transportAddress, type TransportAddress } from '../base/address.js';
import type { Candidate, CandidateType } from './types.js';

/** RFC 8445 §5.1.2.2. */
const TYPE_PREFERENCE: Readonly<Record<CandidateType, number>> = { host: 126, prflx: 110, srflx: 100, relay: 0 };

/** RFC 8445 §5.1.2.1, for component 1. `localPreference` is 0–65535. */
export function candidatePriority(type: CandidateType, localPreference: number): number {
  return TYPE_PREFERENCE[type] * 2 ** 24 + localPreference * 2 ** 8 + (256 - 1);
}

/** The local preference inside a priority: bits 8–23. It names the base among those of one agent. */
export function localPreferenceOf(priority: number): number {
  return (priority >>> 8) & 0xffff;
}

/**
 * RFC 8445 §5.1.1.3: candidates of one type from one base address through one server share a foundation; the port
 * does not count.
 */
export class Foundations {
  readonly #known = new Map<string, string>();

  of(type: CandidateType, base: TransportAddress, server: TransportAddress | null): string {
    const key = [type, base.address, server?.address ?? ''].join(' ');
    const foundation = this.#known.get(key) ?? String(this.#known.size + 1);
    this.#known.set(key, foundation);
    return foundation;
  }
}

/** RFC 8839 §5.1: the value of `a=candidate`, from `candidate:` on. Interface, kind and label do not travel in SDP. */
export function formatCandidate({ type, address, foundation, priority, related }: Candidate): string {
  const line = `candidate:${foundation} 1 udp ${priority} ${address.address} ${address.port} typ ${type}`;
  if (type === 'host') return line;
  // The related address must be there even when it is to stay hidden (RFC 8839 §5.1).
  const { address: hidden, port } = related ?? { address: address.family === 'ipv6' ? '::' : '0.0.0.0', port: 9 };
  return `${line} raddr ${hidden} rport ${port}`;
}

const ATTRIBUTE =
  /^(?:a=)?candidate:([A-Za-z0-9+/]{1,32}) 0*1 udp (\d{1,10}) ([\da-fA-F.:]{2,45}) (\d{1,5}) typ (host|srflx|prflx|relay)(?: raddr ([\da-fA-F.:]{2,45}) rport (\d{1,5}))?(?: [\x20-\x7e]*)?$/i;
const LONGEST_LINE = 1024;

/**
 * Reads a candidate attribute (RFC 8839 §5.1), with or without `a=`. `null` for what is malformed, and for what this
 * agent has no use for: TCP, another component, an address that is a name (mDNS), port 0.
 */
export function parseCandidate(line: string): Candidate | null {
  if (line.length > LONGEST_LINE) return null;
  const match = ATTRIBUTE.exec(line.trim());
  if (!match) return null;
  const [, foundation = '', priorityText = '', ip = '', port = '', type = '', relatedIp, relatedPort] = match;
  const priority = Number(priorityText);
  const address = addressOrNull(ip, port);
  // RFC 8445 §5.1.2: 1 to 2^31 − 1.
  if (!address || address.port === 0 || priority < 1 || priority > 0x7fff_ffff) return null;
  const related = relatedIp === undefined ? null : addressOrNull(relatedIp, relatedPort ?? '');
  return {
    type: type.toLowerCase() as CandidateType,
    address,
    foundation,
    component: 1,
    priority,
    ...(related ? { related } : {}),
    interface: null,
    kind: null,
    label: null,
  };
}

function addressOrNull(address: string, port: string): TransportAddress | null {
  try {
    return transportAddress(address, Number(port));
  } catch {
    return null;
  }
}
