import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toHex, xorBytes } from '../../src/base/bytes.js';
import { SeededRandom } from '../../src/base/random.js';
import { type Arm, changedParts, HEADER_FIELDS } from '../../src/mutation/arm.js';
import { type ArmDefinition, armDefinitionSchema } from '../../src/mutation/definition.js';
import { mutate, undo, undoFields } from '../../src/mutation/header.js';
import { mistakesIn } from '../../src/mutation/own-arms.js';
import { buildProbe, recogniseProbe } from '../../src/mutation/probe.js';
import { buildReferenceAnswer, buildReferenceRequest } from '../../src/mutation/reference.js';
import { isAnswerable, recogniseReferenceAnswer, recogniseReferenceRequest } from '../../src/mutation/reference.js';
import { armOf, ArmRegistry, BUILT_IN } from '../../src/mutation/registry.js';
import { buildTrialPacket } from '../../src/mutation/trial-packet.js';
import { transportAddress } from '../../src/base/address.js';
import { shortTermKey } from '../../src/stun/integrity.js';
import { REQUEST, RESPONSE_IPV4, SHORT_TERM_PASSWORD } from '../stun/vectors.js';

const random = new SeededRandom('own arms');
const KEY = random.bytes(32);
const STUN_KEY = shortTermKey(SHORT_TERM_PASSWORD);
const MAPPED = transportAddress('198.51.100.7', 40_000);

function own(name: string, changed: Partial<ArmDefinition>): ArmDefinition {
  return { name, fields: [], changes: [], starts: null, lengthBytes: null, ...changed };
}
const xor = (at: number, bytes: string) => ({ at, how: 'xor' as const, bytes });
const to = (at: number, bytes: string) => ({ at, how: 'to' as const, bytes });

/** RFC 3550 §5.1: version 2, payload type 96. WireGuard's first message: type 1, three reserved bytes, 148 bytes long. */
const RTP = own('rtp', { starts: '8060', lengthBytes: 172 });
const WIREGUARD = own('wireguard', { starts: '01000000', lengthBytes: 148 });
const DEFINITIONS = [
  own('early', { fields: ['first-byte', 'length'] }),
  own('all', { fields: ['first-byte', 'type', 'length', 'cookie', 'fingerprint'] }),
  own('crc', { fields: ['fingerprint'] }),
  own('first-attribute', { changes: [xor(20, 'ff00')] }),
  own('zero', { changes: [to(4, '00000000')] }),
  own('long', { changes: [xor(1, '01')], fields: ['cookie'], lengthBytes: 512 }),
  RTP,
  WIREGUARD,
];
const ARMS = new ArmRegistry(DEFINITIONS);
const STUN = ARMS.arms.filter(({ stun, name }) => stun && name !== 'stun~attributes');

test('definitions survive the plan and the record, and what they say is faultless', () => {
  expect(DEFINITIONS.map((one) => armDefinitionSchema.parse(JSON.parse(JSON.stringify(one))))).toEqual(DEFINITIONS);
  expect(mistakesIn(DEFINITIONS)).toEqual([]);
});

