/** The one's complement sum of RFC 1071 over bytes [from, to), unfolded; below 2^32 for all that IP can carry. */
export function sumOfWords(view: DataView, from: number, to: number): number {
  let at = from;
  let high = 0;
  let low = 0;
  // Two words at a time: half the time of a checksum, which every packet of a lab costs twice.
  for (; at + 4 <= to; at += 4) {
    const words = view.getInt32(at);
    high += words >>> 16;
    low += words & 0xffff;
  }
  if (at + 2 <= to) {
    low += view.getUint16(at);
    at += 2;
  }
  return high + low + (at < to ? view.getUint8(at) << 8 : 0);
}

/** The checksum field for such a sum, or for several added up; 0 when the field was summed along and is right. */
export function checksumOf(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  return ~folded & 0xffff;
}
