import { createHmac, randomFillSync } from 'node:crypto';
import { join } from 'node:path';
import type { ReadableWritablePair } from 'node:stream/web';
import { pathToFileURL } from 'node:url';

// quiche through its Node binding, @matrixai/quic, which is installed somewhere else: the folder of the package is what
// MATRIXAI_QUIC names. Only what the tests call is written down here.

type Stream = ReadableWritablePair<Uint8Array, Uint8Array>;

interface Binding {
  readonly QUICClient: { createQUICClient(options: object): Promise<QuicheClient> };
  readonly QUICServer: new (options: object) => QuicheServer;
  readonly events: {
    readonly EventQUICServerConnection: { readonly name: string };
    readonly EventQUICConnectionStream: { readonly name: string };
  };
}

export interface QuicheClient {
  readonly connection: { newStream(type: 'bidi' | 'uni'): Stream };
  destroy(options: { readonly isApp: true; readonly errorCode: number; readonly force: boolean }): Promise<void>;
}

interface Target<Detail> {
  addEventListener(name: string, listener: (event: { readonly detail: Detail }) => void): void;
}

export interface QuicheServer extends Target<Target<Stream>> {
  readonly port: number;
  start(options: { readonly host: string; readonly port: number }): Promise<void>;
  stop(options: { readonly force: boolean }): Promise<void>;
}

async function binding(): Promise<Binding> {
  const file = join(process.env.MATRIXAI_QUIC ?? '', 'dist', 'index.js');
  return (await import(pathToFileURL(file).href)) as Binding;
}

/** The binding says much. */
const quiet = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  getChild: (): object => quiet,
};

const buffer = (bytes: Uint8Array): ArrayBuffer => Uint8Array.from(bytes).buffer;
const IDLE = { maxIdleTimeout: 60_000 };

/** A server of `alpn` that sends back what comes on each stream. It answers each client with a Retry first. */
export async function quicheEcho(pem: { readonly cert: string; readonly key: string }, alpn: string) {
  const { QUICServer, events } = await binding();
  const mac = (key: ArrayBuffer, data: ArrayBuffer): Uint8Array =>
    createHmac('sha256', new Uint8Array(key)).update(new Uint8Array(data)).digest();
  const server = new QUICServer({
    crypto: {
      key: buffer(randomFillSync(new Uint8Array(32))),
      ops: {
        sign: (key: ArrayBuffer, data: ArrayBuffer) => Promise.resolve(buffer(mac(key, data))),
        verify: (key: ArrayBuffer, data: ArrayBuffer, signature: ArrayBuffer) =>
          Promise.resolve(Buffer.from(signature).equals(mac(key, data))),
      },
    },
    config: { ...pem, applicationProtos: [alpn], verifyPeer: false, ...IDLE },
    logger: quiet,
  });
  server.addEventListener(events.EventQUICServerConnection.name, ({ detail: connection }) => {
    connection.addEventListener(events.EventQUICConnectionStream.name, ({ detail: { readable, writable } }) => {
      readable.pipeTo(writable).catch(() => undefined);
    });
  });
  await server.start({ host: '127.0.0.1', port: 0 });
  return server;
}

/** A client whose server has to prove itself by a chain to `ca`. Rejects where it does not. */
export async function quicheClient(port: number, ca: string, serverName: string, alpn: string): Promise<QuicheClient> {
  const { QUICClient } = await binding();
  return await QUICClient.createQUICClient({
    host: '127.0.0.1',
    port,
    localHost: '127.0.0.1',
    serverName,
    crypto: {
      ops: {
        randomBytes: (data: ArrayBuffer) => {
          randomFillSync(new Uint8Array(data));
          return Promise.resolve();
        },
      },
    },
    config: { ca, applicationProtos: [alpn], verifyPeer: true, ...IDLE },
    logger: quiet,
  });
}

/** Sends all of it, and gives what comes until the end. */
export async function quicheExchange({ readable, writable }: Stream, data: Uint8Array): Promise<Uint8Array> {
  const sent = (async () => {
    const writer = writable.getWriter();
    for (let at = 0; at < data.length; at += 65_536) await writer.write(data.subarray(at, at + 65_536));
    await writer.close();
  })();
  const came: Uint8Array[] = [];
  for await (const chunk of readable) came.push(Uint8Array.from(chunk));
  await sent;
  return Buffer.concat(came);
}
