import { createServer, type Server, type Socket } from 'node:net';
import { transportAddress, type TransportAddress } from '../base/address.js';
import { errorCode, IcepathError } from '../base/errors.js';

/** Bytes of one connection so far → what to answer; `null` while nothing can be said yet. */
export type AnswerTcp = (bytes: Uint8Array, remote: TransportAddress) => Uint8Array | null;

/** A request is a few dozen bytes; who sends more is no STUN client. */
const MAX_REQUEST_BYTES = 2048;
const IDLE_MS = 5000;
const MAX_CONNECTIONS = 256;

/** STUN over TCP on one address. Throws `IcepathError` `cannot-listen-tcp`. Returns how to stop. */
export async function listenReflectorTcp(listen: TransportAddress, answer: AnswerTcp): Promise<() => Promise<void>> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    serve(socket, answer);
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listening(server, listen);
  return async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      server.close(() => {
        resolve();
      });
    });
  };
}

function serve(socket: Socket, answer: AnswerTcp): void {
  const { remoteAddress, remotePort } = socket;
  if (remoteAddress === undefined || remotePort === undefined) {
    socket.destroy();
    return;
  }
  const remote = transportAddress(remoteAddress, remotePort);
  let received = Buffer.alloc(0);
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  socket.on('data', (bytes: Buffer) => {
    received = Buffer.concat([received, bytes]);
    const reply = answer(received, remote);
    if (reply) socket.end(reply);
    else if (received.length > MAX_REQUEST_BYTES) socket.destroy();
  });
}

function listening(server: Server, { address, port }: TransportAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      reject(
        new IcepathError(
          'cannot-listen-tcp',
          `TCP ${address} port ${port} cannot be listened on: ${errorCode(cause)}`,
          'Choose another address or port with --listen, or end the program that has it.',
          { cause },
        ),
      );
    });
    server.listen({ host: address, port }, resolve);
  });
}
