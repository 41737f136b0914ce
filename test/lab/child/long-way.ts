/**
 * UDP that takes its time: a datagram to one address goes on to another, and what comes back goes back, each so many
 * milliseconds later. For machines whose kernel has no netem. Arguments: FROM=TO=MS …, addresses as ADDRESS:PORT; one line
 * on stdout when ready, then one for each of a TURN client's firsts on each way: `{ "way": 0, "what": …, "at": … }`, on
 * the client's side of the delay, in milliseconds of this process's clock.
 */
import { createSocket, type Socket } from 'node:dgram';
import { performance } from 'node:perf_hooks';
import { formatTransportAddress, parseTransportAddress } from '../../../src/base/address.js';
import { findAttribute } from '../../../src/stun/attributes.js';
import { decodeChannelData } from '../../../src/stun/channel-data.js';
import { parseStrict } from '../../../src/stun/message.js';
import { ATTRIBUTES, METHODS } from '../../../src/stun/registry.js';

/** `allocated`: the server's answer has come. `relayed`: something leaves by the relay. `quic`: a packet of QUIC's does. */
type What = 'allocated' | 'relayed' | 'quic';

const ways = process.argv.slice(2).map((way) => {
  const [from = '', to = '', delay = ''] = way.split('=');
  return { from: parseTransportAddress(from), to: parseTransportAddress(to), delayMs: Number(delay) };
});
await Promise.all(ways.map(open));
process.stdout.write('ready\n');

async function open({ from, to, delayMs }: (typeof ways)[number], way: number): Promise<void> {
  const firsts = new Set<What>();
  const tell = (what: What): void => {
    if (firsts.has(what)) return;
    firsts.add(what);
    process.stdout.write(`${JSON.stringify({ way, what, at: performance.now() })}\n`);
  };
  const near = createSocket('udp4');
  /** One for each client, so that its answers find back; only the server is heard. */
  const far = new Map<string, Promise<Socket>>();
  const connected = (client: { readonly address: string; readonly port: number }): Promise<Socket> =>
    new Promise((resolve) => {
      const socket = createSocket('udp4');
      socket.on('error', () => undefined);
      socket.on('message', (bytes) => {
        setTimeout(() => {
          near.send(bytes, client.port, client.address);
          if (isAllocation(bytes)) tell('allocated');
        }, delayMs);
      });
      socket.connect(to.port, to.address, () => {
        resolve(socket);
      });
    });
  near.on('message', (bytes, client) => {
    const payload = relayedIn(bytes);
    if (payload) tell('relayed');
    if (payload && isQuicLongHeader(payload)) tell('quic');
    const name = formatTransportAddress({ family: 'ipv4', address: client.address, port: client.port });
    const socket = far.get(name) ?? connected(client);
    far.set(name, socket);
    setTimeout(() => {
      void socket.then((open) => {
        open.send(bytes);
      });
    }, delayMs);
  });
  await new Promise<void>((resolve) => near.bind(from.port, from.address, resolve));
}

function isAllocation(bytes: Uint8Array): boolean {
  const parsed = parseStrict(bytes);
  return parsed.ok && parsed.message.method === METHODS.Allocate && parsed.message.class === 'success';
}

/** What a Send indication or ChannelData message hands to the relay. */
function relayedIn(bytes: Uint8Array): Uint8Array | null {
  const parsed = parseStrict(bytes);
  if (!parsed.ok) return decodeChannelData(bytes)?.data ?? null;
  const { message } = parsed;
  return message.method === METHODS.Send && message.class === 'indication'
    ? (findAttribute(message, ATTRIBUTES.DATA)?.value ?? null)
    : null;
}

/** RFC 9000 §17.2: the two top bits, then version 1. Nothing else that icepath sends to a peer begins so but by chance. */
function isQuicLongHeader(bytes: Uint8Array): boolean {
  return bytes.length >= 5 && (bytes[0] ?? 0) >> 6 === 3 && [0, 0, 0, 1].every((byte, at) => bytes[at + 1] === byte);
}
