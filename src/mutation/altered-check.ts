import { uint16At, uint32At } from '../base/bytes.js';
import { decodeType, parseStrict, transactionKey } from '../stun/message.js';
import { ATTRIBUTES, HEADER_BYTES, MAGIC_COOKIE, METHODS } from '../stun/registry.js';

/**
 * What an ICE check or its answer is whose integrity fits no key that it should: either somebody wrote into it on the way,
 * or it is of another session. Only its header is believed, which says which transaction it was of. `null` for what is
 * no Binding message, or whole and unsigned (that of a plain STUN server is).
 */
export function alteredCheck(wire: Uint8Array): { readonly transaction: string; readonly isAnswer: boolean } | null {
  if (wire.length < HEADER_BYTES || (wire[0] ?? 0) >> 6 !== 0 || uint32At(wire, 4) !== MAGIC_COOKIE) return null;
  const { method, class: kind } = decodeType(uint16At(wire, 0));
  if (method !== METHODS.Binding || kind === 'indication') return null;
  const parsed = parseStrict(wire);
  const unsigned = parsed.ok && !parsed.message.attributes.some(({ type }) => type === ATTRIBUTES['MESSAGE-INTEGRITY']);
  if (unsigned) return null;
  return { transaction: transactionKey(wire.subarray(8, HEADER_BYTES)), isAnswer: kind !== 'request' };
}
