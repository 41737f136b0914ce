import { createHmac, randomFillSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ReadableWritablePair } from 'node:stream/web';
import { pathToFileURL } from 'node:url';

// quic-peer: one end of a download by another QUIC that Node can have from npm, for bench-quic. None of them is a
// dependency: MATRIXAI_QUIC and IROH name the folders of @matrixai/quic (quiche) and @number0/iroh, installed elsewhere.
//   quic-peer quiche|iroh server BYTES          prints where it is to be reached, then sends BYTES on each stream
//   quic-peer quiche|iroh client BYTES ADDRESS  ADDRESS as the server printed it
// Prints one JSON object a line. Only what is called of them is written down here.

const [kind = '', role = '', size = '0', address = ''] = process.argv.slice(2);
const BYTES = Number(size);
const CHUNK = new Uint8Array(64 * 1024);
const ALPN = 'perf';
const HOST = '127.0.0.1';

const nothing = (): undefined => undefined;
const say = (fields: Readonly<Record<string, unknown>>): void => {
  process.stdout.write(`${JSON.stringify(fields)}\n`);
};
let cpuBefore = process.cpuUsage();
const cpuMs = (): number => {
  const { user, system } = process.cpuUsage(cpuBefore);
  return Math.round((user + system) / 1000);
};
/** What came before the transfer is not its work. */
const begin = (): void => {
  cpuBefore = process.cpuUsage();
};
const startedAt = (): number => performance.now();
function result(came: number, since: number): void {
  if (came !== BYTES) throw new Error(`${String(came)} bytes came`);
  say({ name: 'result', megabits: (came * 8) / (performance.now() - since) / 1000, cpuMs: cpuMs() });
}
const untilTold = (): Promise<void> =>
  new Promise((resolve) => {
    // Not every binding keeps the process alive.
    const alive = setInterval(nothing, 60_000);
    process.once('SIGTERM', () => {
      clearInterval(alive);
      say({ name: 'closed', cpuMs: cpuMs() });
      resolve();
    });
  });

type Stream = ReadableWritablePair<Uint8Array, Uint8Array>;
interface Target<Detail> {
  addEventListener(name: string, listener: (event: { readonly detail: Detail }) => void): void;
}
interface Matrixai {
  readonly QUICClient: {
    createQUICClient(options: object): Promise<{
      readonly connection: { newStream(type: 'bidi'): Stream };
      destroy(options: object): Promise<void>;
    }>;
  };
  readonly QUICServer: new (options: object) => Target<Target<Stream>> & {
    readonly port: number;
    start(options: object): Promise<void>;
  };
  readonly events: Readonly<
    Record<'EventQUICServerConnection' | 'EventQUICConnectionStream', { readonly name: string }>
  >;
}

async function load<T>(variable: string, ...file: readonly string[]): Promise<T> {
  return (await import(pathToFileURL(join(process.env[variable] ?? '', ...file)).href)) as T;
}

const quiet = { debug: nothing, info: nothing, warn: nothing, error: nothing, getChild: (): object => quiet };
const CONFIG = { applicationProtos: [ALPN], verifyPeer: false, maxIdleTimeout: 60_000 };

async function quicheServer(): Promise<void> {
  const { QUICServer, events } = await load<Matrixai>('MATRIXAI_QUIC', 'dist', 'index.js');
  const mac = (key: ArrayBuffer, data: ArrayBuffer): ArrayBuffer =>
    Uint8Array.from(createHmac('sha256', new Uint8Array(key)).update(new Uint8Array(data)).digest()).buffer;
  const server = new QUICServer({
    crypto: {
      key: randomFillSync(new Uint8Array(32)).buffer,
      ops: {
        sign: (key: ArrayBuffer, data: ArrayBuffer) => Promise.resolve(mac(key, data)),
        verify: (key: ArrayBuffer, data: ArrayBuffer, signature: ArrayBuffer) =>
          Promise.resolve(Buffer.from(signature).equals(new Uint8Array(mac(key, data)))),
      },
    },
    config: { ...CONFIG, cert: readFileSync('cert.pem', 'utf8'), key: readFileSync('key.pem', 'utf8') },
    logger: quiet,
  });
  const serve = async ({ readable, writable }: Stream): Promise<void> => {
    begin();
    for await (const chunk of readable) if (chunk.length === 0) break;
    const writer = writable.getWriter();
    for (let left = BYTES; left > 0; left -= CHUNK.length) await writer.write(CHUNK.subarray(0, left));
    await writer.close();
  };
  server.addEventListener(events.EventQUICServerConnection.name, ({ detail: connection }) => {
    connection.addEventListener(events.EventQUICConnectionStream.name, ({ detail: stream }) => {
      serve(stream).catch(nothing);
    });
  });
  await server.start({ host: HOST, port: 0 });
  say({ name: 'listening', address: String(server.port) });
}

