import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseTransportAddress } from '../../src/base/address.js';
import { SeededRandom } from '../../src/base/random.js';
import { buildCheck, resolveConflict } from '../../src/ice/check.js';
import {
  iceRole,
  priority,
  readErrorCode,
  readIceRole,
  readMappedAddress,
  readPriority,
  readUnknownAttributes,
  readUsername,
  useCandidate,
  username,
} from '../../src/stun/attributes.js';
import { shortTermKey, signed, verifyFingerprint, verifyIntegrity } from '../../src/stun/integrity.js';
import { encodeMessage, parseStrict, type NewAttribute, type StunMessage } from '../../src/stun/message.js';
import { ATTRIBUTES } from '../../src/stun/registry.js';
import { Network, single, type End } from './network.js';

const STRANGER = parseTransportAddress('198.51.100.66:6666');
/** The fingerprint stands behind the integrity and is not covered by it. */
const FINGERPRINT_BYTES = 8;
const transactionId = new SeededRandom('ids').bytes(12);

function parsed(bytes: Uint8Array | undefined): StunMessage {
  const result = parseStrict(bytes ?? new Uint8Array());
  if (!result.ok) throw new Error(result.error.message);
  return result.message;
}

/** A running pair of agents, and the means to say something to the left one. */
function scene(): {
  net: Network;
  left: End;
  right: End;
  say: (message: Uint8Array, arm?: string) => StunMessage | null;
} {
  const net = new Network({ interfaces: single(1) }, { interfaces: single(2) }).start().run(3000);
  const [left, right] = net.ends;
  const say = (message: Uint8Array, arm = 'stun'): StunMessage | null => {
    const before = left.outputs.length;
    net.feed(left, { type: 'datagram', base: 'L/eth0', from: STRANGER, message, arm });
    const answer = left.outputs.slice(before).find((output) => output.type === 'send' && output.purpose === 'response');
    return answer?.type === 'send' ? parsed(answer.message) : null;
  };
  return { net, left, right, say };
}

function request(attributes: readonly NewAttribute[], password: string): Uint8Array {
  return signed(
    { method: 1, class: 'request', transactionId, attributes },
    { key: shortTermKey(password), fingerprint: true },
  );
}

function goodAttributes(left: End, right: End): NewAttribute[] {
  const name = username(`${left.credentials.ufrag}:${right.credentials.ufrag}`);
  return [name, priority(1862270975), iceRole(false, 1n)];
}

describe('a check on the wire (RFC 8445 §7.1)', () => {
  it('has its attributes, integrity by the far password, and a fingerprint', () => {
    const { net } = scene();
    const [left, right] = net.ends;
    const message = parsed(left.checks()[0]?.message);
    expect([message.method, message.class]).toEqual([1, 'request']);
    expect(readUsername(message)).toBe('fragR:fragL');
    // Peer-reflexive type preference, the base's local preference, component 1 (§7.1.1).
    expect(readPriority(message)).toBe(1862270975);
    expect(readIceRole(message)).toEqual({ controlling: true, tieBreaker: 2n });
    expect(verifyIntegrity(message, shortTermKey(right.credentials.password))).toBe('valid');
    expect(verifyIntegrity(message, shortTermKey(left.credentials.password))).toBe('invalid');
    expect(verifyFingerprint(message)).toBe('valid');
    expect(message.attributes.at(-1)?.type).toBe(ATTRIBUTES.FINGERPRINT);
  });

  it('is answered with what its sender looks like, signed by the one who answers', () => {
    const { left, right, say } = scene();
    const answer = say(request(goodAttributes(left, right), left.credentials.password));
    expect(answer?.class).toBe('success');
    expect(answer && readMappedAddress(answer)).toEqual(STRANGER);
    expect(answer && verifyIntegrity(answer, shortTermKey(left.credentials.password))).toBe('valid');
    expect(answer?.transactionId).toEqual(transactionId);
  });

  it('carries USE-CANDIDATE only from the controlling agent, and only to nominate', () => {
    const { net } = scene();
    const nominations = net.ends.map(
      (end) =>
        end
          .checks()
          .filter(({ message }) => parsed(message).attributes.some(({ type }) => type === ATTRIBUTES['USE-CANDIDATE']))
          .length,
    );
    expect(nominations).toEqual([1, 0]);
  });
});

