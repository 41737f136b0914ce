import { describe, expect, it } from 'vitest';
import { parseTransportAddress, transportAddress } from '../../src/base/address.js';
import { answerQuery } from '../../src/world/dns.js';
import { type Carrier, CARRIERS, natCarrier } from '../../src/world/carriers.js';
import { Host } from '../../src/world/host.js';
import {
  buildInternet,
  type HostName,
  type Internet,
  type InternetOptions,
  REFERENCE_NAME,
  type UplinkOptions,
  wireInternet,
} from '../../src/world/internet.js';
import { embed } from '../../src/world/nat64.js';
import { present } from './packets.js';

const { open, home } = CARRIERS;
const EIM = { mapping: 'eim', filtering: 'apdf', ports: 'preserving' } as const;
const FAST = { delayMs: 1 };

function uplink(host: HostName, name: string, carrier: Carrier, more: Partial<UplinkOptions> = {}): UplinkOptions {
  return { host, interface: name, kind: 'cellular', label: name, carrier, metric: 700, up: FAST, ...more };
}

function build(uplinks: UplinkOptions[], more: Partial<InternetOptions> = {}): Internet {
  return buildInternet({ seed: 1, lan: null, families: ['ipv4', 'ipv6'], uplinks, ...more });
}

const addressOf = (host: Host, name: string, family = 'ipv4'): string =>
  present(host.interfaces.find((on) => on.name === name)?.addresses.find((one) => one.family === family)).address;

/** A socket on a host that notes who sent to it. */
class Peer {
  readonly heard: string[] = [];
  readonly errors: string[] = [];
  readonly bytes: Uint8Array[] = [];
  readonly times: number[] = [];
  readonly address: string;
  readonly internet: Internet;
  readonly host: Host;
  readonly #socket;

  constructor(internet: Internet, host: Host, address: string, port = 5000) {
    this.internet = internet;
    this.host = host;
    const local = transportAddress(address, port);
    this.address = `${address.includes(':') ? `[${address}]` : address}:${port}`;
    const socket = host.bind(local, null, {
      onDatagram: (from, bytes) => {
        this.heard.push(`${from.address}:${from.port}`);
        this.bytes.push(bytes);
        this.times.push(internet.network.now);
      },
      onIcmp: (_to, { type, code, from }) => this.errors.push(`${type}/${code} from ${from}`),
    });
    if (typeof socket === 'string') throw new Error(socket);
    this.#socket = socket;
  }

