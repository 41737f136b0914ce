import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseTransportAddress } from '../../src/base/address.js';
import { drain } from '../../src/base/machine.js';
import { SeededRandom } from '../../src/base/random.js';
import { addressAttribute, errorCode } from '../../src/stun/attributes.js';
import { encodeMessage, parseLenient, type NewAttribute } from '../../src/stun/message.js';
import { ATTRIBUTES, METHODS } from '../../src/stun/registry.js';
import { TurnClient } from '../../src/turn/client.js';
import type { TurnClientOptions } from '../../src/turn/types.js';
import type { TurnServerOptions } from '../../src/world/turn-server.js';
import { CREDENTIALS, PEER, SERVER, TurnNetwork } from './network.js';

const MINUTE = 60_000;

function refused(server: Partial<TurnServerOptions>, client: Partial<TurnClientOptions> = {}) {
  const network = new TurnNetwork();
  network.server(server);
  const attached = network.client(client);
  attached.feed({ type: 'allocate' });
  network.run(2 * MINUTE);
  expect(attached.of('allocated')).toEqual([]);
  expect(attached.client.deadline()).toBe(Infinity);
  const [failed, ...more] = attached.of('failed');
  expect(more).toEqual([]);
  return failed?.error;
}

describe('no allocation, and why', () => {
  const carol = { username: 'carol', password: 'x' };
  test.each([
    [
      'a wrong password',
      {},
      { server: { address: SERVER, credentials: { ...CREDENTIALS, password: 'x' } } },
      'turn-credentials',
    ],
    ['an unknown user', {}, { server: { address: SERVER, credentials: carol } }, 'turn-credentials'],
    [
      'an unknown user by hash',
      { modern: true },
      { server: { address: SERVER, credentials: carol } },
      'turn-credentials',
    ],
    ['a quota that is used up', { quota: 0 }, {}, 'turn-quota'],
    ['a server that is full', { mostAllocations: 0 }, {}, 'turn-capacity'],
    ['no relays of the family', {}, { family: 'ipv6' }, 'turn-family'],
    ['a server that names another', { alternate: parseTransportAddress('203.0.113.2:3478') }, {}, 'turn-redirected'],
  ] as const)('%s', (_, server, client, code) => {
    const error = refused(server, client);
    expect(error?.code).toBe(code);
    expect(error?.message).toContain('203.0.113.1:3478');
  });

  test('the server that another one names is in the message', () => {
    const error = refused({ alternate: parseTransportAddress('203.0.113.2:3478') });
    expect(error?.message).toContain('203.0.113.2:3478');
  });

  test('a server that never answers: seven requests, and told after 39.5 s (RFC 8489 §6.2.1)', () => {
    const network = new TurnNetwork();
    const client = network.client();
    client.feed({ type: 'allocate' });
    network.run(2 * MINUTE);
    expect(network.packets.map(({ at }) => at)).toEqual([0, 500, 1500, 3500, 7500, 15_500, 31_500]);
    expect(client.of('failed')).toMatchObject([{ at: 39_500, error: { code: 'turn-silent' } }]);
  });

  test('somebody else’s allocation on the same address and port (437)', () => {
    const network = new TurnNetwork();
    network.server();
    const first = network.client();
    first.feed({ type: 'allocate' });
    network.run(1000);
    const second = network.client();
    second.feed({ type: 'allocate' });
    network.run(2000);
    expect(second.of('failed')[0]?.error.code).toBe('turn-mismatch');
  });
});

describe('a server that names another (300)', () => {
  const OTHER = parseTransportAddress('203.0.113.2:3478');

  test('is followed as often as allowed', () => {
    const network = new TurnNetwork();
    network.server({ alternate: OTHER });
    network.server({ address: OTHER });
    const client = network.client({ mostRedirects: 1 });
    client.feed({ type: 'allocate' });
    network.run(1000);
    expect(client.of('redirected')).toMatchObject([{ to: OTHER }]);
    expect(client.relayed.address).toBe(OTHER.address);
    expect(client.client.server).toEqual(OTHER);
  });

  test.each([
    ['back to where we came from', '203.0.113.1:3478'],
    ['an address that only the server can reach', '127.0.0.1:3478'],
    ['an inside network', '192.168.1.1:3478'],
    ['another family', '[2001:db8::1]:3478'],
    ['no port', '203.0.113.2:0'],
  ])('is not followed to %s', (_, to) => {
    const network = new TurnNetwork();
    network.server({ alternate: parseTransportAddress(to) });
    const client = network.client({ mostRedirects: 3 });
    client.feed({ type: 'allocate' });
    network.run(MINUTE);
    expect(client.of('failed')[0]?.error.code).toBe('turn-redirected');
    expect(new Set(network.packets.map((packet) => packet.to.address))).toEqual(new Set(['203.0.113.1', '192.0.2.1']));
  });

  test('nor further than allowed', () => {
    const network = new TurnNetwork();
    network.server({ alternate: OTHER });
    network.server({ address: OTHER, alternate: parseTransportAddress('203.0.113.3:3478') });
    const client = network.client({ mostRedirects: 1 });
    client.feed({ type: 'allocate' });
    network.run(MINUTE);
    expect(client.of('failed')[0]?.error.message).toContain('203.0.113.3:3478');
  });
});