describe('a bad check', () => {
  it('with a forged integrity is refused with 401 and changes nothing', () => {
    const { left, right, say } = scene();
    const pairs = left.agent.pairs();
    const answer = say(request([...goodAttributes(left, right), useCandidate()], 'not the password at all'));
    expect(answer && readErrorCode(answer)?.code).toBe(401);
    expect(left.agent.pairs()).toEqual(pairs);
  });

  it('for another user is refused with 401', () => {
    const { left, right, say } = scene();
    const [, ...others] = goodAttributes(left, right);
    const answer = say(request([username('else:where'), ...others], left.credentials.password));
    expect(answer && readErrorCode(answer)?.code).toBe(401);
  });

  it('without integrity, user, priority or role is refused with 400', () => {
    const { left, right, say } = scene();
    const all = goodAttributes(left, right);
    const unsigned = encodeMessage({ method: 1, class: 'request', transactionId, attributes: all });
    const answers = [unsigned, ...all.map((_, index) => request(all.toSpliced(index, 1), left.credentials.password))];
    for (const bytes of answers) {
      const answer = say(bytes);
      expect(answer && readErrorCode(answer)?.code).toBe(400);
    }
  });

  it('with an attribute that must be understood and is not is refused with 420, which names it', () => {
    const { left, right, say } = scene();
    const unknown = { type: 0x7abc, value: new Uint8Array(4) };
    const answer = say(request([...goodAttributes(left, right), unknown], left.credentials.password));
    expect(answer && readErrorCode(answer)?.code).toBe(420);
    expect(answer && readUnknownAttributes(answer)).toEqual([0x7abc]);
  });

  it('that claims our role with the smaller tie-breaker is refused with 487', () => {
    const { left, right, say } = scene();
    const [name, prio] = goodAttributes(left, right);
    if (!name || !prio) throw new Error('no attributes');
    const answer = say(request([name, prio, iceRole(true, 1n)], left.credentials.password));
    expect(answer && readErrorCode(answer)?.code).toBe(487);
    expect(answer && verifyIntegrity(answer, shortTermKey(left.credentials.password))).toBe('valid');
  });

  it('never gets an answer larger than itself from an agent that does not know its sender', () => {
    const { say } = scene();
    expect(say(encodeMessage({ method: 1, class: 'request', transactionId, attributes: [] }))).toBeNull();
  });

  it('in an arm that strips attributes is passed over when its integrity does not fit', () => {
    const { say } = scene();
    expect(say(request([], 'not the password at all'), 'stun~attributes')).toBeNull();
  });
});

describe('a bad answer', () => {
  it('from another address than the check went to fails the pair (RFC 8445 §7.2.5.2.1)', () => {
    const net = new Network({ interfaces: single(1) }, { interfaces: single(2) }, { drop: () => true }).start().run(50);
    const [left, right] = net.ends;
    const [check] = left.checks();
    if (!check) throw new Error('no check');
    const forge = (password: string) =>
      signed(
        { method: 1, class: 'success', transactionId: parsed(check.message).transactionId, attributes: [] },
        { key: shortTermKey(password), fingerprint: true },
      );
    const say = (message: Uint8Array) => {
      net.feed(left, { type: 'datagram', base: 'L/eth0', from: STRANGER, message, arm: 'stun' });
    };
    say(forge('a password that nobody has'));
    expect(left.agent.pairs()[0]?.state).toBe('in-progress');
    say(forge(right.credentials.password));
    expect(left.agent.pairs()[0]?.state).toBe('failed');
    expect(left.of('valid')).toEqual([]);
  });
});

describe('role conflict (RFC 8445 §7.3.1.1)', () => {
  it.each([
    [true, 2n, 1n, 'they-switch'],
    [true, 1n, 1n, 'they-switch'],
    [true, 1n, 2n, 'we-switch'],
    [false, 2n, 1n, 'we-switch'],
    [false, 1n, 1n, 'we-switch'],
    [false, 1n, 2n, 'they-switch'],
  ] as const)('controlling %s, %s against %s: %s', (controlling, own, other, expected) => {
    expect(resolveConflict({ controlling, tieBreaker: own }, { controlling, tieBreaker: other })).toBe(expected);
    expect(resolveConflict({ controlling, tieBreaker: own }, { controlling: !controlling, tieBreaker: other })).toBe(
      'none',
    );
  });
});

describe('hostile datagrams', () => {
  it('never throw, never make a pair, never bring one up', () => {
    const { net, left, right } = scene();
    const seen = left.agent.pairs();
    const real = buildCheck({
      transactionId,
      local: right.credentials,
      remote: left.credentials,
      priority: 1,
      controlling: false,
      tieBreaker: 1n,
      nominate: false,
    });
    const broken = fc
      .record({ at: fc.nat(real.length - FINGERPRINT_BYTES - 1), flip: fc.integer({ min: 1, max: 255 }) })
      .map(({ at, flip }) => {
        const copy = Uint8Array.from(real);
        copy[at] = (copy[at] ?? 0) ^ flip;
        return copy;
      });
    const bytes = fc.uint8Array({ maxLength: 300 });
    const cookie = bytes.map((body) => {
      const message = new Uint8Array(20 + (body.length & ~3));
      message.set([0, 1, (message.length - 20) >> 8, (message.length - 20) & 255, 0x21, 0x12, 0xa4, 0x42]);
      message.set(body.subarray(0, message.length - 20), 20);
      return message;
    });
    fc.assert(
      fc.property(
        fc.oneof(bytes, cookie, broken),
        fc.constantFrom('stun', 'stun~attributes', 'stun~40', 'what'),
        fc.constantFrom('L/eth0', 'no base'),
        (message, arm, base) => {
          net.feed(left, { type: 'datagram', base, from: STRANGER, message, arm });
          return left.agent.pairs().length === seen.length;
        },
      ),
      { numRuns: 5000 },
    );
    expect(left.of('valid')).toHaveLength(1);
  });

  it('keep memory bounded: one valid sender with very many addresses', () => {
    const { net, left, right } = scene();
    const message = request(goodAttributes(left, right), left.credentials.password);
    for (let port = 1; port <= 5000; port += 1) {
      net.feed(left, { type: 'datagram', base: 'L/eth0', from: { ...STRANGER, port }, message, arm: 'stun' });
    }
    expect(left.agent.pairs().length).toBeLessThanOrEqual(100);
    expect(left.agent.pairs().filter(({ valid }) => valid)).toHaveLength(1);
    net.run(60_000);
    expect(left.of('checks-done')).not.toHaveLength(0);
  });
});
