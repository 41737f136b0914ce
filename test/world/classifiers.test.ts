import { describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/bytes.js';
import { SeededRandom } from '../../src/base/random.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import { buildProbe } from '../../src/mutation/probe.js';
import { type ClassifierName, CLASSIFIERS } from '../../src/world/classifiers.js';
import { Filter } from '../../src/world/filter.js';
import { across, udp } from './packets.js';

const random = new SeededRandom(1);
const key = new Uint8Array(32).fill(7);
const packets = (arm: string): Uint8Array[] =>
  Array.from({ length: 200 }, (_, counter) => buildProbe(arm, { key, counter, random }).bytes);
/** Which arms a classifier takes; every packet of an arm must fare alike. */
const taken = (name: ClassifierName): string[] =>
  ARM_NAMES.filter((arm) => {
    const answers = new Set(packets(arm).map((packet) => CLASSIFIERS[name](packet)));
    expect([arm, answers.size]).toEqual([arm, 1]);
    return answers.has(true);
  });

describe('what calls a packet STUN (facts.md), arm by arm', () => {
  it('nDPI: plain, 0x40 (masked), the cookie (classic fallback), bare; not both, length + 1, an unassigned method', () => {
    expect(taken('ndpi')).toEqual(['stun', 'stun~40', 'stun~cookie', 'stun~attributes']);
  });

  it('zapret: plain, any method, bare; not 0x40, the cookie, both, length + 1', () => {
    expect(taken('zapret')).toEqual(['stun', 'stun~type', 'stun~attributes']);
  });

  it('matrix-stun-shape: every STUN arm, and nothing else', () => {
    expect(taken('stun-shape')).toEqual(ARM_NAMES.filter((arm) => arm.startsWith('stun')));
  });

  it.each([
    ['ndpi', [['length'], ['type'], ['first-byte', 'cookie']]],
    ['zapret', [['first-byte'], ['cookie'], ['length']]],
  ] as const)('%s lets through what changes one of %j, and nothing smaller (verdicts.md)', (name, smallest) => {
    const changed: Record<string, readonly string[]> = {
      'stun~40': ['first-byte'],
      'stun~cookie': ['cookie'],
      'stun~length': ['length'],
      'stun~type': ['type'],
      'stun~40~cookie': ['first-byte', 'cookie'],
      'stun~attributes': ['attributes'],
    };
    for (const [arm, fields] of Object.entries(changed)) {
      const passes = smallest.some((set) => set.every((field) => fields.includes(field)));
      expect([arm, packets(arm).some((packet) => !CLASSIFIERS[name](packet))]).toEqual([arm, passes]);
    }
  });
});

describe('the rules, byte by byte', () => {
  const body = '000102030405060708090a0b';
  const HEADERS = [
    // type, length, cookie; nDPI, zapret
    ['Binding request', '0001 0000 2112a442', true, true],
    ['Binding success', '0101 0000 2112a442', true, true],
    ['the last of TURN’s methods', '000b 0000 2112a442', true, true],
    ['a method beyond', '000c 0000 2112a442', false, true],
    ['classic STUN, error response', '0111 0000 00000000', true, false],
    ['classic STUN, a method of TURN', '0003 0000 00000000', false, false],
    ['0x80 set', '8001 0000 2112a442', true, false],
    ['length beyond the datagram', '0001 0004 2112a442', false, false],
  ] as const;

  it.each(HEADERS)('%s', (_name, header, ndpi, zapret) => {
    const packet = fromHex(header + body);
    expect([CLASSIFIERS.ndpi(packet), CLASSIFIERS.zapret(packet)]).toEqual([ndpi, zapret]);
  });

  it('a length short of the datagram: zapret takes it, nDPI does not', () => {
    const packet = fromHex(`0001 0000 2112a442 ${body} 00000000`);
    expect([CLASSIFIERS.ndpi(packet), CLASSIFIERS.zapret(packet)]).toEqual([false, true]);
  });

  it('less than a header is nothing to anybody', () => {
    for (const classifier of Object.values(CLASSIFIERS)) {
      for (let length = 0; length < 20; length += 1) expect(classifier(new Uint8Array(length))).toBe(false);
    }
  });
});

it('a filter takes a classifier by its name', () => {
  const box = new Filter([{ match: { classifier: 'zapret' }, action: { type: 'drop' } }]);
  const passes = (arm: string): boolean =>
    packets(arm).every((packet) => across(box, udp('10.0.0.2:5000', '203.0.113.1:6000', packet), 'inside') !== null);
  expect([passes('stun'), passes('stun~40'), passes('random')]).toEqual([false, true, true]);
});
