/** Codepoints of RFC 9000 §19, RFC 9221 §4 and the multipath extension (draft -21, "New Frames"). */
export const FRAME = {
  PADDING: 0x00,
  PING: 0x01,
  ACK: 0x02,
  ACK_ECN: 0x03,
  RESET_STREAM: 0x04,
  STOP_SENDING: 0x05,
  CRYPTO: 0x06,
  NEW_TOKEN: 0x07,
  /** To 0x0f: the three low bits say what the frame has. */
  STREAM: 0x08,
  STREAM_LAST: 0x0f,
  MAX_DATA: 0x10,
  MAX_STREAM_DATA: 0x11,
  MAX_STREAMS_BIDI: 0x12,
  MAX_STREAMS_UNI: 0x13,
  DATA_BLOCKED: 0x14,
  STREAM_DATA_BLOCKED: 0x15,
  STREAMS_BLOCKED_BIDI: 0x16,
  STREAMS_BLOCKED_UNI: 0x17,
  NEW_CONNECTION_ID: 0x18,
  RETIRE_CONNECTION_ID: 0x19,
  PATH_CHALLENGE: 0x1a,
  PATH_RESPONSE: 0x1b,
  CONNECTION_CLOSE: 0x1c,
  APPLICATION_CLOSE: 0x1d,
  HANDSHAKE_DONE: 0x1e,
  DATAGRAM: 0x30,
  DATAGRAM_WITH_LENGTH: 0x31,
  PATH_ACK: 0x3e,
  PATH_ACK_ECN: 0x3f,
  PATH_ABANDON: 0x3e75,
  PATH_STATUS_BACKUP: 0x3e76,
  PATH_STATUS_AVAILABLE: 0x3e77,
  PATH_NEW_CONNECTION_ID: 0x3e78,
  PATH_RETIRE_CONNECTION_ID: 0x3e79,
  MAX_PATH_ID: 0x3e7a,
  PATHS_BLOCKED: 0x3e7b,
  PATH_CIDS_BLOCKED: 0x3e7c,
} as const;

/** The packets that carry frames. */
export type FramePacket = 'initial' | '0-rtt' | 'handshake' | '1-rtt';

const ALL = 'IH01';

/** RFC 9000 table 3, column "Pkts"; RFC 9221 §4; "only in 1-RTT packets" for all of the multipath extension. */
const PERMITTED: ReadonlyMap<number, string> = new Map<number, string>([
  [FRAME.PADDING, ALL],
  [FRAME.PING, ALL],
  [FRAME.ACK, 'IH1'],
  [FRAME.ACK_ECN, 'IH1'],
  [FRAME.RESET_STREAM, '01'],
  [FRAME.STOP_SENDING, '01'],
  [FRAME.CRYPTO, 'IH1'],
  [FRAME.NEW_TOKEN, '1'],
  ...Array.from({ length: 8 }, (_, flags): [number, string] => [FRAME.STREAM + flags, '01']),
  [FRAME.MAX_DATA, '01'],
  [FRAME.MAX_STREAM_DATA, '01'],
  [FRAME.MAX_STREAMS_BIDI, '01'],
  [FRAME.MAX_STREAMS_UNI, '01'],
  [FRAME.DATA_BLOCKED, '01'],
  [FRAME.STREAM_DATA_BLOCKED, '01'],
  [FRAME.STREAMS_BLOCKED_BIDI, '01'],
  [FRAME.STREAMS_BLOCKED_UNI, '01'],
  [FRAME.NEW_CONNECTION_ID, '01'],
  [FRAME.RETIRE_CONNECTION_ID, '01'],
  [FRAME.PATH_CHALLENGE, '01'],
  [FRAME.PATH_RESPONSE, '1'],
  [FRAME.CONNECTION_CLOSE, ALL],
  [FRAME.APPLICATION_CLOSE, '01'],
  [FRAME.HANDSHAKE_DONE, '1'],
  [FRAME.DATAGRAM, '01'],
  [FRAME.DATAGRAM_WITH_LENGTH, '01'],
  [FRAME.PATH_ACK, '1'],
  [FRAME.PATH_ACK_ECN, '1'],
  [FRAME.PATH_ABANDON, '1'],
  [FRAME.PATH_STATUS_BACKUP, '1'],
  [FRAME.PATH_STATUS_AVAILABLE, '1'],
  [FRAME.PATH_NEW_CONNECTION_ID, '1'],
  [FRAME.PATH_RETIRE_CONNECTION_ID, '1'],
  [FRAME.MAX_PATH_ID, '1'],
  [FRAME.PATHS_BLOCKED, '1'],
  [FRAME.PATH_CIDS_BLOCKED, '1'],
]);

const LETTER: Readonly<Record<FramePacket, string>> = { initial: 'I', handshake: 'H', '0-rtt': '0', '1-rtt': '1' };

export function isKnownFrame(type: number): boolean {
  return PERMITTED.has(type);
}

/** Whether a frame of this type may be in such a packet; false for an unknown type. */
export function isPermitted(type: number, packet: FramePacket): boolean {
  return PERMITTED.get(type)?.includes(LETTER[packet]) === true;
}

export function isMultipathFrame(type: number): boolean {
  return type === FRAME.PATH_ACK || type === FRAME.PATH_ACK_ECN || (type >= 0x3e75 && type <= 0x3e7c);
}
