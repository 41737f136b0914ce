import { expect, test } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import { buildProbe } from '../../src/mutation/probe.js';
import {
  buildReferenceAnswer,
  buildReferenceRequest,
  recogniseReferenceRequest,
} from '../../src/mutation/reference.js';
import { transportAddress } from '../../src/base/address.js';
import { describeWith } from '../support/skip.js';
import { tsharkFieldsOf } from '../support/tshark.js';

const random = new SeededRandom('tshark');
const MAPPED = transportAddress('2001:db8::7', 40000);

const ARMS: readonly string[] = ARM_NAMES;

describeWith(['tshark'], 'tshark as a classifier that is not ours', () => {
  const kinds = {
    probe: ARMS.map((arm) => buildProbe(arm, { key: random.bytes(32), counter: 1, random }).bytes),
    'reference request': ARMS.map((arm) => requestIn(arm)),
    'reference answer': ARMS.map((arm) => {
      const request = recogniseReferenceRequest(requestIn(arm));
      if (!request) throw new Error(arm);
      return buildReferenceAnswer(request, { mapped: MAPPED, origin: MAPPED, other: null, random });
    }),
  };

  test.each(Object.entries(kinds))(
    '%s: nothing is malformed, the fingerprint of plain STUN is right',
    (_, payloads) => {
      const fields = ['stun.att.crc32.status', '_ws.malformed'] as const;
      const rows = tsharkFieldsOf(payloads, 50000, ...fields);
      expect(rows[ARMS.indexOf('stun')]?.[0]).toBe('1');
      expect(rows.map(([, malformed]) => malformed ?? '')).toEqual(ARMS.map(() => ''));
    },
  );

  test('on STUN’s own port 3478 the plain arm is STUN, and the control is not taken for a Binding request', () => {
    const rows = tsharkFieldsOf(kinds.probe, 3478, 'stun.type', 'stun.id', 'stun.att.type');
    const of = (arm: string): string[] => rows[ARMS.indexOf(arm)] ?? [];
    // Binding request; USERNAME, PRIORITY, ICE-CONTROLLING, MESSAGE-INTEGRITY, FINGERPRINT: an ICE check's attributes.
    expect(of('stun')[0]).toBe('0x0001');
    expect(of('stun')[2]).toBe('0x0006,0x0024,0x802a,0x0008,0x8028');
    expect(of('stun~attributes')[2]).toBe('0x0008');
    for (const arm of ['random', 'stun~40', 'stun~40~cookie']) expect(of(arm)[0] ?? '').not.toBe('0x0001');
  });

  test('DTLS: a ClientHello of DTLS 1.2 with four cipher suites', () => {
    const fields = ['dtls.handshake.type', 'dtls.handshake.version', 'dtls.handshake.cipher_suites_length'] as const;
    for (const payloads of Object.values(kinds)) {
      const row = tsharkFieldsOf(payloads, 50000, ...fields)[ARMS.indexOf('dtls')];
      expect(row).toEqual(['1', '0xfefd', '8']);
    }
  });
});

function requestIn(arm: string): Uint8Array {
  return buildReferenceRequest(arm, { counter: 1, nonce: random.bytes(8), random }).bytes;
}
