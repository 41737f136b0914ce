import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, test } from 'vitest';
import { transportAddress } from '../../src/base/address.js';
import type { TransportAddress } from '../../src/base/address.js';
import { connectReferenceTcp } from '../../src/net/reference-tcp.js';
import { kernelSockets } from '../../src/os/socket.js';
import type { KernelSocketsState } from '../../src/os/socket.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function serve(
  onRequest: (socket: Socket, request: Buffer) => void,
  address = '127.0.0.1',
): Promise<TransportAddress> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (request) => {
      onRequest(socket, request);
    });
    closers.push(() => socket.destroy());
  });
  server.listen(0, address);
  closers.push(() => server.close());
  await once(server, 'listening');
  return transportAddress(address, (server.address() as AddressInfo).port);
}

/** A Binding success response (RFC 8489 §5) with XOR-MAPPED-ADDRESS of 12 bytes. */
function success(request: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from('0101000c', 'hex'),
    request.subarray(4, 20),
    Buffer.from('002000080001a147e112a643', 'hex'),
  ]);
}

const missing: KernelSocketsState = { sockets: null, reason: 'koffi cannot be loaded' };

describe.each([
  ['through the kernel’s own calls', kernelSockets()],
  ['without koffi', missing],
] as const)('STUN over TCP %s', (_, kernel) => {
  const ask = (to: TransportAddress, timeoutMs = 5000) => {
    const from = to.family === 'ipv4' ? '127.0.0.1' : '::1';
    return connectReferenceTcp(
      { interface: 'wwan0', from, to, pin: true, timeoutMs },
      new AbortController().signal,
      kernel,
    );
  };

  test.each(['127.0.0.1', '::1'])('%s: an answer, in pieces', async (address) => {
    const requests: Buffer[] = [];
    const to = await serve((socket, request) => {
      requests.push(request);
      const answer = success(request);
      socket.write(answer.subarray(0, 7));
      setImmediate(() => socket.write(answer.subarray(7)));
    }, address);
    const { code, afterMs } = await ask(to);
    expect(code).toBeNull();
    expect(afterMs).toBeGreaterThan(0);
    // RFC 8489 §5: Binding request, no attributes, the magic cookie.
    expect(requests[0]?.subarray(0, 8).toString('hex')).toBe('000100002112a442');
    expect(requests[0]).toHaveLength(20);
  });

  test('what is no answer to our request is told from one', async () => {
    const page = await serve((socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const replayed = await serve((socket) => socket.write(success(Buffer.alloc(20))));
    expect([(await ask(page)).code, (await ask(replayed)).code]).toEqual(['EPROTO', 'EPROTO']);
  });

  test('refused, hung up, silent', async () => {
    const hangingUp = await serve((socket) => socket.end());
    const silent = await serve(() => undefined);
    expect((await ask(transportAddress('127.0.0.1', 1))).code).toBe('ECONNREFUSED');
    expect((await ask(hangingUp)).code).toBe('ECONNRESET');
    expect((await ask(silent, 50)).code).toBe('ETIMEDOUT');
  });

  test('a run that is over ends the waiting', async () => {
    const silent = await serve(() => undefined);
    const request = { interface: 'wwan0', from: '127.0.0.1', to: silent, pin: true, timeoutMs: 60_000 };
    expect((await connectReferenceTcp(request, AbortSignal.abort(), kernel)).code).toBe('ETIMEDOUT');
  });

  test('a timeout outlives a garbage collection', async () => {
    const silent = await serve(() => undefined);
    const answer = ask(silent, 100);
    await new Promise(setImmediate);
    collectGarbage();
    expect((await answer).code).toBe('ETIMEDOUT');
  });
});
