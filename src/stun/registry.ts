/** Names and numbers of the IANA registry "Session Traversal Utilities for NAT (STUN) Parameters". */

/** RFC 8489 §5. */
export const MAGIC_COOKIE = 0x2112a442;
export const HEADER_BYTES = 20;
export const TRANSACTION_ID_BYTES = 12;

/** In the order of the two class bits (RFC 8489 §5): 0b00 to 0b11. */
export const CLASSES = ['request', 'indication', 'success', 'error'] as const;
export type StunClass = (typeof CLASSES)[number];

export const METHODS = {
  Binding: 0x001,
  Allocate: 0x003,
  Refresh: 0x004,
  Send: 0x006,
  Data: 0x007,
  CreatePermission: 0x008,
  ChannelBind: 0x009,
} as const;

/** Below 0x8000 a receiver must understand the attribute, from there on it may pass over it (RFC 8489 §14). */
export const ATTRIBUTES = {
  'MAPPED-ADDRESS': 0x0001,
  'CHANGE-REQUEST': 0x0003,
  USERNAME: 0x0006,
  'MESSAGE-INTEGRITY': 0x0008,
  'ERROR-CODE': 0x0009,
  'UNKNOWN-ATTRIBUTES': 0x000a,
  'CHANNEL-NUMBER': 0x000c,
  LIFETIME: 0x000d,
  'XOR-PEER-ADDRESS': 0x0012,
  DATA: 0x0013,
  REALM: 0x0014,
  NONCE: 0x0015,
  'XOR-RELAYED-ADDRESS': 0x0016,
  'REQUESTED-ADDRESS-FAMILY': 0x0017,
  'EVEN-PORT': 0x0018,
  'REQUESTED-TRANSPORT': 0x0019,
  'DONT-FRAGMENT': 0x001a,
  'MESSAGE-INTEGRITY-SHA256': 0x001c,
  'PASSWORD-ALGORITHM': 0x001d,
  USERHASH: 0x001e,
  'XOR-MAPPED-ADDRESS': 0x0020,
  'RESERVATION-TOKEN': 0x0022,
  PRIORITY: 0x0024,
  'USE-CANDIDATE': 0x0025,
  PADDING: 0x0026,
  'RESPONSE-PORT': 0x0027,
  'ADDITIONAL-ADDRESS-FAMILY': 0x8000,
  'ADDRESS-ERROR-CODE': 0x8001,
  'PASSWORD-ALGORITHMS': 0x8002,
  'ALTERNATE-DOMAIN': 0x8003,
  ICMP: 0x8004,
  SOFTWARE: 0x8022,
  'ALTERNATE-SERVER': 0x8023,
  'CACHE-TIMEOUT': 0x8027,
  FINGERPRINT: 0x8028,
  'ICE-CONTROLLED': 0x8029,
  'ICE-CONTROLLING': 0x802a,
  'RESPONSE-ORIGIN': 0x802b,
  'OTHER-ADDRESS': 0x802c,
} as const;

export const ERROR_CODES = {
  'Try Alternate': 300,
  'Bad Request': 400,
  Unauthenticated: 401,
  Forbidden: 403,
  'Unknown Attribute': 420,
  'Allocation Mismatch': 437,
  'Stale Nonce': 438,
  'Address Family not Supported': 440,
  'Wrong Credentials': 441,
  'Unsupported Transport Protocol': 442,
  'Peer Address Family Mismatch': 443,
  'Allocation Quota Reached': 486,
  'Role Conflict': 487,
  'Server Error': 500,
  'Insufficient Capacity': 508,
} as const;
