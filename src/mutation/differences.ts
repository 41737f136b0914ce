/** Bytes [at, end) of a UDP payload. */
export interface ByteRange {
  readonly at: number;
  readonly end: number;
}

/** Ranges that are named; what differs beyond them goes into the last. */
const RANGES_MAX = 32;

/** The bytes that are others in `found`, and those that one of the two has beyond the other's end. */
export function differences(expected: Uint8Array, found: Uint8Array): ByteRange[] {
  const ranges: { at: number; end: number }[] = [];
  for (let at = 0; at < Math.max(expected.length, found.length); at += 1) {
    if (expected[at] === found[at]) continue;
    const last = ranges.at(-1);
    // Where only every other byte is another one it is one change, a byte of which stayed the same by chance.
    if (last && (at - last.end < 2 || ranges.length === RANGES_MAX)) last.end = at + 1;
    else ranges.push({ at, end: at + 1 });
  }
  return ranges;
}

/** Bytes that are others in at least half of the packets: one that is drawn anew may be the one that it was. */
export function oftenDifferent(packets: readonly (readonly ByteRange[])[]): ByteRange[] {
  const times = new Map<number, number>();
  for (const ranges of packets) {
    for (const { at, end } of ranges) {
      for (let byte = at; byte < Math.min(end, 0x10000); byte += 1) times.set(byte, (times.get(byte) ?? 0) + 1);
    }
  }
  const often = [...times].filter(([, count]) => 2 * count >= packets.length).map(([byte]) => byte);
  const ranges: { at: number; end: number }[] = [];
  for (const byte of often.sort((left, right) => left - right)) {
    const last = ranges.at(-1);
    if (last?.end === byte) last.end = byte + 1;
    else ranges.push({ at: byte, end: byte + 1 });
  }
  return ranges;
}

/** `28-31, 60`: as people count. */
export function rangesText(ranges: readonly ByteRange[]): string {
  return ranges.map(({ at, end }) => (end - at === 1 ? String(at) : `${at}-${end - 1}`)).join(', ');
}