describe('an allocation that is lost', () => {
  test('because the server was restarted (437): told at the next Refresh, once', () => {
    const network = new TurnNetwork();
    const server = network.server();
    const client = network.client();
    client.feed({ type: 'allocate' });
    network.run(MINUTE);
    server.forgetAll();
    network.run(10 * MINUTE);
    const [lost, ...more] = client.of('lost');
    expect(lost?.error.code).toBe('turn-allocation-lost');
    // A Refresh is sent every 15 s.
    expect(lost?.at).toBeLessThan(MINUTE + 15_000 + 100);
    expect(more).toEqual([]);
    expect(client.client.deadline()).toBe(Infinity);
  });

  test('because a permission was asked for (437)', () => {
    const network = new TurnNetwork();
    const server = network.server();
    const client = network.client({ measureEveryMs: Infinity });
    client.feed({ type: 'allocate' });
    network.run(MINUTE);
    server.forgetAll();
    client.feed({ type: 'permit', peer: PEER });
    network.run(2 * MINUTE);
    expect(client.of('lost')[0]?.error.code).toBe('turn-allocation-lost');
  });

  test('because the server went silent until it had run out: unanswered first, then expired', () => {
    const network = new TurnNetwork();
    network.server();
    const client = network.client();
    client.feed({ type: 'allocate' });
    network.run(MINUTE);
    network.drop = () => true;
    network.run(30 * MINUTE);
    expect(client.of('unanswered')[0]?.at).toBeLessThan(MINUTE + 15_000 + 5500 + 100);
    const [lost] = client.of('lost');
    expect(lost?.error.code).toBe('turn-expired');
    // 600 s after the last Refresh that was answered, which was in the minute's last quarter.
    expect(lost?.at).toBeGreaterThan(10.75 * MINUTE);
    expect(lost?.at).toBeLessThanOrEqual(11 * MINUTE);
  });

  test('because the password was changed meanwhile', () => {
    const users = new Map([[CREDENTIALS.username, CREDENTIALS.password]]);
    const network = new TurnNetwork();
    network.server({ users });
    const client = network.client();
    client.feed({ type: 'allocate' });
    network.run(MINUTE);
    users.set(CREDENTIALS.username, 'another');
    network.run(2 * MINUTE);
    expect(client.of('lost')[0]?.error.code).toBe('turn-credentials');
  });
});

describe('peers that cannot be reached', () => {
  const allocated = (server: Partial<TurnServerOptions> = {}) => {
    const network = new TurnNetwork();
    network.server(server);
    const client = network.client();
    client.feed({ type: 'allocate' });
    network.run(1000);
    return { network, client };
  };

  test('by the rules of the server (403): told once, asked again after a minute at the soonest', () => {
    const { network, client } = allocated({ admits: ({ address }) => address !== PEER.address });
    for (let n = 0; n < 30; n += 1) {
      client.say(PEER, 'hello');
      network.run(2000 + n * 1000);
    }
    expect(client.of('peer-refused')).toMatchObject([
      { address: PEER.address, error: { code: 'turn-peer-forbidden' } },
    ]);
    const other = network.peer(parseTransportAddress('198.51.100.8:1'));
    client.say(other.address, 'hello');
    network.run(2 * MINUTE);
    expect(other.said.map(({ text }) => text)).toEqual(['hello']);
    client.feed({ type: 'permit', peer: PEER });
    network.run(3 * MINUTE);
    expect(client.of('peer-refused')).toHaveLength(2);
  });

  test('of another family: nobody need be asked', () => {
    const { network, client } = allocated();
    const before = network.packets.length;
    client.feed({ type: 'permit', peer: parseTransportAddress('[2001:db8::7]:4711') });
    expect(client.of('peer-refused')[0]?.error.code).toBe('turn-peer-family');
    expect(network.packets).toHaveLength(before);
  });

  test('because there are too many: the first 256 are kept', () => {
    const { network, client } = allocated({});
    for (let n = 0; n < 300; n += 1) {
      client.feed({ type: 'permit', peer: parseTransportAddress(`198.51.${n >> 8}.${n & 255}:1`) });
    }
    network.run(MINUTE);
    // The server of these tests permits 64.
    expect(client.of('permitted')).toHaveLength(64);
    expect(client.of('peer-refused').every(({ error }) => error.code === 'turn-capacity')).toBe(true);
    expect(client.of('peer-refused')).toHaveLength(300 - 64);
  });
});

