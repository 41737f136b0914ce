import { createServer, type Server } from 'node:http';
import { isIP, type AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import { WebSocketServer, type WebSocket } from 'ws';
import { addressBytes, formatTransportAddress, transportAddress } from '../base/address.js';
import { toHex } from '../base/bytes.js';
import { drain } from '../base/machine.js';
import { NEVER } from '../base/time.js';
import { Broker, BROKER_LIMITS, type BrokerInput } from '../control/broker.js';
import { CLOSE, SUBPROTOCOL } from '../control/rendezvous.js';
import { listenError } from './listen-error.js';
import { systemRandom } from './random.js';
import { WEB_SOCKET_OPTIONS } from './web-socket.js';

const HEADERS_MS = 5000;
/** What was sent last may take so long to leave. */
const LINGER_MS = 5000;

export interface RendezvousServer {
  /** `ADDRESS:PORT` it listens on. */
  readonly listens: string;
  readonly port: number;
  /** Closes every connection and frees the port. */
  close(): Promise<void>;
}

export interface RendezvousOptions {
  /** `port` 0: any. */
  readonly listen: { readonly address: string; readonly port: number };
  /** Rooms and connections have become more or fewer: for a log. */
  readonly onChange?: (size: { readonly rooms: number; readonly connections: number }) => void;
}

/** Carries the control channel between hosts that share no network. Throws what listening throws. */
export async function listenRendezvous({ listen, onChange }: RendezvousOptions): Promise<RendezvousServer> {
  const broker = new Broker(systemRandom);
  const sockets = new Map<number, WebSocket>();
  let count = 0;
  let timer: NodeJS.Timeout | undefined;
  const handle = (input: BrokerInput): void => {
    broker.handle(input, performance.now());
    for (const output of drain(broker)) {
      const socket = sockets.get(output.connection);
      if (!socket) continue;
      switch (output.type) {
        case 'send':
          send(output.connection, socket, output.data);
          break;
        case 'close':
          sockets.delete(output.connection);
          finish(socket, output.code, output.reason);
          break;
        case 'ping':
          socket.ping();
          break;
        case 'pause':
        case 'resume':
          socket[output.type]();
      }
    }
    clearTimeout(timer);
    const deadline = broker.deadline();
    if (deadline === NEVER) return;
    timer = setTimeout(
      () => {
        handle({ type: 'timeout' });
      },
      Math.max(0, Math.ceil(deadline - performance.now())),
    );
  };
  const send = (connection: number, socket: WebSocket, data: Uint8Array | string): void => {
    socket.send(data, () => {
      handle({ type: 'backlog', connection, bytes: socket.bufferedAmount });
    });
    if (socket.bufferedAmount > BROKER_LIMITS.backlogHigh) {
      // Not within the loop above: outputs of an output would overtake those that wait.
      setImmediate(() => {
        handle({ type: 'backlog', connection, bytes: socket.bufferedAmount });
      });
    }
  };

  const http = createServer({ headersTimeout: HEADERS_MS, requestTimeout: HEADERS_MS }, (_, response) => {
    response
      .writeHead(426, { connection: 'close' })
      .end('This is an icepath rendezvous, for icepath server and client.\n');
  });
  // A few more than the broker takes, which can then say so.
  http.maxConnections = BROKER_LIMITS.connections + 64;
  const upgrades = new WebSocketServer({
    ...WEB_SOCKET_OPTIONS,
    noServer: true,
    clientTracking: false,
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });
  http.on('upgrade', (request, stream, head) => {
    stream.on('error', () => undefined);
    // Browsers say an origin: no page that somebody visits is to use its reader's network.
    if (request.headers.origin !== undefined || request.headers['sec-websocket-protocol'] !== SUBPROTOCOL) {
      stream.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n');
      return;
    }
    upgrades.handleUpgrade(request, stream, head, (socket) => {
      const connection = (count += 1);
      sockets.set(connection, socket);
      socket.on('error', () => undefined);
      socket.on('message', (data: Buffer, isBinary: boolean) => {
        if (isBinary) handle({ type: 'bytes', connection, bytes: data });
        else handle({ type: 'text', connection, text: data.toString() });
      });
      socket.on('pong', () => {
        handle({ type: 'pong', connection });
      });
      socket.on('close', () => {
        sockets.delete(connection);
        handle({ type: 'gone', connection });
        onChange?.(broker.size);
      });
      handle({ type: 'connected', connection, address: networkOf(request.socket.remoteAddress ?? '') });
      onChange?.(broker.size);
    });
  });
  const port = await listening(http, listen.address, listen.port);
  return {
    listens: formatTransportAddress(transportAddress(listen.address, port)),
    port,
    close: () =>
      new Promise((resolve) => {
        clearTimeout(timer);
        for (const socket of sockets.values()) finish(socket, CLOSE.ends, 'the rendezvous ends');
        http.close(() => {
          clearTimeout(timer);
          resolve();
        });
        http.closeIdleConnections();
      }),
  };
}

function finish(socket: WebSocket, code: number, reason: string): void {
  // Paused, it would not see the far end's close.
  socket.resume();
  socket.close(code, reason);
  const linger = setTimeout(() => {
    socket.terminate();
  }, LINGER_MS);
  socket.once('close', () => {
    clearTimeout(linger);
  });
}

/** Whose connections are counted together: an IPv4 address, or the /64 that an IPv6 host draws its addresses from. */
function networkOf(remote: string): string {
  if (isIP(remote) === 0) return 'unknown';
  const { address, family } = transportAddress(remote, 1);
  return family === 'ipv4' ? address : toHex(addressBytes(address).subarray(0, 8));
}

async function listening(server: Server, host: string, port: number): Promise<number> {
  return await new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(listenError(error, host, port));
    });
    server.listen({ host, port }, () => {
      resolve((server.address() as AddressInfo).port);
    });
  });
}
