/** Packet numbers are truncated on the wire to 1 to 4 bytes (RFC 9000 §17.1). */
export type PacketNumberLength = 1 | 2 | 3 | 4;

/** As many bytes as the far end needs that has acknowledged `largestAcked`, or nothing (`-1`) yet (RFC 9000 A.2). */
export function packetNumberLength(packetNumber: number, largestAcked: number): PacketNumberLength {
  const unacknowledged = packetNumber - largestAcked;
  // Twice the range has to fit, so that what is late and what is early can be told apart.
  if (unacknowledged < 0x80) return 1;
  if (unacknowledged < 0x8000) return 2;
  if (unacknowledged < 0x80_0000) return 3;
  return 4;
}

/** The full packet number: the one nearest to what is expected next (RFC 9000 A.3). `largest` is `-1` before the first. */
export function decodePacketNumber(truncated: number, length: PacketNumberLength, largest: number): number {
  const window = 2 ** (8 * length);
  const expected = largest + 1;
  const candidate = expected - (expected % window) + truncated;
  if (candidate <= expected - window / 2) return candidate + window;
  if (candidate > expected + window / 2 && candidate >= window) return candidate - window;
  return candidate;
}