describe('STUN with other fields or bytes changed', () => {
  test('is undone beside all other arms, requests as well as answers (RFC 5769)', () => {
    for (const arm of STUN) {
      for (const message of [REQUEST, RESPONSE_IPV4]) {
        const undone = undo(mutate(arm, message, STUN_KEY), [STUN_KEY], ARMS.arms);
        expect([arm.name, undone && toHex(undone.message.raw)]).toEqual([arm.name, toHex(message)]);
        expect(undone?.arm).toBe(arm.name);
      }
    }
  });

  test('what is on the wire is what the file says', () => {
    const named = (name: string): Arm => {
      const arm = ARMS.find(name);
      if (!arm) throw new Error(name);
      return arm;
    };
    const head = (name: string, length: number): string =>
      toHex(mutate(named(name), REQUEST, STUN_KEY).subarray(0, length));
    // RFC 5769 §2.1: 00 01 00 58 21 12 a4 42 …, SOFTWARE (80 22 00 10) at byte 20.
    expect(head('early', 8)).toBe('400100592112a442');
    expect(head('zero', 8)).toBe('0001005800000000');
    const flipped = mutate(named('first-attribute'), REQUEST, STUN_KEY);
    expect(toHex(xorBytes(flipped, REQUEST)).slice(0, 48)).toBe(`${'00'.repeat(20)}ff000000`);
    expect(changedParts(named('long'))).toEqual(['cookie', 'bytes:1']);
  });

  test('one that is told of no arms reads any set of fields off the packet', () => {
    const sets = fc.subarray([...HEADER_FIELDS].filter((field) => field !== 'attributes'));
    fc.assert(
      fc.property(sets, (fields) => {
        const wire = mutate({ name: 'any', stun: true, fields }, REQUEST, STUN_KEY);
        expect(undoFields(wire, [STUN_KEY])?.fields).toEqual(fields);
        expect(undoFields(wire, [KEY])).toBeNull();
      }),
    );
  });
});

describe.each(DEFINITIONS)('$name', ({ name, lengthBytes, starts }) => {
  test('a probe is recognised by who has the key and the definitions, and nobody else can make one', () => {
    for (const counter of [0, 1, 0x8000_0001]) {
      const { id, bytes } = buildProbe(name, { key: KEY, counter, random, arms: ARMS });
      expect(recogniseProbe(bytes, KEY, ARMS)).toEqual({ arm: name, id });
      expect(recogniseProbe(bytes, random.bytes(32), ARMS)).toBeNull();
      expect(bytes.length).toBe(lengthBytes ?? 108);
      expect(toHex(bytes).startsWith(starts ?? '')).toBe(true);
    }
    expect(() => buildProbe(name, { key: KEY, counter: 1, random })).toThrow(RangeError);
  });

  test('experiments make packets of it, alike at both ends', () => {
    const spec = { arm: name, lengthBytes: null, graft: null, ttl: null };
    const made = buildTrialPacket(spec, { key: KEY, counter: 3, arms: ARMS });
    expect(buildTrialPacket(spec, { key: KEY, counter: 3, arms: new ArmRegistry(DEFINITIONS) })).toEqual(made);
  });
});

test('the built-in arms are recognised as before, and none is taken for one of the user’s', () => {
  for (const { name } of BUILT_IN.arms) {
    const { id, bytes } = buildProbe(name, { key: KEY, counter: 9, random });
    expect(recogniseProbe(bytes, KEY, ARMS)).toEqual({ arm: name, id });
  }
});

describe('towards a reference, which is told of no arm', () => {
  const asked = DEFINITIONS.filter((definition) => isAnswerable(armOf(definition)));

  test('it can be asked in fields of STUN and behind first bytes, not in other bytes', () => {
    expect(asked.map(({ name }) => name)).toEqual(['early', 'all', 'crc', 'rtp', 'wireguard']);
    expect(isAnswerable({ name: 'bare', stun: true, fields: ['attributes', 'cookie'] })).toBe(false);
  });

  test.each(asked)('$name: it answers in the same arm, no larger, and no answer is a request', ({ name }) => {
    for (const counter of [1, 2]) {
      const { id, bytes } = buildReferenceRequest(name, { counter, nonce: KEY, random, arms: ARMS });
      const request = recogniseReferenceRequest(bytes);
      if (!request) throw new Error('not recognised');
      const answer = buildReferenceAnswer(request, { mapped: MAPPED, origin: null, other: null, random });
      expect(answer.length).toBe(bytes.length);
      expect(recogniseReferenceRequest(answer)).toBeNull();
      const expected = (asks: string): string | undefined => (asks === id ? name : undefined);
      expect(recogniseReferenceAnswer(answer, expected, ARMS)).toMatchObject({ id, arm: name, mapped: MAPPED });
      expect(recogniseReferenceAnswer(answer, () => undefined, ARMS)).toBeNull();
      const starts = DEFINITIONS.find((one) => one.name === name)?.starts ?? '';
      expect(toHex(answer).startsWith(starts)).toBe(true);
    }
  });

  test('what merely begins alike is not answered', () => {
    for (const start of ['8060', '01000000']) {
      const bytes = random.bytes(200);
      bytes.set(Uint8Array.from(Buffer.from(start, 'hex')));
      expect(recogniseReferenceRequest(bytes)).toBeNull();
    }
  });
});

