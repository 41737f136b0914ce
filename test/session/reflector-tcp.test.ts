import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { parseTransportAddress } from '../../src/base/address.js';
import { fromHex, toHex } from '../../src/base/bytes.js';
import { answerTcp } from '../../src/session/reflector-tcp.js';

const REMOTE = parseTransportAddress('192.0.2.1:32853');
const TRANSACTION = 'b7e7a701bc34d686fa87dfae';
/** A Binding request without attributes, and its answer as RFC 8489 §14.2 computes it by hand. */
const REQUEST = fromHex(`0001 0000 2112a442 ${TRANSACTION}`);
const ANSWER = `0101000c2112a442${TRANSACTION}002000080001a147e112a643`;

describe('STUN over TCP', () => {
  test('a Binding request is answered with the address of the connection', () => {
    expect(toHex(answerTcp(REQUEST, REMOTE) ?? new Uint8Array())).toBe(ANSWER);
  });

  test('byte by byte: nothing before the last byte, and what comes behind does not matter', () => {
    for (let length = 0; length < REQUEST.length; length += 1) {
      expect(answerTcp(REQUEST.subarray(0, length), REMOTE)).toBeNull();
    }
    const more = Uint8Array.of(...REQUEST, ...REQUEST, 0xff);
    expect(toHex(answerTcp(more, REMOTE) ?? new Uint8Array())).toBe(ANSWER);
  });

  test('CHANGE-REQUEST cannot be done on a connection: error 420 names it', () => {
    const request = fromHex(`0001 0008 2112a442 ${TRANSACTION} 0003 0004 00000006`);
    const answer = toHex(answerTcp(request, REMOTE) ?? new Uint8Array());
    expect(answer.startsWith('0111')).toBe(true);
    expect(answer).toContain('00000414');
    expect(answer).toContain('000a00020003');
  });

  test.each([
    ['an answer', `0101 0000 2112a442 ${TRANSACTION}`],
    ['an indication', `0011 0000 2112a442 ${TRANSACTION}`],
    ['another method', `0003 0000 2112a442 ${TRANSACTION}`],
    ['no cookie', `0001 0000 00000000 ${TRANSACTION}`],
    ['a lying attribute length', `0001 0004 2112a442 ${TRANSACTION} 0006 ffff`],
    ['HTTP', toHex(new TextEncoder().encode('GET / HTTP/1.1\r\nHost: example.com\r\n\r\n'))],
  ])('%s is not answered', (_, hex) => {
    expect(answerTcp(fromHex(hex), REMOTE)).toBeNull();
  });

  test('hostile streams neither throw nor get more than a few bytes back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, likeStun) => {
        if (likeStun) bytes.set(REQUEST.subarray(0, Math.min(2, bytes.length)));
        if (likeStun && bytes.length >= 8) bytes.set(REQUEST.subarray(4, 8), 4);
        const answer = answerTcp(bytes, REMOTE);
        expect(answer === null || answer.length < 300).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });
});
