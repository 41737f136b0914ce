import { describe, expect, it } from 'vitest';
import { transportAddress, type TransportAddress } from '../../../src/base/address.js';
import { SeededRandom } from '../../../src/base/random.js';
import { Connection } from '../../../src/quic/connection/connection.js';
import { nodeCiphers } from '../../../src/quic/crypto/node-ciphers.js';
import { Endpoint } from '../../../src/quic/endpoint/endpoint.js';
import { TRANSFER_ALPN } from '../../../src/session/transfer/types.js';
import { CARRIERS } from '../../../src/world/carriers.js';
import { buildInternet, REFERENCE_ADDRESSES } from '../../../src/world/internet.js';
import type { Host, UdpSocket } from '../../../src/world/host.js';
import type { Network } from '../../../src/world/network.js';
import { virtualIdentity } from '../../../src/world/virtual-identity.js';
import { VirtualRun } from '../../../src/world/virtual-run.js';
import { mesh, PLAN } from '../../world/worlds.js';

// Strangers who have found the sockets of a transfer's server (issue 6): they send Initials of genuine clients, which
// prove their addresses where they are asked to, and garbage. Nobody without the invite gets in, and the data flow.

const SECONDS = 6;
const RATE = 2e5;

/** A QUIC client of its own with a certificate of its own, and garbage between its packets. */
class Stranger {
  readonly #endpoint: Endpoint;
  readonly #host: Host;
  readonly #network: Network;
  readonly #random: SeededRandom;
  readonly #socket: UdpSocket;
  readonly #buffer = new Uint8Array(2048);
  readonly closed: string[] = [];
  sent = 0;
  /** Bytes of streams that the server sent it. */
  got = 0;

  constructor(host: Host, network: Network, name: string, target: TransportAddress) {
    this.#host = host;
    this.#network = network;
    this.#random = new SeededRandom(name);
    const socket = host.bind(transportAddress(REFERENCE_ADDRESSES.ipv4[0], 0), null, {
      onDatagram: (from, bytes) => {
        this.#endpoint.receive(bytes.slice(), { local: this.#socket.local, remote: from }, 'none', network.now);
        this.#work();
      },
      onIcmp: () => undefined,
    });
    if (typeof socket === 'string') throw new Error(socket);
    this.#socket = socket;
    this.#endpoint = new Endpoint({
      random: this.#random,
      ciphers: nodeCiphers,
      connections: Connection,
      secret: this.#random.bytes(32),
      server: null,
    });
    this.#endpoint.connect(
      {
        alpn: [TRANSFER_ALPN],
        identity: virtualIdentity(this.#random),
        check: () => null,
        tuple: { local: socket.local, remote: target },
      },
      network.now,
    );
    this.#work();
    const garbage = this.#random.bytes(1200);
    garbage[0] = 0xc3;
    host.sendUdp(socket, target, garbage);
    host.sendUdp(socket, target, this.#random.bytes(1 + (garbage[1] ?? 0)));
  }

  #work(): void {
    const { now } = this.#network;
    this.#endpoint.timeout(now);
    for (let out = this.#endpoint.send(now, this.#buffer); out; out = this.#endpoint.send(now, this.#buffer)) {
      this.sent += 1;
      this.#host.sendUdp(this.#socket, out.remote, out.bytes.slice());
    }
    for (let event = this.#endpoint.pollEvent(); event; event = this.#endpoint.pollEvent()) {
      if (event.type !== 'connection') continue;
      const { event: what, connection } = event;
      if (what.type === 'closed') this.closed.push(`${what.by} ${String(what.code)}`);
      if (what.type === 'handshake-complete') {
        const stream = connection.openStream('bidi');
        if (stream !== null) connection.write(stream, new Uint8Array(100));
      }
      if (what.type === 'readable') this.got += connection.read(what.stream)?.length ?? 0;
    }
  }
}

describe('strangers at the sockets of a transfer', () => {
  it.each([
    ['while data flow', 3000],
    ['from before the client connects', 10],
  ])('%s: the transfer comes to its end, and none of them gets in', (_when, from) => {
    const internet = buildInternet({ seed: 1, uplinks: mesh({ telekom: { carrier: CARRIERS.public } }) });
    const { network, reference } = internet;
    const strangers: Stranger[] = [];
    const run = new VirtualRun({
      internet,
      seed: 1,
      version: 'test',
      plan: { ...PLAN, arms: ['random', 'stun'], transfer: { seconds: SECONDS, direction: 'both', rateBps: RATE } },
      hung: { client: ['eth0'], server: ['eth0'] },
    });
    // Its sockets with a public address, as whoever can read them on the way would know them.
    const target = (): TransportAddress | null =>
      run.server.events.flatMap((event) =>
        event.type === 'candidate' && event.host === 'server' && event.interface === 'usb0' && event.use === 'ice'
          ? [event.address]
          : [],
      )[0] ?? null;
    const flood = (): void => {
      const to = target();
      if (to)
        for (let n = 0; n < 4; n += 1) strangers.push(new Stranger(reference, network, `s${strangers.length}`, to));
      if (!run.client.isOver && strangers.length < 400) network.after(20, flood);
    };
    network.after(from, flood);
    const { transfer, carriers } = run.run();
    const bytes = (2 * SECONDS * RATE) / 8;
    expect(strangers.length).toBe(400);
    expect(transfer).toMatchObject({ complete: true, error: null, bytesSent: bytes, bytesReceived: bytes });
    expect(strangers.reduce((sum, { got }) => sum + got, 0)).toBe(0);
    expect(carriers.filter(({ verdict }) => /^(?:blocks|filters)/.test(verdict))).toEqual([]);
    // Half of the handshakes at once are the strangers' at most: the client's own, once ICE proved it, finds a place.
    const begun = run.server.events.find((event) => event.type === 'transfer' && event.host === 'server')?.t;
    expect(begun).toBeLessThan(from + 2500);
  });
});