async function quicheClient(): Promise<void> {
  const { QUICClient } = await load<Matrixai>('MATRIXAI_QUIC', 'dist', 'index.js');
  const randomBytes = (data: ArrayBuffer): Promise<void> => {
    randomFillSync(new Uint8Array(data));
    return Promise.resolve();
  };
  const where = { host: HOST, port: Number(address), localHost: HOST };
  const client = await QUICClient.createQUICClient({
    ...where,
    crypto: { ops: { randomBytes } },
    config: CONFIG,
    logger: quiet,
  });
  const { readable, writable } = client.connection.newStream('bidi');
  begin();
  const since = startedAt();
  const writer = writable.getWriter();
  await writer.write(new Uint8Array(8));
  await writer.close();
  let came = 0;
  for await (const chunk of readable) came += chunk.length;
  result(came, since);
  await client.destroy({ isApp: true, errorCode: 0, force: true });
}

interface Iroh {
  readonly default: {
    readonly Endpoint: { builder(): IrohBuilder };
    readonly RelayMode: { disabled(): object };
    readonly EndpointId: { fromString(text: string): object };
    readonly EndpointAddr: new (id: object, relay: null, addresses: readonly string[]) => object;
  };
}
interface IrohBuilder {
  applyMinimal(): void;
  alpns(alpns: readonly (readonly number[])[]): void;
  relayMode(mode: object): void;
  bindAddr(address: string): void;
  bind(): Promise<IrohEndpoint>;
}
interface IrohEndpoint {
  id(): { toString(): string };
  boundSockets(): readonly string[];
  connect(to: object, alpn: readonly number[]): Promise<IrohConnection>;
  acceptNext(): Promise<{ accept(): Promise<{ connect(): Promise<IrohConnection> }> } | null>;
  close(): Promise<void>;
}
interface IrohConnection {
  openBi(): Promise<IrohStream>;
  acceptBi(): Promise<IrohStream>;
}
interface IrohStream {
  readonly send: { writeAll(bytes: readonly number[]): Promise<void>; finish(): Promise<void> };
  readonly recv: {
    read(most: number): Promise<readonly number[]>;
    readToEnd(most: number): Promise<readonly number[]>;
  };
}
const IROH_ALPN = [...Buffer.from(ALPN)];

async function irohEndpoint({ Endpoint, RelayMode }: Iroh['default']): Promise<IrohEndpoint> {
  const builder = Endpoint.builder();
  builder.applyMinimal();
  builder.alpns([IROH_ALPN]);
  builder.relayMode(RelayMode.disabled());
  builder.bindAddr(`${HOST}:0`);
  return await builder.bind();
}

async function irohServer(): Promise<void> {
  const { default: iroh } = await load<Iroh>('IROH', 'index.js');
  const endpoint = await irohEndpoint(iroh);
  say({ name: 'listening', address: `${endpoint.id().toString()}@${endpoint.boundSockets()[0] ?? ''}` });
  const incoming = await endpoint.acceptNext();
  const connection = await (await incoming?.accept())?.connect();
  const stream = await connection?.acceptBi();
  if (!stream) throw new Error('nobody came');
  begin();
  await stream.recv.readToEnd(64);
  // What it takes are arrays of numbers.
  const chunk = [...CHUNK];
  for (let left = BYTES; left > 0; left -= chunk.length) {
    await stream.send.writeAll(left < chunk.length ? chunk.slice(0, left) : chunk);
  }
  await stream.send.finish();
}

async function irohClient(): Promise<void> {
  const { default: iroh } = await load<Iroh>('IROH', 'index.js');
  const endpoint = await irohEndpoint(iroh);
  const [id = '', at = ''] = address.split('@');
  const to = new iroh.EndpointAddr(iroh.EndpointId.fromString(id), null, [at]);
  const stream = await (await endpoint.connect(to, IROH_ALPN)).openBi();
  begin();
  const since = startedAt();
  await stream.send.writeAll([0, 0, 0, 0, 0, 0, 0, 0]);
  await stream.send.finish();
  let came = 0;
  while (came < BYTES) {
    const { length } = await stream.recv.read(CHUNK.length);
    if (length === 0) break;
    came += length;
  }
  result(came, since);
  await endpoint.close();
}

if (role === 'server') {
  const told = untilTold();
  if (kind === 'quiche') await quicheServer();
  else await irohServer();
  await told;
} else if (kind === 'quiche') await quicheClient();
else await irohClient();
process.exit(0);
