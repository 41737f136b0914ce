import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import type { Keepalive } from '../../src/control/channel.js';
import { SUBPROTOCOL } from '../../src/control/rendezvous.js';
import { connectControl } from '../../src/net/control-client.js';
import type { ControlPort } from '../../src/net/control-port.js';
import { listenRendezvous } from '../../src/net/rendezvous-server.js';
import { serve, timeoutMs, type Running } from './control-support.js';

export const urlOf = (port: number): string => `ws://127.0.0.1:${String(port)}/`;

/** A genuine rendezvous on loopback. */
export async function rendezvous(port = 0): Promise<{ url: string; port: number; close: () => Promise<void> }> {
  const server = await listenRendezvous({ listen: { address: '127.0.0.1', port } });
  onTestFinished(() => server.close());
  return { url: urlOf(server.port), port: server.port, close: () => server.close() };
}

/** What a rendezvous that cannot be trusted does with a message. */
export interface Meddler {
  /** Text: what hosts say to the rendezvous itself. */
  readonly text?: (text: string) => string;
  /** The client's bytes on their way to the server; each message is one array, and what is returned is sent instead. */
  bytes?: (message: Buffer, close: () => void) => readonly Buffer[];
}

/** A man in the middle: stands before a genuine rendezvous and meddles with what clients send through it. */
export async function meddling(upstream: string, meddler: Meddler): Promise<string> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => SUBPROTOCOL });
  onTestFinished(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  server.on('connection', (near) => {
    const far = new WebSocket(upstream, SUBPROTOCOL);
    let isClient = false;
    const early: (() => void)[] = [];
    const both = (): void => {
      near.terminate();
      far.terminate();
    };
    far.on('open', () => {
      for (const act of early.splice(0)) act();
    });
    near.on('message', (data: Buffer, isBinary: boolean) => {
      const act = (): void => {
        if (!isBinary) {
          isClient = data.toString().includes('"join"');
          far.send(meddler.text?.(data.toString()) ?? data.toString());
        } else if (isClient && meddler.bytes) for (const message of meddler.bytes(data, both)) far.send(message);
        else far.send(data);
      };
      if (far.readyState === WebSocket.OPEN) act();
      else early.push(act);
    });
    far.on('message', (data: Buffer, isBinary: boolean) => {
      near.send(data, { binary: isBinary });
    });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('error', () => undefined);
      one.on('close', () => {
        other.close();
      });
    }
  });
  await once(server, 'listening');
  return urlOf((server.address() as AddressInfo).port);
}

/** A server that clients reach through `url` alone. */
export const serveAt = (url: string, keepalive?: Keepalive): Promise<Running> =>
  serve({ listen: null, rendezvous: url, ...(keepalive && { keepalive }) });

export async function joinAt(
  running: Running,
  keepalive?: Keepalive,
): Promise<{ client: ControlPort; server: ControlPort }> {
  const client = await connectControl(running.invite, { timeoutMs, ...(keepalive && { keepalive }) });
  onTestFinished(() => {
    client.close('test over');
  });
  return { client, server: await running.peer() };
}
