import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, onTestFinished } from 'vitest';
import { IcepathError } from '../../src/base/errors.js';
import type { Invite, InviteAddress } from '../../src/control/invite.js';
import { createIdentity } from '../../src/net/certificate.js';
import { connectControl } from '../../src/net/control-client.js';
import type { ControlPort } from '../../src/net/control-port.js';
import { listenControl, type ListenOptions } from '../../src/net/control-server.js';

export const secret = Uint8Array.from({ length: 16 }, (_, index) => index * 3);
export const timeoutMs = 10_000;

export interface Running {
  readonly invite: Invite;
  readonly port: number;
  readonly refused: string[];
  readonly close: () => Promise<void>;
  /** The next client that gets in. */
  readonly peer: () => Promise<ControlPort>;
  readonly peers: () => number;
}

export async function serve(options: Partial<ListenOptions> = {}): Promise<Running> {
  const refused: string[] = [];
  const arrived: ControlPort[] = [];
  const waiting: ((port: ControlPort) => void)[] = [];
  let count = 0;
  const server = await listenControl({
    listen: { address: '127.0.0.1', port: 0 },
    secret,
    onPeer: (port) => {
      count += 1;
      const take = waiting.shift();
      if (take) take(port);
      else arrived.push(port);
    },
    onRefused: (_, code) => refused.push(code),
    ...options,
  });
  onTestFinished(() => server.close());
  const peer = (): Promise<ControlPort> =>
    new Promise((resolve) => {
      const first = arrived.shift();
      if (first) resolve(first);
      else waiting.push(resolve);
    });
  const port = server.invite.addresses[0]?.port ?? 0;
  return { invite: server.invite, port, refused, close: () => server.close(), peer, peers: () => count };
}

export async function join(
  running: Running,
  invite = running.invite,
): Promise<{ client: ControlPort; server: ControlPort }> {
  const client = await connectControl(invite, { timeoutMs });
  onTestFinished(() => {
    client.close('test over');
  });
  return { client, server: await running.peer() };
}

export const messagesOf = (port: ControlPort, count: number): Promise<unknown[]> =>
  new Promise((resolve) => {
    const messages: unknown[] = [];
    port.onMessage = (message) => {
      messages.push(message);
      if (messages.length === count) resolve(messages);
    };
  });

export const lossOf = (port: ControlPort): Promise<string> =>
  new Promise((resolve) => {
    port.onLost = resolve;
  });

export async function errorOf(attempt: Promise<unknown>): Promise<IcepathError> {
  const error = await attempt.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof IcepathError)) throw new Error(`no coded error but ${String(error)}`);
  expect(error.nextStep).toMatch(/\w/);
  return error;
}

export const codeOf = async (invite: Invite, limit = timeoutMs): Promise<string> =>
  (await errorOf(connectControl(invite, { timeoutMs: limit }))).code;

/** Some other server on loopback. */
export async function listening(server: ReturnType<typeof createServer>): Promise<InviteAddress> {
  onTestFinished(() => void server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
}

/** Takes connections and never says a word. */
export async function mute(): Promise<InviteAddress> {
  const sockets: Socket[] = [];
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
  });
  return listening(createServer((socket) => sockets.push(socket.on('error', () => undefined))));
}

export async function own(): Promise<{ key: string; cert: string }> {
  const { key, certificate } = await createIdentity();
  return { key, cert: certificate };
}