  send(to: string, bytes = new Uint8Array(8), ttl = 64): string | null {
    const code = this.host.sendUdp(this.#socket, parseTransportAddress(to), bytes, ttl);
    this.internet.network.runUntil(this.internet.network.now + 1000);
    return code;
  }
}

describe('routers on the way', () => {
  it('answer by what they are, or are silent; the TTL counts them all', () => {
    const internet = build([uplink('client', 'wwan0', open, { hops: ['answers', 'silent', 'answers'] })]);
    const { client } = internet.hosts;
    const said = [1, 2, 3, 4, 5, 6].map((ttl) => {
      const peer = new Peer(internet, client, addressOf(client, 'wwan0'), 5000 + ttl);
      peer.send('192.0.2.10:9', undefined, ttl);
      return peer.errors;
    });
    expect(said).toEqual([
      ['11/0 from 10.10.0.1'],
      ['11/0 from 198.18.1.2'],
      [],
      ['11/0 from 198.18.1.4'],
      ['11/0 from 192.0.2.1'],
      ['3/3 from 192.0.2.10'],
    ]);
  });

  it('may stand anywhere among a carrier’s boxes, each with an address of its own', () => {
    const boxes = [{ type: 'hop' }, { type: 'hop' }, { type: 'nat', nat: EIM }, { type: 'hop' }] as const;
    const internet = build([uplink('client', 'wwan0', { ...open, boxes })]);
    const { client } = internet.hosts;
    const peer = new Peer(internet, client, addressOf(client, 'wwan0'));
    for (const ttl of [1, 2, 3]) peer.send('192.0.2.10:9', undefined, ttl);
    expect(peer.errors).toEqual(['11/0 from 10.10.0.1', '11/0 from 198.18.1.2', '11/0 from 198.18.1.3']);
  });
});

it('ECMP: 1 of 4 members drops a quarter of the flows (4 σ of 1000), whatever their direction', () => {
  const drop = [{ match: {}, action: { type: 'drop' } }] as const;
  const ecmp: Carrier = { ...open, boxes: [...open.boxes, { type: 'ecmp', members: 4, rules: drop }] };
  const internet = build([uplink('client', 'wwan0', ecmp)]);
  const { client } = internet.hosts;
  const reference = new Peer(internet, internet.reference, '192.0.2.10', 3478);
  for (let flow = 0; flow < 1000; flow += 1) {
    const before = reference.heard.length;
    const peer = new Peer(internet, client, addressOf(client, 'wwan0'), 10_000 + flow);
    peer.send('192.0.2.10:3478');
    const arrived = reference.heard.length > before;
    if (!arrived) continue;
    reference.send(present(reference.heard.at(-1)));
    expect(peer.heard).toHaveLength(1);
  }
  expect(Math.abs(reference.heard.length - 750)).toBeLessThanOrEqual(4 * Math.sqrt(1000 * 0.25 * 0.75));
});

describe('two hosts behind one carrier’s boxes', () => {
  const shared = (carrier: Carrier): Internet =>
    build([uplink('client', 'wlan0', carrier, { site: 'cafe' }), uplink('server', 'wlan0', carrier, { site: 'cafe' })]);
  const peers = (internet: Internet): [Peer, Peer, Peer] => {
    const { client, server } = internet.hosts;
    return [
      new Peer(internet, client, addressOf(client, 'wlan0')),
      new Peer(internet, server, addressOf(server, 'wlan0'), 6000),
      new Peer(internet, internet.reference, '192.0.2.10', 3478),
    ];
  };
  const isolating = (hairpin: 'none' | 'external'): Carrier => ({
    ...natCarrier('cgn', 'a test', { ...EIM, filtering: 'eif', hairpin }),
    isolates: true,
  });

  it('have one outside address and get their own answers', () => {
    const [left, right, reference] = peers(shared(open));
    left.send('192.0.2.10:3478');
    right.send('192.0.2.10:3478');
    expect(reference.heard).toEqual(['198.51.100.18:5000', '198.51.100.18:6000']);
    for (const to of reference.heard) reference.send(to);
    expect([left.heard, right.heard]).toEqual([['192.0.2.10:3478'], ['192.0.2.10:3478']]);
  });

  it('reach each other directly on a WiFi, and not where the carrier keeps its customers apart', () => {
    const [left, right] = peers(shared(open));
    expect([left.address, right.address]).toEqual(['10.10.0.2:5000', '10.10.0.3:6000']);
    left.send(right.address, undefined, 1);
    expect(right.heard).toEqual([left.address]);
    const [one, other] = peers(shared(isolating('none')));
    expect(one.send(other.address)).toBeNull();
    expect(other.heard).toEqual([]);
  });

  it('meet at the outside address where the NAT hairpins, and only there', () => {
    for (const [hairpin, heard] of [
      ['none', []],
      ['external', ['198.51.100.18:5000']],
    ] as const) {
      const [left, right, reference] = peers(shared(isolating(hairpin)));
      right.send('192.0.2.10:3478');
      left.send(present(reference.heard[0]));
      expect(right.heard).toEqual(heard);
    }
  });

  it('IPv6 of both is one network, and comes back to whose it is', () => {
    const internet = shared(open);
    const { client, server } = internet.hosts;
    const reference = new Peer(internet, internet.reference, '2001:db8:ff::10', 3478);
    for (const host of [client, server]) {
      const peer = new Peer(internet, host, addressOf(host, 'wlan0', 'ipv6'));
      peer.send('[2001:db8:ff::10]:3478');
      reference.send(peer.address);
      expect(peer.heard).toEqual(['2001:db8:ff::10:3478']);
    }
    expect(reference.heard).toEqual(['2001:db8:1::2:5000', '2001:db8:1::3:5000']);
  });

  it('a site with public addresses gives each its own', () => {
    const [left, right, reference] = peers(shared(CARRIERS.public));
    left.send('192.0.2.10:3478');
    right.send('192.0.2.10:3478');
    expect(reference.heard).toEqual(['198.51.100.18:5000', '198.51.100.19:6000']);
  });
});

it('a public peer hears whoever sends to it', () => {
  const internet = build([uplink('client', 'wwan0', open), uplink('server', 'eth1', CARRIERS.public)]);
  const { client, server } = internet.hosts;
  const [near, far] = [
    new Peer(internet, client, addressOf(client, 'wwan0')),
    new Peer(internet, server, addressOf(server, 'eth1')),
  ];
  expect(far.address).toBe('203.0.113.34:5000');
  near.send(far.address);
  expect(far.heard).toEqual(['198.51.100.18:5000']);
  far.send(present(far.heard[0]));
  expect(near.heard).toEqual([far.address]);
});

it('asymmetric links: 10 ms up, 300 ms down, 2 ms each on the two of the backbone', () => {
  const internet = build([uplink('client', 'wwan0', home, { up: { delayMs: 10 }, down: { delayMs: 300 } })]);
  const { client } = internet.hosts;
  const peer = new Peer(internet, client, addressOf(client, 'wwan0'));
  const reference = new Peer(internet, internet.reference, '192.0.2.10', 3478);
  peer.send('192.0.2.10:3478');
  expect(reference.times).toEqual([10 + 2 + 2]);
  const sentAt = internet.network.now;
  reference.send(present(reference.heard[0]));
  expect(peer.times.map((at) => at - sentAt)).toEqual([2 + 2 + 300]);
});

describe('carriers without IPv4', () => {
  const ipv6Only = (carrier: Carrier): Internet => build([uplink('client', 'wwan0', carrier)]);

  it('NAT64 and DNS64: the name of an IPv4-only server leads to it', () => {
    const internet = ipv6Only(CARRIERS['ipv6-only']);
    const { client } = internet.hosts;
    expect(client.interfaces.flatMap(({ addresses }) => addresses.map(({ family }) => family))).toEqual(['ipv6']);
    const asker = new Peer(internet, client, addressOf(client, 'wwan0', 'ipv6'));
    const name = `ipv4.${REFERENCE_NAME}`;
    const labels = name.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]);
    const query = Uint8Array.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 28, 0, 1]);
    asker.send('[2001:db8:53::1]:53', query);
    const zone = { [name]: { ipv4: ['192.0.2.10'] } };
    expect(asker.bytes).toEqual([answerQuery(query, zone, '64:ff9b::')]);
    expect(asker.bytes[0]?.subarray(-16)).toEqual(
      Uint8Array.of(0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 10),
    );

