import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../src/base/bytes.js';
import { readMappedAddress } from '../../src/stun/attributes.js';
import { encodeMessage, encodeType, parseLenient, parseStrict, transactionKey } from '../../src/stun/message.js';
import { readPcap } from '../support/pcap.js';
import { CAPTURES, describeWith, testWith } from '../support/skip.js';
import { tsharkFields } from '../support/tshark.js';

describeWith(['captures'], 'messages of real calls', () => {
  // Counts and oddities: requirements.md A.5.3, read off with tshark's payload filter on the cookie.
  describe.each([
    { name: 'wa_voice.pcap', messages: 71 },
    { name: 'whatsapp_login_call.pcap', messages: 116 },
  ])('$name', ({ name, messages }) => {
    const file = join(CAPTURES, name);
    const datagrams = readPcap(readFileSync(file));
    const lenient = datagrams.flatMap(({ frame, payload }) => {
      const message = parseLenient(payload);
      return message ? [{ frame, message }] : [];
    });

    test('the lenient parser finds every message with the cookie', () => {
      expect(lenient).toHaveLength(messages);
    });

    test('what breaks the rule of four is flagged, not refused', () => {
      const odd = lenient.filter(({ message }) => message.flags.unaligned || message.flags.lengthMismatch);
      expect(odd.length).toBeGreaterThan(0);
      // 0x4000 or 0x4001 of 102 bytes, and no padding behind it.
      expect(
        odd.every(({ message }) => message.declaredLength === 106 && message.attributes[0]?.value.length === 102),
      ).toBe(true);
      for (const { message } of odd) expect(parseStrict(message.raw).ok).toBe(false);
    });

    test('what is strictly right is encoded again byte for byte', () => {
      for (const { message } of lenient) {
        const strict = parseStrict(message.raw);
        if (strict.ok) expect(toHex(encodeMessage(strict.message))).toBe(toHex(message.raw));
      }
    });

    testWith(['tshark'], 'types, ids and mapped addresses are those that tshark reads', () => {
      const fields = ['frame.number', 'stun.type', 'stun.id', 'stun.att.ipv4'] as const;
      const seen = new Map(
        tsharkFields(file, 'stun', ...fields).map(([frame = '', type = '', id = '', address = '']) => [
          Number(frame),
          { type: Number(type), id, addresses: address.split(',') },
        ]),
      );
      let compared = 0;
      for (const { frame, payload } of datagrams) {
        const strict = parseStrict(payload);
        const other = seen.get(frame);
        if (!strict.ok || !other) continue;
        compared += 1;
        const { method, class: stunClass, transactionId } = strict.message;
        expect(encodeType(method, stunClass)).toBe(other.type);
        expect(transactionKey(transactionId)).toBe(other.id);
        const mapped = readMappedAddress(strict.message);
        if (mapped) expect(other.addresses).toContain(mapped.address);
      }
      expect(compared).toBeGreaterThan(messages / 2);
    });
  });
});
