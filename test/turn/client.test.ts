import { describe, expect, test } from 'vitest';
import { parseTransportAddress } from '../../src/base/address.js';
import { encodeChannelData } from '../../src/stun/channel-data.js';
import { utf8Bytes } from '../../src/base/bytes.js';
import { parseLenient } from '../../src/stun/message.js';
import { METHODS } from '../../src/stun/registry.js';
import { CLIENT, CREDENTIALS, PEER, SERVER, TurnNetwork, type Packet } from './network.js';

/** Whether a packet is a message of this method and class. */
function is(packet: Packet, method: keyof typeof METHODS, messageClass: string): boolean {
  const message = parseLenient(packet.bytes);
  return message?.method === METHODS[method] && message.class === messageClass;
}

const requests = (network: TurnNetwork, method: keyof typeof METHODS): Packet[] =>
  network.packets.filter((packet) => is(packet, method, 'request'));

const MINUTE = 60_000;

describe.each([
  { name: 'as RFC 5389 has credentials', modern: false },
  { name: 'with SHA-256 and hashed names (RFC 8489)', modern: true },
])('an allocation, $name', ({ modern }) => {
  test('is there after two round trips: the challenge, and its answer', () => {
    const network = new TurnNetwork();
    network.server({ modern });
    const client = network.client();
    client.feed({ type: 'allocate' });
    network.run(1000);
    expect(client.of('allocated')).toEqual([
      expect.objectContaining({ at: 40, mapped: CLIENT, lifetimeMs: 600_000, rttMs: 20 }),
    ]);
    expect(client.relayed).toMatchObject({ address: '203.0.113.1', family: 'ipv4' });
    expect(requests(network, 'Allocate')).toHaveLength(2);
  });

  test('carries data both ways, by indication and by channel', () => {
    const network = new TurnNetwork();
    network.server({ modern });
    const client = network.client();
    const peer = network.peer();
    client.feed({ type: 'allocate' });
    network.run(1000);
    client.say(PEER, 'one');
    network.run(2000);
    expect(peer.said).toMatchObject([{ from: client.relayed, text: 'one' }]);
    expect(client.of('permitted')).toMatchObject([{ address: PEER.address }]);
    peer.say(client.relayed, 'two');
    network.run(3000);
    client.feed({ type: 'bind', peer: PEER });
    network.run(4000);
    expect(client.of('bound')).toMatchObject([{ peer: PEER, channel: 0x4000 }]);
    client.say(PEER, 'three');
    network.run(5000);
    peer.say(client.relayed, 'four');
    network.run(6000);
    expect(peer.said.map(({ text }) => text)).toEqual(['one', 'three']);
    expect(client.heard()).toEqual([
      { peer: PEER, text: 'two', channel: null },
      { peer: PEER, text: 'four', channel: 0x4000 },
    ]);
    // RFC 8656 §12.4: four bytes more than what is said.
    const framed = network.packets.find(({ from, bytes }) => from === CLIENT && (bytes[0] ?? 0) === 0x40);
    expect(framed?.bytes).toEqual(encodeChannelData({ channel: 0x4000, data: utf8Bytes('three') }));
  });

  test('lives on for hours, with its permission and its channel, and is given back at the end', () => {
    const network = new TurnNetwork();
    const server = network.server({ modern });
    const client = network.client();
    const peer = network.peer();
    client.feed({ type: 'allocate' });
    network.run(1000);
    client.feed({ type: 'bind', peer: PEER });
    for (let minute = 1; minute <= 180; minute += 1) {
      network.run(minute * MINUTE);
      client.say(PEER, `out ${minute}`);
      peer.say(client.relayed, `in ${minute}`);
    }
    network.run(181 * MINUTE);
    expect(peer.said).toHaveLength(180);
    expect(client.heard()).toHaveLength(180);
    expect(client.heard().every(({ channel }) => channel === 0x4000)).toBe(true);
    expect(client.of('lost')).toEqual([]);
    expect(server.size).toBe(1);
    client.feed({ type: 'close' });
    network.run(182 * MINUTE);
    expect(client.of('closed')).toHaveLength(1);
    expect(server.size).toBe(0);
    expect(client.client.deadline()).toBe(Infinity);
  });

  test('goes on where the nonce runs out in mid-use', () => {
    const network = new TurnNetwork();
    network.server({ modern, nonceMs: 20_000 });
    const client = network.client();
    const peer = network.peer();
    client.feed({ type: 'allocate' });
    network.run(1000);
    client.say(PEER, 'one');
    network.run(30 * MINUTE);
    client.say(PEER, 'two');
    network.run(31 * MINUTE);
    expect(peer.said.map(({ text }) => text)).toEqual(['one', 'two']);
    expect(client.of('lost')).toEqual([]);
    const stale = network.packets.filter(({ bytes }) => Buffer.from(bytes).includes('Stale Nonce'));
    expect(stale.length).toBeGreaterThan(50);
  });
});

