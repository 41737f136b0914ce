import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../../src/base/random.js';
import { ARM_NAMES } from '../../../src/mutation/names.js';
import { buildTrialPacket } from '../../../src/mutation/trial-packet.js';
import { ExpectedPackets } from '../../../src/session/experiments/expected.js';

const KEY = new Uint8Array(32).fill(3);
const packet = (counter: number, arm = 'random', lengthBytes: number | null = null) =>
  buildTrialPacket({ arm, lengthBytes, graft: null, ttl: null }, { key: KEY, counter });

function expectedOf(...packets: readonly ReturnType<typeof packet>[]): ExpectedPackets {
  const expected = new ExpectedPackets();
  for (const one of packets) expected.add(one);
  return expected;
}

describe('what arrives on a flow', () => {
  it('is known by its bytes, in any order, once', () => {
    const all = ARM_NAMES.flatMap((arm, index) => [packet(2 * index, arm), packet(2 * index + 1, arm)]);
    const expected = expectedOf(...all);
    for (const { id, bytes } of [...all].reverse()) expect(expected.take(bytes)).toEqual({ id, changed: [] });
    for (const { bytes } of all) expect(expected.take(bytes)).toBeNull();
  });

  it('is the nearest where bytes were changed, and the bytes are named', () => {
    const [first, second] = [packet(1), packet(2)];
    const bytes = second.bytes.slice();
    bytes.set(
      [9, 8, 7].map((byte, index) => byte ^ (second.bytes[40 + index] ?? 0) ^ 0xff),
      40,
    );
    for (const at of [40, 41, 42]) if (bytes[at] === second.bytes[at]) bytes[at] = 255 - (bytes[at] ?? 0);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    expect(expectedOf(first, second).take(bytes)).toEqual({
      id: second.id,
      changed: [
        { at: 40, end: 43 },
        { at: 100, end: 101 },
      ],
    });
  });

  it("is nobody's where most of it is something else", () => {
    const expected = expectedOf(packet(1), packet(2, 'random', 300));
    const random = new SeededRandom('strangers');
    for (const length of [0, 1, 12, 107, 108, 109, 300, 1472]) {
      expect(expected.take(random.bytes(length))).toBeNull();
    }
    expect(expected.take(packet(1).bytes)).not.toBeNull();
  });

  it('names at most 32 ranges, the last of which takes in the rest', () => {
    const { id, bytes } = packet(5, 'random', 1000);
    const other = bytes.slice();
    for (let at = 0; at < 1000; at += 4) other[at] = (other[at] ?? 0) ^ 0x80;
    const arrived = expectedOf({ id, bytes }).take(other);
    expect(arrived?.changed).toHaveLength(32);
    expect(arrived?.changed.at(-1)).toEqual({ at: 124, end: 997 });
  });
});
