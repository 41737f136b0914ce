import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Handshake, type ChannelBinding } from '../../src/control/handshake.js';

const secret = new Uint8Array(16).fill(7);
const binding: ChannelBinding = {
  exporter: new Uint8Array(32).fill(1),
  clientFingerprint: new Uint8Array(32).fill(2),
  serverFingerprint: new Uint8Array(32).fill(3),
};

interface Changes {
  secret?: Uint8Array;
  binding?: Partial<ChannelBinding>;
  version?: number;
}

function client(changes: Changes = {}, fingerprint = binding.serverFingerprint): Handshake {
  return new Handshake({ role: 'client', fingerprint, ...merged(changes) });
}

function server(changes: Changes = {}, admit = () => true): Handshake {
  return new Handshake({ role: 'server', admit, ...merged(changes) });
}

function merged(changes: Changes) {
  const version = changes.version === undefined ? {} : { version: changes.version };
  return { secret: changes.secret ?? secret, binding: { ...binding, ...changes.binding }, ...version };
}

/** What the server concludes from a client's first words. */
const judged = (to: Handshake, from = client()) => to.handle(from.start().send);

describe('the handshake', () => {
  test('right on both sides: both are authenticated after one message each way', () => {
    const [left, right] = [client(), server()];
    expect(right.start()).toEqual({ send: null, outcome: 'pending' });
    const welcome = right.handle(left.start().send);
    expect(welcome.outcome).toBe('authenticated');
    expect(left.handle(welcome.send)).toEqual({ send: null, outcome: 'authenticated' });
  });

  test('the proof is the HMAC that the documentation says', () => {
    const expected = createHmac('sha256', secret)
      .update('icepath control client\0')
      .update(Buffer.from('0001', 'hex'))
      .update(Buffer.alloc(32, 1))
      .update(Buffer.alloc(32, 2))
      .update(Buffer.alloc(32, 3))
      .digest('base64url');
    expect(client().start().send).toEqual({ type: 'authenticate', version: 1, proof: expected });
  });

  test.each([
    ['another secret', { secret: new Uint8Array(16) }],
    ['another TLS connection (a replay)', { binding: { exporter: new Uint8Array(32) } }],
    ['another client certificate', { binding: { clientFingerprint: new Uint8Array(32) } }],
    ['another server certificate', { binding: { serverFingerprint: new Uint8Array(32) } }],
  ])('%s: refused, and told nothing', (_, changes) => {
    expect(judged(server(changes))).toEqual({
      send: { type: 'refused', code: 'refused' },
      outcome: { code: 'control-refused', reason: expect.any(String) as string },
    });
  });

  test('a client speaks to no other server than the invited one', () => {
    const step = client({}, new Uint8Array(32)).start();
    expect(step.send).toBeNull();
    expect(step.outcome).toMatchObject({ code: 'control-wrong-fingerprint' });
  });

  test('every single changed character of a proof is refused, by both ends', () => {
    const first = client().start().send as { proof: string };
    const left = client();
    left.start();
    const answer = judged(server()).send as { proof: string };
    for (let index = 0; index < first.proof.length; index += 1) {
      for (const other of ['A', 'B', 'g', '_', '', 'é']) {
        const tamper = (proof: string): string => proof.slice(0, index) + other + proof.slice(index + 1);
        if (tamper(first.proof) !== first.proof) {
          const step = server().handle({ ...first, proof: tamper(first.proof) });
          expect(step.outcome).toMatchObject({ code: 'control-refused' });
        }
        if (tamper(answer.proof) !== answer.proof) {
          const fooled = client();
          fooled.start();
          const step = fooled.handle({ ...answer, proof: tamper(answer.proof) });
          expect(step.outcome).toMatchObject({ code: 'control-refused' });
        }
      }
    }
  });

  test('a reflected proof is wrong', () => {
    const { proof } = client().start().send as { proof: string };
    const left = client();
    left.start();
    expect(left.handle({ type: 'welcome', proof }).outcome).toMatchObject({ code: 'control-refused' });
  });

  test('"busy" is for those who know the secret', () => {
    const busy = (): boolean => false;
    const told = judged(server({}, busy));
    expect(told).toMatchObject({ send: { type: 'refused', code: 'busy' }, outcome: { code: 'control-busy' } });
    const left = client();
    left.start();
    expect(left.handle(told.send).outcome).toMatchObject({ code: 'control-busy' });
    const stranger = client({ secret: new Uint8Array(16) });
    expect(judged(server({}, busy), stranger).send).toEqual({ type: 'refused', code: 'refused' });
  });

  test('admission is asked only after the proof', () => {
    let asked = 0;
    const counting = (): boolean => {
      asked += 1;
      return true;
    };
    judged(server({}, counting), client({ secret: new Uint8Array(16) }));
    judged(server({}, counting), client({ version: 2 }));
    expect(asked).toBe(0);
  });

  test('different versions tell each other which is the older', () => {
    const newer = client({ version: 2 });
    const told = judged(server(), newer);
    expect(told.outcome).toEqual({
      code: 'control-version',
      reason: 'The far end speaks icepath control/2, this one control/1: update this one.',
    });
    expect(newer.handle(told.send).outcome).toEqual({
      code: 'control-version',
      reason: 'The far end speaks icepath control/1, this one control/2: update the far end.',
    });
  });

  test('the version is inside the proof', () => {
    const said = client({ version: 2 }).start().send;
    expect(server().handle({ ...said, version: 1 }).outcome).toMatchObject({ code: 'control-refused' });
  });

  test('wrong roles end it', () => {
    const left = client();
    left.start();
    expect(left.handle(client().start().send).outcome).toMatchObject({ code: 'control-protocol' });
    expect(server().handle(judged(server()).send).outcome).toMatchObject({ code: 'control-refused' });
  });

  test('a second try on the same connection is not judged', () => {
    const right = server();
    right.handle({ type: 'authenticate', version: 1, proof: 'x' });
    expect(judged(right).outcome).toMatchObject({ code: 'control-protocol' });
  });

  test('anything else is refused and never throws', () => {
    const message = fc.oneof(
      fc.jsonValue(),
      fc.record({
        type: fc.constantFrom('authenticate', 'welcome', 'refused'),
        version: fc.jsonValue(),
        proof: fc.jsonValue(),
        code: fc.jsonValue(),
      }),
    );
    fc.assert(
      fc.property(message, (value) => {
        const left = client();
        left.start();
        for (const end of [left, server()]) expect(end.handle(value).outcome).toHaveProperty('code');
      }),
    );
  });
});
