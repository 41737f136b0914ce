import { describe, expect, test } from 'vitest';
import { ARM_NAMES } from '../../src/mutation/names.js';
import { CLASSIFIERS } from '../../src/world/classifiers.js';
import { captureOf, CONVERSATIONS, type Conversations, endsOf } from '../support/conversation.js';
import { expectVersion, ndpiReader } from '../support/ndpi-reader.js';
import { describeWith } from '../support/skip.js';
import { tsharkFieldsIn } from '../support/tshark.js';

/**
 * What classifiers that are not ours call each arm's conversation, on ports of no protocol: facts.md, "What calls a
 * packet STUN", and requirements.md A.4 for DTLS. Of QUIC tshark deciphers the Initial and finds TLS in it. `stun~length` and `stun~type` are not in its column of tshark: that a
 * length must fit and any method will do is 4.0's own answer.
 */
const CALLED: Readonly<Record<string, { readonly tshark: string; readonly ndpiReader: string }>> = {
  random: { tshark: 'data', ndpiReader: 'Unknown' },
  stun: { tshark: 'stun', ndpiReader: 'STUN' },
  'stun~40': { tshark: 'data', ndpiReader: 'STUN' },
  'stun~cookie': { tshark: 'classicstun', ndpiReader: 'STUN' },
  'stun~length': { tshark: 'data', ndpiReader: 'Unknown' },
  'stun~type': { tshark: 'stun', ndpiReader: 'Unknown' },
  'stun~attributes': { tshark: 'stun', ndpiReader: 'STUN' },
  'stun~40~cookie': { tshark: 'data', ndpiReader: 'STUN' },
  dtls: { tshark: 'dtls', ndpiReader: 'DTLS' },
  quic: { tshark: 'tls', ndpiReader: 'QUIC' },
};
const calledBy = (tool: 'tshark' | 'ndpiReader', arms: Conversations): Record<string, string | undefined> =>
  Object.fromEntries(Object.keys(arms).map((arm) => [arm, CALLED[arm]?.[tool]]));

const KINDS = Object.entries(CONVERSATIONS);

test('no arm is left out', () => {
  expect(Object.keys(CALLED)).toEqual(ARM_NAMES);
});

describeWith(['tshark'], 'tshark 4.0', () => {
  test.for(KINDS)('%s: every packet of an arm is called what it should be', ([, arms]) => {
    for (const port of [50_000, 443]) {
      const rows = tsharkFieldsIn(captureOf(arms, port), 'udp', 'udp.port', 'frame.protocols');
      expect(rows).toHaveLength(Object.values(arms).flat().length);
      const called = Object.keys(arms).map((arm) => {
        const ports = endsOf(arm, port).map((end) => String(end.port));
        const ofArm = rows.filter(([seen = '']) => seen.split(',').toSorted().join() === ports.toSorted().join());
        return [arm, [...new Set(ofArm.map(([, protocols = '']) => protocols.split(':').at(-1)))].join()];
      });
      expect(Object.fromEntries(called)).toEqual(calledBy('tshark', arms));
    }
  });
});

describeWith(['ndpiReader'], 'ndpiReader 4.2 (Debian 12)', () => {
  function asked(arms: Conversations, port: number): { answer: ReturnType<typeof ndpiReader>; says: object } {
    const answer = ndpiReader(captureOf(arms, port));
    return {
      answer,
      says: Object.fromEntries(Object.keys(arms).map((arm) => [arm, answer.called(...endsOf(arm, port))])),
    };
  }
  const firstOf = (arms: Conversations): Conversations =>
    Object.fromEntries(Object.entries(arms).map(([arm, packets]) => [arm, packets.slice(0, 1)]));

  test.for(KINDS)('%s: every arm is called what it should be, by its first packet already', ([, arms], context) => {
    for (const shown of [arms, firstOf(arms)]) {
      for (const port of [50_000, 443]) {
        const { answer, says } = asked(shown, port);
        expectVersion(context, answer, says);
        expect(says).toEqual(calledBy('ndpiReader', shown));
      }
    }
  });

  test.for([
    [3478, 'STUN'],
    [3479, 'Unknown'],
  ] as const)('on port %i it calls the control %s', ([port, called], context) => {
    const { answer, says } = asked(CONVERSATIONS.reference, port);
    expectVersion(context, answer, says);
    const expected = calledBy('ndpiReader', CONVERSATIONS.reference);
    for (const [arm, name] of Object.entries(expected)) if (name === 'Unknown') expected[arm] = called;
    expect(says).toEqual(expected);
  });
});

describe('what a packet is for a classifier in our worlds, against these', () => {
  /** Every packet of an arm, both ways, must fare alike. */
  const takes = (name: keyof typeof CLASSIFIERS, arm: string): boolean => {
    const packets = Object.values(CONVERSATIONS).flatMap((arms) => arms[arm] ?? []);
    const answers = new Set(packets.map((packet) => CLASSIFIERS[name](packet)));
    expect([arm, answers.size]).toEqual([arm, 1]);
    return answers.has(true);
  };
  const differing = (name: keyof typeof CLASSIFIERS, tool: 'tshark' | 'ndpiReader', word: string): string[] =>
    ARM_NAMES.filter((arm) => takes(name, arm) !== (CALLED[arm]?.[tool] === word));

  test('nDPI of October 2024 differs from 4.2 in one arm: 4.2 takes first byte and cookie together for STUN too', () => {
    expect(differing('ndpi', 'ndpiReader', 'STUN')).toEqual(['stun~40~cookie']);
    expect(takes('ndpi', 'stun~40~cookie')).toBe(false);
  });

  test('zapret takes what tshark calls STUN, but not classic STUN', () => {
    expect(differing('zapret', 'tshark', 'stun')).toEqual([]);
  });
});
