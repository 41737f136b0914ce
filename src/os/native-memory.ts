/**
 * Memory that C allocated knows its address, so that a part of it can be named to C by a number: several times cheaper than
 * to make a view of the part, of which koffi then finds out the address.
 */
const addresses = new WeakMap<ArrayBufferLike, number>();

/** `buffer` lies at `address`, for as long as anybody has it. */
export function rememberAddress(buffer: ArrayBufferLike, address: bigint): void {
  const number = Number(address);
  if (Number.isSafeInteger(number)) addresses.set(buffer, number);
}

/** Where a buffer begins; `undefined` for memory of JavaScript's, which the garbage collector may own. */
export function addressOf(buffer: ArrayBufferLike): number | undefined {
  return addresses.get(buffer);
}