    const reference = new Peer(internet, internet.reference, '192.0.2.10', 3478);
    asker.send(`[${embed('192.0.2.10')}]:3478`);
    expect(reference.heard).toEqual(['198.51.100.18:5000']);
    reference.send(present(reference.heard[0]));
    expect(asker.heard.at(-1)).toBe('64:ff9b::c000:20a:3478');
  });

  it('the resolver is told to its customers, as far as they can reach it', () => {
    const descriptions = (['ipv6-only', 'ipv6-only-464xlat', 'open'] as const).map((name) => {
      const told: (readonly string[] | undefined)[] = [];
      const options = { seed: 1, uplinks: [uplink('client', 'wwan0', CARRIERS[name])] };
      wireInternet({ ...options, lan: null, families: ['ipv4', 'ipv6'] }, (description, random) => {
        told.push(...description.interfaces.map(({ nameservers }) => nameservers));
        return new Host({ ...description, random });
      });
      return told[0];
    });
    expect(descriptions).toEqual([['2001:db8:53::1'], ['2001:db8:53::1'], undefined]);
  });

  it('464XLAT: an app that knows only IPv4 reaches an IPv4 server; two translations, and every router counts', () => {
    const internet = ipv6Only(CARRIERS['ipv6-only-464xlat']);
    const { client } = internet.hosts;
    expect(addressOf(client, 'wwan0')).toBe('192.0.0.4');
    const app = new Peer(internet, client, '192.0.0.4');
    const reference = new Peer(internet, internet.reference, '192.0.2.10', 3478);
    app.send('192.0.2.10:3478');
    expect(reference.heard).toEqual(['198.51.100.18:5000']);
    reference.send(present(reference.heard[0]));
    expect(app.heard).toEqual(['192.0.2.10:3478']);
    for (const ttl of [1, 2, 3, 4]) app.send('192.0.2.10:9', undefined, ttl);
    // The modem, the carrier's IPv6 router (which has no IPv4 address: RFC 7600), the core, the closed port.
    expect(app.errors).toEqual([
      '11/0 from 192.0.0.1',
      '11/0 from 192.0.0.8',
      '11/0 from 192.0.2.1',
      '3/3 from 192.0.2.10',
    ]);
  });

  it('464XLAT: what fits IPv4’s 1500 bytes but not IPv6’s with 20 more is told, not lost', () => {
    const internet = ipv6Only(CARRIERS['ipv6-only-464xlat']);
    const app = new Peer(internet, internet.hosts.client, '192.0.0.4');
    app.send('192.0.2.10:9', new Uint8Array(1480 - 28));
    app.send('192.0.2.10:9', new Uint8Array(1481 - 28));
    expect(app.errors).toEqual(['3/3 from 192.0.2.10', '3/4 from 192.0.0.1']);
  });

  it('464XLAT: IPv6 is native beside it', () => {
    const internet = ipv6Only(CARRIERS['ipv6-only-464xlat']);
    const { client } = internet.hosts;
    const reference = new Peer(internet, internet.reference, '2001:db8:ff::10', 3478);
    new Peer(internet, client, addressOf(client, 'wwan0', 'ipv6')).send('[2001:db8:ff::10]:3478');
    expect(reference.heard).toEqual(['2001:db8:1::2:5000']);
  });
});
