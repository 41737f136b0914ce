import { expect, test } from 'vitest';
import { systemRandom } from '../../src/net/random.js';

test('as many bytes as asked for, whatever was drawn before, and none of them again', () => {
  const lengths = [0, 1, 4095, 2, 4096, 10_000, 16];
  expect(lengths.map((length) => systemRandom.bytes(length).length)).toEqual(lengths);
  const drawn = Array.from({ length: 3000 }, () => Buffer.from(systemRandom.bytes(16)).toString('hex'));
  expect(new Set(drawn).size).toBe(drawn.length);
});

test('numbers of 32 bits, every bit of them drawn', () => {
  const numbers = Array.from({ length: 4000 }, () => systemRandom.uint32());
  expect(numbers.every((number) => Number.isInteger(number) && number >= 0 && number < 2 ** 32)).toBe(true);
  for (let bit = 0; bit < 32; bit += 1) {
    const ones = numbers.filter((number) => ((number >>> bit) & 1) === 1).length;
    // Of 4000 tosses, nine standard deviations (32 each) from half.
    expect(Math.abs(ones - 2000)).toBeLessThan(9 * 32);
  }
});

test('what was handed out stays as it was when more is drawn', () => {
  const first = systemRandom.bytes(32);
  const before = [...first];
  systemRandom.bytes(8000);
  systemRandom.bytes(4096);
  expect([...first]).toEqual(before);
});
