import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TransportAddress } from '../../src/base/address.js';
import { coturn, COTURN_USER, type Coturn } from '../support/coturn.js';
import { describeWith } from '../support/skip.js';
import { TurnOnUdp, UdpPeer } from '../support/turn-udp.js';

const on = (address: TransportAddress, credentials = COTURN_USER) => ({ server: { address, credentials } });

describeWith(['coturn'], 'coturn as the server', () => {
  let server: Coturn;
  let full: Coturn;
  let hasty: Coturn;
  beforeAll(async () => {
    [server, full, hasty] = await Promise.all([
      coturn(['--denied-peer-ip=127.0.0.9']),
      coturn(['--user-quota=1']),
      // Nonces of one second, lifetimes of four.
      coturn(['--stale-nonce=1', '--max-allocate-lifetime=4', '--permission-lifetime=4', '--channel-lifetime=4']),
    ]);
  });
  afterAll(async () => {
    await Promise.all([server, full, hasty].map((each) => each.kill()));
  });

  test.each(['ipv4', 'ipv6'] as const)('data both ways by permission and by channel, %s', async (family) => {
    const client = new TurnOnUdp({ ...on(server[family]), family });
    const peer = new UdpPeer(family);
    const relayed = await client.allocate();
    expect(relayed.family).toBe(family);
    const address = await peer.address();
    client.say(address, 'one');
    expect(await peer.heard()).toEqual({ from: relayed, text: 'one' });
    peer.say(relayed, 'two');
    expect(await client.heard()).toEqual({ peer: address, text: 'two', channel: null });
    client.feed({ type: 'bind', peer: address });
    const { channel } = await client.next('bound');
    client.say(address, 'three');
    expect(await peer.heard()).toEqual({ from: relayed, text: 'three' });
    peer.say(relayed, 'four');
    expect(await client.heard()).toEqual({ peer: address, text: 'four', channel });
    await client.close();
    peer.close();
  });

  test('relays of IPv6 are to be had over IPv4', async () => {
    const client = new TurnOnUdp({ ...on(server.ipv4), family: 'ipv6' });
    expect((await client.allocate()).family).toBe('ipv6');
    await client.close();
  });

  test('two relays of one server reach each other', async () => {
    const [left, right] = [0, 1].map(() => new TurnOnUdp({ ...on(server.ipv4), family: 'ipv4' }));
    if (!left || !right) throw new Error('two');
    const [near, far] = [await left.allocate(), await right.allocate()];
    right.feed({ type: 'permit', peer: near });
    await right.next('permitted');
    left.say(far, 'hello');
    expect(await right.heard()).toEqual({ peer: near, text: 'hello', channel: null });
    await Promise.all([left.close(), right.close()]);
  });

  test.each([
    ['a wrong password', { ...COTURN_USER, password: 'wrong' }],
    ['an unknown user', { ...COTURN_USER, username: 'carol' }],
  ])('%s: turn-credentials', async (_, credentials) => {
    const client = new TurnOnUdp({ ...on(server.ipv4, credentials), family: 'ipv4' });
    await expect(client.allocate()).rejects.toMatchObject({ code: 'turn-credentials' });
    client.abandon();
  });

  test('the quota of a user (486), until an allocation is given back', async () => {
    const first = new TurnOnUdp({ ...on(full.ipv4), family: 'ipv4' });
    await first.allocate();
    const second = new TurnOnUdp({ ...on(full.ipv4), family: 'ipv4' });
    await expect(second.allocate()).rejects.toMatchObject({ code: 'turn-quota' });
    second.abandon();
    await first.close();
    // coturn counts it for a moment longer.
    for (let given = false; !given;) {
      const next = new TurnOnUdp({ ...on(full.ipv4), family: 'ipv4' });
      given = await next.allocate().then(
        () => true,
        () => false,
      );
      await next.close();
    }
  });

  test('a peer that the server’s rules forbid (403)', async () => {
    const client = new TurnOnUdp({ ...on(server.ipv4), family: 'ipv4' });
    await client.allocate();
    client.feed({ type: 'permit', peer: { family: 'ipv4', address: '127.0.0.9', port: 9 } });
    const refused = await client.next('peer-refused');
    expect(refused).toMatchObject({ address: '127.0.0.9', error: { code: 'turn-peer-forbidden' } });
    await client.close();
  });

  test('lives longer than its nonce, its lifetime, its permission', async () => {
    const client = new TurnOnUdp({ ...on(hasty.ipv4), family: 'ipv4', measureEveryMs: 1200 });
    const peer = new UdpPeer('ipv4');
    const relayed = await client.allocate();
    const address = await peer.address();
    const { lifetimeMs } = await client.next('allocated');
    expect(lifetimeMs).toBeLessThan(10_000);
    // For longer than that, each Refresh with a nonce that has run out.
    for (let refreshed = 0; refreshed < 6; refreshed += 1) {
      client.outputs.length = 0;
      await client.next('measured');
    }
    client.feed({ type: 'forget', peer: address });
    client.say(address, 'still here');
    expect(await peer.heard()).toEqual({ from: relayed, text: 'still here' });
    expect(hasty.log()).toContain('error 438');
    await client.close();
    peer.close();
  });

  test('an allocation that a restarted server does not know: turn-allocation-lost', async () => {
    const before = await coturn();
    const client = new TurnOnUdp({ ...on(before.ipv4), family: 'ipv4', measureEveryMs: 200 });
    await client.allocate();
    await before.kill();
    const after = await coturn([], before.ipv4.port);
    await expect(client.next('closed')).rejects.toMatchObject({ code: 'turn-allocation-lost' });
    client.abandon();
    await after.kill();
  });

  test('a server that sends us elsewhere (300) is followed where that is allowed', async () => {
    const guide = await coturn([`--alternate-server=127.0.0.1:${String(server.ipv4.port)}`]);
    const strict = new TurnOnUdp({ ...on(guide.ipv4), family: 'ipv4' });
    await expect(strict.allocate()).rejects.toMatchObject({ code: 'turn-redirected' });
    strict.abandon();
    const client = new TurnOnUdp({ ...on(guide.ipv4), family: 'ipv4', mostRedirects: 1 });
    await client.allocate();
    expect(client.client.server).toEqual(server.ipv4);
    await client.close();
    await guide.kill();
  });
});
