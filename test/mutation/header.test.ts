import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.js';
import { ARMS, type Arm } from '../../src/mutation/arm.js';
import { mutate, undo } from '../../src/mutation/header.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import { BUILT_IN } from '../../src/mutation/registry.js';
import { iceRole, priority, username, xorMappedAddress } from '../../src/stun/attributes.js';
import { shortTermKey, signed, verifyIntegrity } from '../../src/stun/integrity.js';
import { encodeMessage, parseStrict } from '../../src/stun/message.js';
import { transportAddress } from '../../src/base/address.js';
import { REQUEST, RESPONSE_IPV6, SHORT_TERM_PASSWORD } from '../stun/vectors.js';

const KEY = shortTermKey(SHORT_TERM_PASSWORD);
const STUN_ARMS = ARMS.filter(({ stun }) => stun);
const RESTORED = STUN_ARMS.filter(({ name }) => name !== 'stun~attributes');

function arm(name: string): Arm {
  const found = BUILT_IN.find(name);
  if (!found) throw new Error(`no arm ${name}`);
  return found;
}

const keys = fc.uint8Array({ minLength: 16, maxLength: 32 });
const checks = fc
  .record({
    key: keys,
    transactionId: fc.uint8Array({ minLength: 12, maxLength: 12 }),
    name: fc.string({ minLength: 4, maxLength: 60 }),
    class: fc.constantFrom('request' as const, 'success' as const, 'error' as const),
    fingerprint: fc.boolean(),
  })
  .map(({ key, transactionId, name, class: stunClass, fingerprint }) => {
    const attributes =
      stunClass === 'request'
        ? [username(name), priority(1), iceRole(true, 7n)]
        : [xorMappedAddress(transportAddress('198.51.100.1', 1), transactionId)];
    const message = { method: 1, class: stunClass, transactionId, attributes };
    return { key, message: signed(message, { key, fingerprint }) };
  });

test('the arms are those of the vocabulary, least changed first', () => {
  expect(ARMS.map(({ name }) => name).toSorted()).toEqual([...ARM_NAMES].toSorted());
  const changed = STUN_ARMS.map(({ fields }) => fields.length);
  expect(changed).toEqual([0, 1, 1, 1, 1, 2, 1]);
  expect(STUN_ARMS.at(-1)?.name).toBe('stun~attributes');
});

describe('on the wire (requirements.md A.4)', () => {
  const wire = (name: string): Uint8Array => mutate(arm(name), REQUEST, KEY);
  const head = (name: string): string => toHex(wire(name).subarray(0, 8));

  test('plain', () => {
    expect(toHex(wire('stun'))).toBe(toHex(REQUEST));
  });
  test('0x40 in the first byte', () => {
    expect(head('stun~40')).toBe('400100582112a442');
  });
  test('bytes 4 and 5 of the cookie', () => {
    expect(head('stun~cookie')).toMatch(/^00010058(?!2112).{4}a442$/);
    expect(head('stun~40~cookie')).toMatch(/^40010058(?!2112).{4}a442$/);
  });
  test('the length plus one', () => {
    expect(head('stun~length')).toBe('000100592112a442');
  });
  test('a method that IANA has not assigned, the class bits kept', () => {
    expect(wire('stun~type')[0]).toBe(0x00);
    expect(mutate(arm('stun~type'), RESPONSE_IPV6, KEY)[0]).toBe(0x01);
    const parsed = parseStrict(wire('stun~type'));
    // RFC 8489 §18.2: 0x00D to 0x0FF are unassigned.
    expect(parsed.ok && parsed.message.method).toBeGreaterThanOrEqual(0x00d);
    expect(parsed.ok && parsed.message.method).toBeLessThanOrEqual(0x0ff);
    expect(parsed.ok && parsed.message.class).toBe('request');
  });
  test('all attributes but the integrity, which fits what is left', () => {
    const parsed = parseStrict(wire('stun~attributes'));
    if (!parsed.ok) throw new Error(parsed.error.message);
    expect(parsed.message.attributes.map(({ type }) => type)).toEqual([0x0008]);
    expect(verifyIntegrity(parsed.message, KEY)).toBe('valid');
  });
  test('only the fields of the arm change', () => {
    const at = { 'first-byte': [0], type: [0, 1], length: [2, 3], cookie: [4, 5], attributes: [], fingerprint: [] };
    for (const { name, fields } of RESTORED) {
      const bytes = wire(name);
      expect(bytes).toHaveLength(REQUEST.length);
      const differs = [...bytes.keys()].filter((index) => bytes[index] !== REQUEST[index]);
      const allowed = fields.flatMap((field) => at[field]);
      expect(differs.filter((index) => !allowed.includes(index))).toEqual([]);
    }
  });
});