describe('refused, because the far end could not tell or undo it', () => {
  const saidOf = (...definitions: ArmDefinition[]): string[] =>
    mistakesIn(definitions).map(({ index, field, what }) => `${String(index)} ${field}: ${what}`);

  test.each([
    [[own('mine', { fields: ['first-byte', 'cookie'] })], /^0 stun: makes the same packets as stun~40~cookie$/],
    [[own('mine', { changes: [xor(0, '40')] })], /^0 bytes: makes the same packets as stun~40$/],
    [[own('mine', { changes: [to(4, '2112a442')] })], /^0 bytes: makes the same packets as stun$/],
    [[own('a', { changes: [xor(21, '01')] }), own('b', { changes: [xor(20, '0001')] })], /^1 bytes: .* as a$/],
    [[own('a', { starts: '80' }), own('b', { starts: '80' })], /^1 starts: makes the same packets as a$/],
    [[own('random', { starts: '80' })], /^0 name: is the name of a built-in arm$/],
    [[own('a', { starts: '80' }), own('a', { starts: '81' })], /^1 name: stands here twice$/],
    [[own('a', { starts: '80', fields: ['cookie'] })], /^0 starts: cannot stand beside stun or bytes/],
    [[own('a', { fields: ['attributes', 'fingerprint'] })], /^0 stun: makes the same packets as stun~attributes$/],
    [[own('a', { fields: ['length'], changes: [to(2, 'ffff')] })], /^0 stun: cannot be undone/],
    [[own('a', { changes: [to(0, '01')] })], /^0 bytes: only length and cookie/],
    [[own('a', { changes: [to(7, '0101')] })], /^0 bytes: only length and cookie/],
    [[own('a', { changes: [xor(43, '0101')] })], /^0 bytes: byte 44 is not in every STUN message/],
    [[own('a', { changes: [xor(8, '01'.repeat(12)), xor(30, '01')] })], /^0 bytes: changes more than 12 bytes$/],
    [[own('a', { fields: ['fingerprint'], lengthBytes: 64 })], /^0 length: of STUN/],
    [[own('a', { fields: ['attributes'], lengthBytes: 120 })], /^0 length: cannot be chosen/],
  ])('%j', (definitions, said) => {
    expect(saidOf(...definitions).join('\n')).toMatch(said);
  });

  test('two sizes of one first byte are two arms', () => {
    expect(saidOf(own('a', { starts: '80' }), own('b', { starts: '80', lengthBytes: 1200 }))).toEqual([]);
  });
});

test('whatever a far end defines: nothing throws, and what passes the checks can be undone', () => {
  const definitions = fc
    .record({
      fields: fc.subarray([...HEADER_FIELDS]),
      changes: fc.array(
        fc.record({
          at: fc.nat(44),
          how: fc.constantFrom('xor' as const, 'to' as const),
          bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }).map((bytes) => toHex(bytes)),
        }),
        { maxLength: 3 },
      ),
    })
    .map((changed) => own('any', changed));
  fc.assert(
    fc.property(definitions, (definition) => {
      if (mistakesIn([definition]).length > 0) return;
      const arm = armOf(definition);
      for (const message of [REQUEST, RESPONSE_IPV4]) {
        const undone = undo(mutate(arm, message, STUN_KEY), [STUN_KEY], [arm]);
        expect(undone).not.toBeNull();
        if (undone && !definition.fields.includes('attributes')) {
          expect(toHex(undone.message.raw)).toBe(toHex(message));
        }
      }
    }),
    { numRuns: 500 },
  );
});
