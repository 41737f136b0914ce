import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { transportAddress } from '../../src/base/address.js';
import type { TransportAddress } from '../../src/base/address.js';
import { utf8Bytes } from '../../src/base/bytes.js';
import { UdpSockets } from '../../src/net/sockets.js';
import { kernelSockets } from '../../src/os/socket.js';
import type { KernelSocketsState } from '../../src/os/socket.js';
import type { SessionInput } from '../../src/session/io.js';
import { describeWith, testWith } from '../support/skip.js';

type Of<Type extends SessionInput['type']> = Extract<SessionInput, { type: Type }>;

const open: { readonly close: () => void }[] = [];
afterEach(() => {
  for (const { close } of open.splice(0)) close();
});

function sockets(kernel: KernelSocketsState) {
  const inputs: SessionInput[] = [];
  const udp = new UdpSockets((input) => inputs.push(input), kernel);
  open.push({
    close: () => {
      udp.closeAll();
    },
  });
  const all = <Type extends SessionInput['type']>(type: Type) =>
    inputs.filter((input): input is Of<Type> => input.type === type);
  const until = <Type extends SessionInput['type']>(type: Type, count: number) =>
    vi.waitFor(() => {
      expect(all(type)).toHaveLength(count);
      return all(type);
    }, 5000);
  const listen = async (address: string, pin = true) => {
    udp.open({ type: 'open', socket: 's', interface: 'wwan0', address: transportAddress(address, 0), pin });
    const [opened] = await until('opened', 1);
    if (!opened) throw new Error('not opened');
    return opened;
  };
  const send = (to: TransportAddress, token: number, ttl?: number) => {
    const request = { type: 'send', socket: 's', to, bytes: utf8Bytes(`number ${String(token)}`), token } as const;
    udp.send(ttl === undefined ? request : { ...request, ttl });
  };
  return { udp, inputs, all, until, listen, send };
}

async function echo(address: string): Promise<TransportAddress> {
  const socket: Socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  open.push({
    close: () => {
      socket.close();
    },
  });
  socket.on('message', (bytes, from) => {
    socket.send(bytes, from.port, from.address);
  });
  socket.bind(0, address);
  await once(socket, 'listening');
  return transportAddress(address, socket.address().port);
}

/** A port of this host that nobody listens on. */
async function closedPort(address: string): Promise<TransportAddress> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4').bind(0, address);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return transportAddress(address, port);
}

const missing: KernelSocketsState = { sockets: null, reason: 'koffi cannot be loaded' };
const kernel = kernelSockets();

describeWith(['linux', 'koffi'], 'UDP sockets through the kernel’s own calls', () => {
  behaves(kernel);
});

describe('UDP sockets without koffi', () => {
  behaves(missing);
});

function behaves(state: KernelSocketsState): void {
  test.each(['127.0.0.1', '127.0.4.1', '::1'])('%s: opens, sends in order, receives', async (address) => {
    const { all, until, listen, send } = sockets(state);
    const opened = await listen(address);
    expect(opened).toMatchObject({ local: { address }, pinned: false });
    expect(opened.local.port).toBeGreaterThan(0);
    const to = await echo(address);
    for (let token = 0; token < 50; token += 1) send(to, token, token % 10 === 0 ? 5 : undefined);
    const received = await until('datagram', 50);
    expect(all('sent')).toEqual(Array.from({ length: 50 }, (_, token) => ({ type: 'sent', token, code: null })));
    expect(received.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(
      Array.from({ length: 50 }, (_, token) => `number ${String(token)}`),
    );
    expect(received[0]?.from).toEqual(to);
  });

  test('a send that cannot be is answered with its code', async () => {
    const { until, listen, send, udp } = sockets(state);
    await listen('127.0.0.1');
    send(transportAddress('::1', 9), 1);
    udp.send({
      type: 'send',
      socket: 'unknown',
      to: transportAddress('127.0.0.1', 9),
      bytes: utf8Bytes('x'),
      token: 2,
    });
    udp.send({
      type: 'send',
      socket: 's',
      to: transportAddress('127.0.0.1', 9),
      bytes: new Uint8Array(65_508),
      token: 3,
    });
    const sent = await until('sent', 3);
    expect(Object.fromEntries(sent.map(({ token, code }) => [token, code]))).toEqual({
      1: 'EAFNOSUPPORT',
      2: 'EBADF',
      3: 'EMSGSIZE',
    });
  });

  test('a socket that cannot be opened says why', async () => {
    const { until, udp } = sockets(state);
    const taken = await echo('127.0.0.1');
    for (const [socket, address] of [
      ['foreign', transportAddress('192.0.2.77', 0)],
      ['taken', taken],
    ] as const) {
      udp.open({ type: 'open', socket, interface: 'lo', address, pin: false });
    }
    const failed = await until('socket-failed', 2);
    expect(Object.fromEntries(failed.map(({ socket, code }) => [socket, code]))).toEqual({
      foreign: 'EADDRNOTAVAIL',
      taken: 'EADDRINUSE',
    });
  });

  test('after close nothing comes of it', async () => {
    const { inputs, until, listen, send, udp } = sockets(state);
    const { local } = await listen('127.0.0.1');
    udp.close('s');
    send(local, 1);
    await until('sent', 1);
    const sender = createSocket('udp4');
    await new Promise((resolve) => {
      sender.send('late', local.port, local.address, resolve);
    });
    sender.close();
    expect(inputs.map(({ type }) => type)).toEqual(['opened', 'sent']);
  });
}

describeWith(['linux', 'koffi'], 'ICMP errors', () => {
  test.each([
    ['127.0.0.1', { family: 'ipv4', type: 3, code: 3 }],
    ['::1', { family: 'ipv6', type: 1, code: 4 }],
  ])('%s: a closed port is told, with what was sent, and no other send suffers', async (address, error) => {
    const { all, until, listen, send } = sockets(kernel);
    await listen(address);
    const healthy = await echo(address);
    const closed = await closedPort(address);
    for (let round = 0; round < 20; round += 1) {
      send(closed, 2 * round);
      send(healthy, 2 * round + 1);
    }
    await until('datagram', 20);
    expect(all('sent').map(({ code }) => code)).toEqual(Array<null>(40).fill(null));
    // The kernel limits how many it sends a second; at least the first is there.
    const [first] = all('icmp');
    expect(first).toMatchObject({ socket: 's', to: closed, error: { ...error, from: address } });
    expect(Buffer.from(first?.quoted ?? []).toString()).toBe('number 0');
  });
});

testWith(['linux', 'koffi'], 'a device that does not exist cannot be pinned to', async () => {
  const { until, udp } = sockets(kernel);
  udp.open({ type: 'open', socket: 's', interface: 'nonesuch0', address: transportAddress('0.0.0.0', 0), pin: true });
  const [failed] = await until('socket-failed', 1);
  expect(failed).toMatchObject({
    socket: 's',
    code: 'ENODEV',
    message: expect.stringContaining('nonesuch0') as string,
  });
});