function undone(...given: Parameters<typeof undo>): unknown {
  const found = undo(...given);
  return found && { arm: found.arm, bytes: found.message.raw, keyIndex: found.keyIndex };
}

test('every arm is recognised without being told, and undone byte for byte', () => {
  fc.assert(
    fc.property(
      checks,
      fc.constantFrom(...RESTORED),
      fc.array(keys, { maxLength: 2 }),
      ({ key, message }, one, others) => {
        const wire = mutate(one, message, key);
        expect(undone(wire, [...others, key])).toEqual({ arm: one.name, bytes: message, keyIndex: others.length });
      },
    ),
  );
});

test('the bare arm gives a valid message with its transaction and nothing else', () => {
  fc.assert(
    fc.property(checks, ({ key, message }) => {
      const wire = mutate(arm('stun~attributes'), message, key);
      expect(undone(wire, [key])).toEqual({ arm: 'stun~attributes', bytes: wire, keyIndex: 0 });
      expect(toHex(wire.subarray(8, 20))).toBe(toHex(message.subarray(8, 20)));
    }),
  );
});

test('a wrong key is refused in every arm', () => {
  fc.assert(
    fc.property(checks, keys, fc.constantFrom(...STUN_ARMS), ({ key, message }, wrong, one) => {
      fc.pre(toHex(wrong) !== toHex(key));
      expect(undo(mutate(one, message, key), [wrong])).toBeNull();
    }),
  );
});

test('a changed byte is refused in every arm: behind the header everything up to the integrity’s end is signed', () => {
  for (const one of STUN_ARMS) {
    const wire = mutate(one, REQUEST, KEY);
    const end = one.name === 'stun~attributes' ? wire.length : wire.length - 8;
    for (let index = 8; index < end; index += 1) {
      const changed = Uint8Array.from(wire);
      changed[index] = (changed[index] ?? 0) ^ 0x10;
      expect(undo(changed, [KEY]), `${one.name}, byte ${index}`).toBeNull();
    }
  }
});

test('random datagrams are no arm, whatever their first bytes say', () => {
  const heads = STUN_ARMS.map((one) => mutate(one, REQUEST, KEY).subarray(0, 8));
  const datagrams = fc
    .tuple(fc.constantFrom(new Uint8Array(), ...heads), fc.uint8Array({ maxLength: 200 }))
    .map(([head, rest]) => Uint8Array.from([...head, ...rest]));
  fc.assert(
    fc.property(datagrams, (bytes) => {
      expect(undo(bytes, [KEY])).toBeNull();
    }),
    { numRuns: 1000 },
  );
});

test('0x40 0x01 may be TURN’s channel 0x4001 or a QUIC short header: only the integrity decides', () => {
  const wire = mutate(arm('stun~40'), REQUEST, KEY);
  // ChannelData (RFC 8656 §12.4): channel 0x4001, length, then exactly that many bytes of data.
  const channelData = fromHex(`40010010 2112a442 ${'5a'.repeat(12)}`);
  // QUIC 1-RTT (RFC 9000 §17.3.1): fixed bit, then what looks random.
  const shortHeader = Uint8Array.from(wire, (byte, index) => (index < 20 ? byte : byte ^ 0x5a));
  expect(undo(wire, [KEY])?.arm).toBe('stun~40');
  expect(undo(channelData, [KEY])).toBeNull();
  expect(undo(shortHeader, [KEY])).toBeNull();
  expect(undo(wire, [])).toBeNull();
});

test('STUN without integrity is the caller’s business, and what is no STUN is left as it is', () => {
  const answer = encodeMessage({ method: 1, class: 'success', transactionId: new Uint8Array(12), attributes: [] });
  expect(undo(answer, [KEY])).toBeNull();
  const other = Uint8Array.of(1, 2, 3);
  expect(mutate(arm('stun~40'), other, KEY)).toBe(other);
});

test('mutating leaves the message alone', () => {
  const before = toHex(REQUEST);
  for (const one of STUN_ARMS) mutate(one, REQUEST, KEY);
  expect(toHex(REQUEST)).toBe(before);
});
