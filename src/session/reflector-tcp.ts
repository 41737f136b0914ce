import type { TransportAddress } from '../base/address.js';
import { viewOf } from '../base/bytes.js';
import { errorCode, unknownAttributes, unknownAttributesAttribute, xorMappedAddress } from '../stun/attributes.js';
import { encodeMessage, type NewAttribute, parseStrict } from '../stun/message.js';
import { ATTRIBUTES, HEADER_BYTES, METHODS } from '../stun/registry.js';

/** What a request may carry that changes nothing about its answer. CHANGE-REQUEST has no meaning on a connection. */
const UNDERSTOOD: ReadonlySet<number> = new Set([
  ATTRIBUTES.USERNAME,
  ATTRIBUTES['MESSAGE-INTEGRITY'],
  ATTRIBUTES['MESSAGE-INTEGRITY-SHA256'],
  ATTRIBUTES.PADDING,
]);

/**
 * The answer to the Binding request that a TCP connection begins with (RFC 8489 §6.2.2: a message is its own frame);
 * `null` as long as there is none: the request is not whole yet, or it is no request. What follows it is passed over:
 * the driver closes after the answer, and bounds how long and how much it waits for. A handshake proved the source,
 * so the answer may be larger than its request.
 */
export function answerTcp(bytes: Uint8Array, remote: TransportAddress): Uint8Array | null {
  if (bytes.length < HEADER_BYTES) return null;
  const end = HEADER_BYTES + viewOf(bytes).getUint16(2);
  if (bytes.length < end) return null;
  const parsed = parseStrict(bytes.subarray(0, end));
  if (!parsed.ok || parsed.message.class !== 'request' || parsed.message.method !== METHODS.Binding) return null;
  const { method, transactionId } = parsed.message;
  const unknown = unknownAttributes(parsed.message, UNDERSTOOD);
  const attributes: NewAttribute[] =
    unknown.length > 0
      ? [errorCode({ code: 420, reason: 'Unknown Attribute' }), unknownAttributesAttribute(unknown)]
      : [xorMappedAddress(remote, transactionId)];
  return encodeMessage({ method, class: unknown.length > 0 ? 'error' : 'success', transactionId, attributes });
}
