import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concatBytes, fromHex } from '../../../src/base/bytes.js';
import {
  DEFAULT_PARAMETERS,
  encodeTransportParameters,
  parseTransportParameters,
} from '../../../src/quic/wire/transport-parameters.js';
import { parameters } from './arbitraries.js';

test('every set of parameters survives the wire', () => {
  fc.assert(
    fc.property(parameters, (all) => {
      expect(parseTransportParameters(encodeTransportParameters(all), 'server')).toEqual({ ok: true, value: all });
    }),
  );
});

test('what the client says in RFC 9001 A.2', () => {
  const encoded = `0408ffffffffffffffff050480 00ffff07048000ffff08011001048000
    75300901100f088394c8f03e51570806 048000ffff`;
  expect(parseTransportParameters(fromHex(encoded), 'client')).toEqual({
    ok: true,
    value: {
      ...DEFAULT_PARAMETERS,
      // 2^62 - 1: more than a number counts.
      initialMaxData: Number.MAX_SAFE_INTEGER,
      initialMaxStreamDataBidiLocal: 0xffff,
      initialMaxStreamDataUni: 0xffff,
      initialMaxStreamsBidi: 16,
      maxIdleTimeoutMs: 30_000,
      initialMaxStreamsUni: 16,
      initialSourceConnectionId: fromHex('8394c8f03e515708'),
      initialMaxStreamDataBidiRemote: 0xffff,
    },
  });
});

test('unknown and reserved parameters are passed over (RFC 9000 §7.4.2, §18.1)', () => {
  const encoded = fromHex('1b03aabbcc 3e0102 ffffffffffffffff00 fffffffffffffffe00');
  expect(parseTransportParameters(encoded, 'client')).toMatchObject({ ok: true, value: { initialMaxPathId: 2 } });
});

test('multipath without further paths is not no multipath', () => {
  const encoded = encodeTransportParameters({ ...DEFAULT_PARAMETERS, initialMaxPathId: 0 });
  expect(encoded).toEqual(fromHex('3e0100'));
});

describe('TRANSPORT_PARAMETER_ERROR', () => {
  const address = (idBytes: number) =>
    `0d${(41 + idBytes).toString(16)} ${'00'.repeat(24)} ${idBytes.toString(16).padStart(2, '0')} ${'11'.repeat(idBytes)} ${'22'.repeat(16)}`;
  test.each([
    ['cut off in the value', '0404ff'],
    ['cut off in the id', 'c0'],
    ['twice', '01010a 01010b'],
    ['twice, unknown', 'ffffffffffffffff00 ffffffffffffffff00'],
    ['an integer with bytes behind it', '0102 0aff'],
    ['an integer cut off', '0101 40'],
    ['max_udp_payload_size below 1200', '0302 44af'],
    ['ack_delay_exponent above 20', '0a01 15'],
    ['max_ack_delay of 2^14', '0b04 80004000'],
    ['active_connection_id_limit below 2', '0e01 01'],
    ['disable_active_migration with a value', '0c01 00'],
    ['2^60 + 1 streams', '0808 d000000000000001'],
    ['a stateless reset token of 15 bytes', `020f ${'00'.repeat(15)}`],
    ['a connection id of 21 bytes', `0f15 ${'00'.repeat(21)}`],
    ['a preferred address without a connection id', address(0)],
    ['a preferred address with a connection id of 21 bytes', address(21)],
    ['initial_max_path_id of 2^32 (multipath draft)', '3e08 c000000100000000'],
  ])('%s', (_, hex) => {
    expect(parseTransportParameters(fromHex(hex), 'server')).toMatchObject({ ok: false, error: { code: 0x08 } });
  });

  test.each([
    ['original_destination_connection_id', '0000'],
    ['stateless_reset_token', `0210 ${'00'.repeat(16)}`],
    ['preferred_address', address(8)],
    ['retry_source_connection_id', '1000'],
  ])('%s from a client', (_, hex) => {
    expect(parseTransportParameters(fromHex(hex), 'server')).toMatchObject({ ok: true });
    expect(parseTransportParameters(fromHex(hex), 'client')).toMatchObject({ ok: false, error: { code: 0x08 } });
  });

  test('the bounds themselves are good', () => {
    const encoded = ['0302 44b0', '0a01 14', '0b02 7fff', '0e01 02', '3e08 c0000000ffffffff'].map(fromHex);
    expect(parseTransportParameters(concatBytes(...encoded), 'client')).toMatchObject({
      ok: true,
      value: { maxUdpPayloadBytes: 1200, maxAckDelayMs: 16_383, initialMaxPathId: 2 ** 32 - 1 },
    });
  });
});

test('anything gives parameters or an error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom('client', 'server'), (bytes, sender) => {
      expect(typeof parseTransportParameters(bytes, sender).ok).toBe('boolean');
    }),
    { numRuns: 800 },
  );
});
