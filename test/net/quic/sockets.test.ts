import { afterEach, describe, expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.js';
import { toHex } from '../../../src/base/bytes.js';
import { transportAddress, type TransportAddress } from '../../../src/base/address.js';
import { backEnd } from '../../../src/net/quic/back-end.js';
import { plainSockets } from '../../../src/net/quic/plain-socket.js';
import type { QuicSocket, SocketBackEnd } from '../../../src/net/quic/socket.js';
import { describeWith } from '../../support/skip.js';

const opened: QuicSocket[] = [];
afterEach(() => {
  for (const socket of opened.splice(0)) socket.close();
});

/** A socket, and what comes to it. */
async function open(sockets: SocketBackEnd, address = '127.0.0.1') {
  const came: { readonly bytes: string; readonly from: TransportAddress }[] = [];
  let wake: () => void = () => undefined;
  const socket = await sockets.open(
    { local: transportAddress(address, 0), device: null },
    {
      datagram: (bytes, from) => came.push({ bytes: toHex(bytes), from }),
      batchEnd: () => {
        wake();
      },
      writable: () => undefined,
      failed: (code) => {
        throw new Error(code);
      },
    },
  );
  opened.push(socket);
  const until = async (count: number): Promise<void> => {
    while (came.length < count) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { socket, came, until };
}

function claims(sockets: SocketBackEnd): void {
  test.each(['127.0.0.1', '::1'])('datagrams arrive whole, in order, and say who sent them: %s', async (address) => {
    const [left, right] = [await open(sockets, address), await open(sockets, address)];
    const random = new SeededRandom('datagrams');
    const expected: string[] = [];
    for (let index = 0; index < 100; index += 1) {
      const bytes = random.bytes(1 + (random.uint32() % 1472));
      expected.push(toHex(bytes));
      left.socket.send(right.socket.local, bytes, 0);
    }
    await right.until(100);
    expect(right.came.map(({ bytes }) => bytes)).toEqual(expected);
    expect(right.came.every(({ from }) => from.port === left.socket.local.port && from.address === address)).toBe(true);
  });

  test('one send carries many datagrams, the last of them shorter', async () => {
    const [left, right] = [await open(sockets), await open(sockets)];
    const random = new SeededRandom('segments');
    const parts = Array.from({ length: 8 }, (_, index) => random.bytes(index === 7 ? 33 : 1200));
    const buffer = sockets.sendBuffer.subarray(100);
    parts.forEach((part, index) => {
      buffer.set(part, 1200 * index);
    });
    left.socket.send(right.socket.local, buffer.subarray(0, 7 * 1200 + 33), 1200);
    // What was sent is out of the buffer.
    buffer.fill(0);
    await right.until(8);
    expect(right.came.map(({ bytes }) => bytes)).toEqual(parts.map(toHex));
  });

  test('what cannot be sent is lost and counted, and nothing breaks', async () => {
    const [left, right] = [await open(sockets), await open(sockets)];
    left.socket.send(right.socket.local, new Uint8Array(65_536 - 8), 0);
    left.socket.send(right.socket.local, Uint8Array.of(1), 0);
    await right.until(1);
    expect(right.came.map(({ bytes }) => bytes)).toEqual(['01']);
    expect(left.socket.refused).toBe(1);
  });

  test('an address of another machine cannot be had', async () => {
    await expect(open(sockets, '192.0.2.1')).rejects.toMatchObject({ code: 'EADDRNOTAVAIL' });
  });

  test('a socket that is closed sends nothing, and says nothing', async () => {
    const { socket } = await open(sockets);
    socket.close();
    socket.close();
    socket.send(socket.local, Uint8Array.of(1), 0);
  });
}

describe('the plain back end', () => {
  claims(plainSockets);
});

describeWith(['linux', 'koffi'], 'the fast back end', () => {
  const { sockets, ciphers, taken } = backEnd('fast');
  claims(sockets);

  test('says what it took', () => {
    expect(taken).toEqual({ ciphers: ciphers.name, sockets: 'UDP_SEGMENT and recvmmsg', reason: null });
    expect(taken.ciphers).toContain('OpenSSL');
  });
});

test('the plain back end says that it was asked for', () => {
  const { taken } = backEnd('plain');
  expect(taken).toEqual({ ciphers: 'node:crypto', sockets: 'dgram', reason: 'the plain one was asked for' });
});