describe('closing', () => {
  test('while the server is silent: over within 2 s', () => {
    const network = new TurnNetwork();
    network.server();
    const client = network.client();
    client.feed({ type: 'allocate' });
    network.run(MINUTE);
    network.drop = () => true;
    client.feed({ type: 'close' });
    network.run(2 * MINUTE);
    expect(client.of('closed')[0]?.at).toBeLessThanOrEqual(MINUTE + 2000);
    expect(client.of('lost')).toEqual([]);
  });

  test('while an Allocate is under way: what it brings is given back', () => {
    const network = new TurnNetwork();
    const server = network.server();
    const client = network.client();
    client.feed({ type: 'allocate' });
    network.run(25);
    client.feed({ type: 'close' });
    network.run(MINUTE);
    expect(client.of('allocated')).toEqual([]);
    expect(client.of('closed')).toHaveLength(1);
    expect(server.size).toBe(0);
  });

  test('before anything was asked: at once', () => {
    const client = new TurnNetwork().client();
    client.feed({ type: 'close' });
    expect(client.outputs.map(({ type }) => type)).toEqual(['closed']);
  });
});

describe('hostile servers', () => {
  const attribute = fc.record({
    type: fc.constantFrom(...Object.values(ATTRIBUTES)),
    value: fc.uint8Array({ maxLength: 40 }),
  });
  const attributes = fc.array(
    fc.oneof(
      attribute,
      fc.nat(800).map((code): NewAttribute => errorCode({ code: 300 + (code % 400), reason: 'x' })),
      fc.constant(addressAttribute(ATTRIBUTES['ALTERNATE-SERVER'], SERVER)),
      fc.constantFrom('r', 'other').map((text): NewAttribute => ({ type: ATTRIBUTES.REALM, value: Buffer.from(text) })),
      fc
        .constantFrom('n', 'm', 'obMatJos2AAAD')
        .map((text): NewAttribute => ({ type: ATTRIBUTES.NONCE, value: Buffer.from(text) })),
    ),
    { maxLength: 6 },
  );

  test('whatever they answer, nothing throws, and what we send is bounded', () => {
    const answers = fc.array(fc.tuple(attributes, fc.constantFrom('success', 'error', 'indication'), fc.boolean()), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(answers, (script) => {
        const client = new TurnClient({
          server: { address: SERVER, credentials: CREDENTIALS },
          family: 'ipv4',
          random: new SeededRandom(1),
          mostRedirects: 3,
        });
        let now = 0;
        let sent = 0;
        let last = new Uint8Array(20);
        const pump = (): void => {
          for (const output of drain(client)) {
            if (output.type !== 'send') continue;
            sent += 1;
            last = Uint8Array.from(output.bytes);
          }
        };
        client.handle({ type: 'allocate' }, now);
        pump();
        for (const [given, messageClass, wait] of script) {
          const asked = parseLenient(last);
          if (!asked) throw new Error('not STUN');
          const { method, transactionId } = asked;
          const bytes = encodeMessage({
            method: messageClass === 'indication' ? METHODS.Data : method,
            class: messageClass,
            transactionId,
            attributes: given,
          });
          if (wait && client.deadline() < Infinity) now = Math.max(now, client.deadline());
          client.handle({ type: 'datagram', from: client.server, bytes }, now);
          client.handle({ type: 'timeout' }, now);
          client.handle({ type: 'data', peer: PEER, data: bytes }, now);
          pump();
        }
        // An answer makes at most two packets of ours: what it asks for, and our data.
        expect(sent).toBeLessThanOrEqual(1 + script.length * 3);
      }),
      { numRuns: 300 },
    );
  });
});