describe('when things are renewed', () => {
  test('a permission after four of its five minutes, a channel after nine of ten (RFC 8656 §9, §12)', () => {
    const network = new TurnNetwork();
    network.server({ nonceMs: Infinity });
    const client = network.client({ measureEveryMs: Infinity });
    client.feed({ type: 'allocate' });
    network.run(1000);
    client.feed({ type: 'bind', peer: PEER });
    network.run(25 * MINUTE);
    const asked = (method: keyof typeof METHODS): number[] => requests(network, method).map(({ at }) => at);
    expect(asked('CreatePermission')).toEqual(
      [0, 1, 2, 3, 4, 5, 6].map((n) => 1000 + n * 240_000).filter((at) => at < 25 * MINUTE),
    );
    expect(asked('ChannelBind')).toEqual([0, 1, 2].map((n) => 1000 + n * 540_000));
  });

  test('the allocation a minute before its end, or half way where it is short', () => {
    for (const [lifetimeS, wait] of [
      [600, 540_000],
      [30, 15_000],
    ] as const) {
      const network = new TurnNetwork();
      network.server({ lifetimeS });
      const client = network.client({ measureEveryMs: Infinity });
      client.feed({ type: 'allocate' });
      network.run(20 * MINUTE);
      expect(client.of('allocated')[0]?.lifetimeMs).toBe(lifetimeS * 1000);
      // Counted from when the allocation was first asked for, at 0: the server cannot have begun before.
      expect(requests(network, 'Refresh')[0]?.at).toBe(wait);
      expect(client.of('lost')).toEqual([]);
    }
  });

  test('a peer that is forgotten is not', () => {
    const network = new TurnNetwork();
    network.server();
    const client = network.client({ measureEveryMs: Infinity });
    client.feed({ type: 'allocate' });
    network.run(1000);
    client.feed({ type: 'bind', peer: PEER });
    network.run(2000);
    client.feed({ type: 'forget', peer: PEER });
    network.run(20 * MINUTE);
    expect(requests(network, 'CreatePermission')).toHaveLength(1);
    expect(requests(network, 'ChannelBind')).toHaveLength(1);
  });
});

describe('loss', () => {
  test('a lost request or answer is sent again; an allocation is not made twice (RFC 8656 §7.2)', () => {
    const network = new TurnNetwork();
    const server = network.server();
    const client = network.client();
    let answers = 0;
    network.drop = (packet) => is(packet, 'Allocate', 'success') && (answers += 1) === 1;
    client.feed({ type: 'allocate' });
    network.run(2000);
    expect(answers).toBe(2);
    // Sent again 500 ms after the first, at 20; its round trip is nobody's to tell.
    expect(client.of('allocated')).toMatchObject([{ at: 540, rttMs: null }]);
    expect(server.size).toBe(1);
  });

  test('what waits for a permission comes in order, the newest sixteen', () => {
    const network = new TurnNetwork();
    network.server();
    const client = network.client();
    const peer = network.peer();
    client.feed({ type: 'allocate' });
    network.run(1000);
    for (let n = 1; n <= 20; n += 1) client.say(PEER, String(n));
    network.run(2000);
    expect(peer.said.map(({ text }) => text)).toEqual(Array.from({ length: 16 }, (_, n) => String(n + 5)));
  });

  test('30 s of darkness: unanswered, said so, and there again', () => {
    const network = new TurnNetwork();
    network.server();
    const client = network.client();
    client.feed({ type: 'allocate' });
    network.run(MINUTE);
    network.drop = () => true;
    network.run(1.5 * MINUTE);
    network.drop = () => false;
    expect(client.of('unanswered').length).toBeGreaterThan(0);
    network.run(3 * MINUTE);
    expect(client.of('lost')).toEqual([]);
    expect(client.of('measured').at(-1)?.at).toBeGreaterThan(2.5 * MINUTE);
  });
});

describe('nobody but the server is believed', () => {
  test('what comes from elsewhere, or is not signed, changes nothing', () => {
    const network = new TurnNetwork();
    network.server();
    const client = network.client();
    client.feed({ type: 'allocate' });
    network.run(1000);
    const before = client.outputs.length;
    const framed = encodeChannelData({ channel: 0x4000, data: utf8Bytes('forged') });
    for (const from of [PEER, SERVER]) client.feed({ type: 'datagram', from, bytes: framed });
    expect(client.outputs).toHaveLength(before);
    expect(client.client.takes(PEER, framed)).toBe(false);
    expect(client.client.takes(SERVER, framed)).toBe(true);
    expect(client.client.takes(SERVER, utf8Bytes('something else'))).toBe(false);
  });

  test('data of an address that was never let through is nobody’s', () => {
    const network = new TurnNetwork();
    network.server();
    const client = network.client();
    client.feed({ type: 'allocate' });
    network.run(1000);
    const stranger = network.peer(parseTransportAddress('198.51.100.99:1'));
    stranger.say(client.relayed, 'hello');
    network.run(2000);
    expect(client.heard()).toEqual([]);
  });
});

test('the password stands in no packet, and neither does it in what is told', () => {
  const network = new TurnNetwork();
  network.server({ users: new Map([['alice', 'another']]) });
  const client = network.client();
  client.feed({ type: 'allocate' });
  network.run(MINUTE);
  const [failed] = client.of('failed');
  expect(failed?.error.code).toBe('turn-credentials');
  const told = [...network.packets.map(({ bytes }) => Buffer.from(bytes).toString('latin1')), failed?.error.message];
  for (const text of told) expect(text).not.toContain(CREDENTIALS.password);
  expect(`${failed?.error.message ?? ''} ${failed?.error.nextStep ?? ''}`).not.toContain(CREDENTIALS.username);
});
