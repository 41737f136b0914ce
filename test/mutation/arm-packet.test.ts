import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import { buildArmPacket, recogniseAltered } from '../../src/mutation/arm-packet.js';
import { BUILT_IN } from '../../src/mutation/registry.js';
import { recogniseProbe } from '../../src/mutation/probe.js';

const KEY = new Uint8Array(32).fill(7);
const OTHER = new Uint8Array(32).fill(8);
const STUN_ARMS = BUILT_IN.stunArms.map(({ name }) => name);
const packet = (arm: string, counter = 5): { readonly id: string; readonly bytes: Uint8Array } =>
  buildArmPacket(arm, { key: KEY, counter, random: new SeededRandom(counter) });

function changed(bytes: Uint8Array, at: number, ...to: number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(to, at);
  return copy;
}

describe('packets of the matrix', () => {
  it.each(STUN_ARMS)('%s: arrives as it was sent', (arm) => {
    const { id, bytes } = packet(arm);
    expect(recogniseProbe(bytes, KEY)).toEqual({ arm, id });
    expect(recogniseAltered(bytes, KEY)).toBeNull();
  });

  it.each(STUN_ARMS)('%s: whoever has the key sees which bytes were rewritten', (arm) => {
    const { id, bytes } = packet(arm);
    const rewritten = changed(bytes, 24, ...bytes.subarray(24, 28).map((byte) => ~byte));
    expect(recogniseProbe(rewritten, KEY)).toBeNull();
    expect(recogniseAltered(rewritten, KEY)).toEqual({ arm, id, changed: [{ at: 24, end: 28 }] });
    expect(recogniseAltered(rewritten, OTHER)).toBeNull();
  });

  it('longer or shorter than it was: the bytes behind', () => {
    const { bytes } = packet('stun');
    expect(recogniseAltered(bytes.subarray(0, 100), KEY)?.changed).toEqual([{ at: 100, end: 108 }]);
    expect(recogniseAltered(Uint8Array.of(...bytes, 0, 0, 0, 0), KEY)?.changed).toEqual([{ at: 108, end: 112 }]);
  });

  it('ids do not repeat, whatever the arm and the half of the counter', () => {
    const ids = STUN_ARMS.flatMap((arm, index) =>
      [index, 0x8000_0000 + index].map((counter) => packet(arm, counter).id),
    );
    expect(new Set(ids).size).toBe(ids.length);
  });

  // A tag of 64 bits stands before the counter: nobody guesses one.
  it('garbage, strangers’ STUN and other sessions’ packets are nobody’s', () => {
    const random = new SeededRandom('garbage');
    for (let length = 0; length < 200; length += 1) expect(recogniseAltered(random.bytes(length), KEY)).toBeNull();
    const { bytes } = buildArmPacket('stun', { key: OTHER, counter: 1, random });
    expect(recogniseAltered(changed(bytes, 30, 1), KEY)).toBeNull();
  });
});
