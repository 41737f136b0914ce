import { viewOf } from '../base/bytes.js';
import { HEADER_BYTES, MAGIC_COOKIE } from '../stun/registry.js';

interface Header {
  readonly type: number;
  readonly lengthBytes: number;
  readonly cookie: number;
  /** What follows the header. */
  readonly bodyBytes: number;
}

function headerOf(payload: Uint8Array): Header | null {
  if (payload.length < HEADER_BYTES) return null;
  const view = viewOf(payload);
  return {
    type: view.getUint16(0),
    lengthBytes: view.getUint16(2),
    cookie: view.getUint32(4),
    bodyBytes: payload.length - HEADER_BYTES,
  };
}

/** All but the class bits (0x0110) and the two that tell STUN from what shares its port (RFC 8489 §5, §6). */
const METHOD_BITS = 0x3eef;
/** Highest of TURN's methods (RFC 8656 §17). */
const LAST_METHOD = 0x000b;
/** RFC 3489 §11.1: Binding and Shared Secret, as request, response and error. */
const CLASSIC_TYPES = [0x0001, 0x0101, 0x0111, 0x0002, 0x0102, 0x0112];

/**
 * What some classifiers in use take for STUN, as far as header mutations tell them apart (facts.md, "What calls a
 * packet STUN"). Each is a rule for a packet on its own: what comes of a flow after several packets is not modelled.
 */
export const CLASSIFIERS = {
  /**
   * nDPI as of October 2024: the method without class and top bits is a known one, the length is the datagram's; without
   * the cookie the type must be one of RFC 3489, top bits included.
   */
  ndpi: (payload: Uint8Array): boolean => {
    const header = headerOf(payload);
    if (!header || header.lengthBytes !== header.bodyBytes || (header.type & METHOD_BITS) > LAST_METHOD) return false;
    return header.cookie === MAGIC_COOKIE || CLASSIC_TYPES.includes(header.type);
  },
  /** zapret's is_stun: top bits zero, the cookie, a length that is a multiple of four and not beyond the datagram; any method. */
  zapret: (payload: Uint8Array): boolean => {
    const header = headerOf(payload);
    if (!header || header.type >= 0x4000 || header.cookie !== MAGIC_COOKIE) return false;
    return header.lengthBytes % 4 === 0 && header.lengthBytes <= header.bodyBytes;
  },
  /** Whatever begins as STUN does, 0x40 set or not: takes every STUN arm, for no field that could be changed. */
  'stun-shape': (payload: Uint8Array): boolean => payload.length >= HEADER_BYTES && ((payload[0] ?? 0) & 0xbe) === 0,
} as const satisfies Record<string, (payload: Uint8Array) => boolean>;

export type ClassifierName = keyof typeof CLASSIFIERS;
export const CLASSIFIER_NAMES = Object.keys(CLASSIFIERS) as ClassifierName[];
