import { viewOf } from '../../base/bytes.js';
import { type ByteRange, differences } from '../../mutation/differences.js';

/** Below this a quotation has nothing that tells packets apart. */
const QUOTED_MIN = 24;
/** RFC 4884 §4: extensions follow 128 bytes of the datagram at least, of which IPv6 and UDP take the first 48. */
const EXTENSIONS_FROM = 80;
const EXTENSION_HEADER_BYTES = 4;
const OBJECT_HEADER_BYTES = 4;
const EXTENSION_VERSION = 2;

/** What an ICMP error quotes of a packet: which it was, and where the bytes were others by then. */
export interface Quotation<Sent> {
  readonly sent: Sent;
  readonly changed: readonly ByteRange[];
}

/**
 * Which of `packets` is quoted. One that nobody touched is found by its bytes; of a rewritten one at least three
 * quarters have to be as they were, and no other packet may be nearly as like. `null`: none; `'short'`: too few bytes
 * (RFC 792 promises 8 bytes behind the IP header, which are UDP's header) to say.
 */
export function findQuoted<Sent extends { readonly bytes: Uint8Array }>(
  packets: readonly Sent[],
  quotedWithExtensions: Uint8Array,
): Quotation<Sent> | 'short' | null {
  const quoted = withoutExtensions(quotedWithExtensions);
  if (quoted.length < QUOTED_MIN) return 'short';
  let best: { readonly sent: Sent; readonly length: number; readonly others: number } | null = null;
  let second = Infinity;
  for (const sent of packets) {
    const length = Math.min(sent.bytes.length, quoted.length);
    const others = countDifferent(sent.bytes, quoted, length);
    if (others === 0) return { sent, changed: [] };
    if (best === null || others < best.others) {
      second = best?.others ?? Infinity;
      best = { sent, length, others };
    } else second = Math.min(second, others);
  }
  if (!best || 4 * best.others > best.length || second < 2 * best.others) return null;
  const { sent, length } = best;
  return { sent, changed: differences(sent.bytes.subarray(0, length), quoted.subarray(0, length)) };
}

/**
 * The kernel hands out what follows the quoted datagram in the message as if it belonged to it: the extension structure
 * of RFC 4884 §7 (MPLS labels, RFC 4950). It is one where its version, its checksum and the lengths of its objects say so.
 */
export function withoutExtensions(quoted: Uint8Array): Uint8Array {
  for (let at = EXTENSIONS_FROM; at + EXTENSION_HEADER_BYTES + OBJECT_HEADER_BYTES <= quoted.length; at += 4) {
    if (isExtensions(quoted.subarray(at))) return quoted.subarray(0, at);
  }
  return quoted;
}

function isExtensions(bytes: Uint8Array): boolean {
  const view = viewOf(bytes);
  // Twelve bits after the version are reserved and zero.
  if (view.getUint16(0) !== EXTENSION_VERSION << 12 || bytes.length % 4 !== 0) return false;
  for (let at = EXTENSION_HEADER_BYTES; at < bytes.length;) {
    if (at + OBJECT_HEADER_BYTES > bytes.length) return false;
    const length = view.getUint16(at);
    if (length < OBJECT_HEADER_BYTES || at + length > bytes.length) return false;
    at += length;
  }
  // §7: no checksum was made where it is zero.
  return view.getUint16(2) === 0 || onesComplementSum(view) === 0xffff;
}

function onesComplementSum(view: DataView): number {
  let sum = 0;
  for (let at = 0; at + 1 < view.byteLength; at += 2) {
    sum += view.getUint16(at);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

function countDifferent(left: Uint8Array, right: Uint8Array, length: number): number {
  let count = 0;
  for (let at = 0; at < length; at += 1) if (left[at] !== right[at]) count += 1;
  return count;
}
