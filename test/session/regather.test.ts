import { describe, expect, it } from 'vitest';
import { type TransportAddress, transportAddress } from '../../src/base/address.js';
import type { HostInterface } from '../../src/base/interface.js';
import { SeededRandom } from '../../src/base/random.js';
import type { Ms } from '../../src/base/time.js';
import { type ControlMessage, parseMessage } from '../../src/control/messages.js';
import type { Candidate, LocalCandidate } from '../../src/ice/types.js';
import { buildReferenceAnswer, recogniseReferenceRequest } from '../../src/mutation/reference.js';
import { BUILT_IN } from '../../src/mutation/registry.js';
import { Host, type OpenSocket } from '../../src/session/host.js';
import type { SessionOutput } from '../../src/session/io.js';
import { LIMITS, PeerAddresses } from '../../src/session/limits.js';
import type { RecordEvent } from '../../src/session/record.js';
import { type LateSockets, Regathering } from '../../src/session/regather.js';
import type { Role } from '../../src/verdict/words.js';

/** What a host wants of its driver. */
function wants({ outputs }: Host): SessionOutput[] {
  const wanted: SessionOutput[] = [];
  for (let next = outputs.shift(); next; next = outputs.shift()) wanted.push(next);
  return wanted;
}

const REFERENCE = transportAddress('192.0.2.10', 3478);
const NAMES = { client: 'wwan0', server: 'usb0' } as const;
const PATH = { ...NAMES, family: 'ipv4' } as const;
const OUTSIDE = { client: '198.51.100.1', server: '203.0.113.1' } as const;
const INSIDE = { client: '10.0.0.2', server: '10.0.1.2' } as const;

/** One host: a real `Regathering`, and in place of the agent a note of what it was told. */
class End implements LateSockets {
  readonly role: Role;
  readonly host: Host;
  readonly regathering: Regathering;
  readonly checking: Candidate[] = [];
  readonly sent: { readonly at: Ms; readonly to: TransportAddress; readonly ttl: number | null }[] = [];
  readonly messages: ControlMessage[] = [];
  readonly records: RecordEvent[] = [];
  state: 'up' | 'checking' | 'failed' = 'checking';
  #port = 5000;

  constructor(role: Role, ttl: number | null) {
    this.role = role;
    this.host = new Host(role, new SeededRandom(role));
    const addresses = [{ family: 'ipv4' as const, address: INSIDE[role], prefixLength: 24 }];
    const interfaces: HostInterface[] = [{ name: NAMES[role], kind: 'cellular', label: role, addresses }];
    this.regathering = new Regathering(this.host, {
      sockets: this,
      interfaces: { all: interfaces },
      arms: BUILT_IN,
      references: [REFERENCE],
      peer: new PeerAddresses(interfaces),
      sessionKey: new Uint8Array(32).fill(7),
      pin: true,
      openerTtl: () => ttl,
    });
  }

  adopt(socket: OpenSocket, group: string): LocalCandidate {
    return this.#candidate('host', socket, socket.local, group);
  }

  reflect(socket: OpenSocket, mapped: TransportAddress): LocalCandidate {
    return this.#candidate('srflx', socket, mapped, 'any');
  }

  candidate(candidate: Candidate): void {
    this.checking.push(candidate);
  }

  datagram(): void {
    throw new Error('no check was sent');
  }

  stateOf(): 'up' | 'checking' | 'failed' {
    return this.state;
  }

  /** Does what the driver would; the reference answers at once, packets to anybody else are noted. */
  pump(now: Ms): Record<string, unknown>[] {
    this.host.tick(now);
    this.regathering.timeout();
    const told: Record<string, unknown>[] = [];
    for (let again = true; again;) {
      again = false;
      for (const output of wants(this.host)) {
        again = true;
        if (output.type === 'message') told.push(output.message);
        else if (output.type === 'event') this.records.push(output.event);
        else if (output.type === 'open') {
          this.#port += 1;
          const local = { ...output.address, port: this.#port };
          this.host.handle({ type: 'opened', socket: output.socket, local, pinned: true });
        } else if (output.type === 'send') {
          this.host.handle({ type: 'sent', token: output.token, code: null });
          if (output.to.address !== REFERENCE.address)
            this.sent.push({ at: now, to: output.to, ttl: output.ttl ?? null });
          else this.#reference(output.socket, output.bytes);
        }
      }
    }
    return told;
  }

  #reference(socket: string, bytes: Uint8Array): void {
    const request = recogniseReferenceRequest(bytes);
    const local = this.host.socket(socket)?.local;
    if (!request || !local) throw new Error('not a request');
    const mapped = { ...local, address: OUTSIDE[this.role] };
    const answer = buildReferenceAnswer(request, { mapped, origin: null, other: null, random: this.host.random });
    this.host.handle({ type: 'datagram', socket, from: REFERENCE, bytes: answer });
  }

  #candidate(type: 'host' | 'srflx', { id, interface: on }: OpenSocket, address: TransportAddress, group: string) {
    const { name, kind, label } = on;
    const more = { component: 1, foundation: '1', priority: 100, base: id, interface: name, kind, label } as const;
    return { type, address, group, ...more };
  }
}

/** Both, with a control channel that takes `oneWayMs`; `lost` says which of the messages never arrive. */
class Ends {
  readonly client: End;
  readonly server: End;
  now = 0;
  readonly #onTheWay: { readonly at: Ms; readonly to: End; readonly message: unknown }[] = [];
  readonly #oneWayMs: Ms;

  constructor(ttl: Readonly<Record<Role, number | null>>, oneWayMs: Ms = 30) {
    this.client = new End('client', ttl.client);
    this.server = new End('server', ttl.server);
    this.#oneWayMs = oneWayMs;
  }

  run(until: Ms): this {
    for (; this.now <= until; this.now += 10) {
      for (const end of [this.client, this.server]) {
        const to = end === this.client ? this.server : this.client;
        for (const message of end.pump(this.now)) {
          this.#onTheWay.push({ at: this.now + this.#oneWayMs, to, message: JSON.parse(JSON.stringify(message)) });
        }
      }
      for (const { to, message } of this.#onTheWay.filter(({ at }) => at === this.now)) {
        const parsed = parseMessage(message);
        if (!parsed.ok || parsed.message.type === 'unknown') throw new Error('a message that is none');
        to.messages.push(parsed.message);
        expect(to.regathering.message(parsed.message)).toBe(true);
      }
    }
    return this;
  }

  begin(): boolean {
    return this.client.regathering.begin(PATH, { arm: 'stun', way: 'opener' });
  }
}

const addresses = (candidates: readonly Candidate[]): string[] =>
  candidates.map(({ address }) => `${address.address}:${address.port}`);

describe('a path is tried again on fresh sockets', () => {
  it('each end learns where the other’s new socket is, inside and outside, and checks begin', () => {
    const ends = new Ends({ client: null, server: null });
    expect(ends.begin()).toBe(true);
    ends.run(1000);
    expect(addresses(ends.client.checking)).toEqual(['10.0.1.2:5001', '203.0.113.1:5001']);
    expect(addresses(ends.server.checking)).toEqual(['10.0.0.2:5001', '198.51.100.1:5001']);
    expect(new Set(ends.client.checking.map((one) => `${one.interface ?? ''} ${one.group ?? ''}`))).toEqual(
      new Set(['usb0 wwan0-usb0-v4#1']),
    );
    expect([...ends.client.sent, ...ends.server.sent]).toEqual([]);
    expect(ends.client.regathering.quiet).toBe(false);
    ends.client.state = 'up';
    ends.run(1100);
    expect(ends.client.regathering.quiet).toBe(true);
  });

  it('openers go out first, with their TTL; no end checks before both have waited half a second', () => {
    const ends = new Ends({ client: 2, server: 3 });
    ends.begin();
    while (ends.client.checking.length === 0) ends.run(ends.now);
    const first = Math.max(ends.client.sent[0]?.at ?? Infinity, ends.server.sent[0]?.at ?? Infinity);
    expect(ends.now - first).toBeGreaterThanOrEqual(500);
    ends.run(3000);
    expect(ends.client.sent.map(({ ttl }) => ttl)).toEqual(Array<number>(6).fill(2));
    expect(ends.server.sent.map(({ ttl }) => ttl)).toEqual(Array<number>(6).fill(3));
    expect(new Set(ends.client.sent.map(({ to }) => to.address))).toEqual(new Set(['10.0.1.2', '203.0.113.1']));
    const ways = [...ends.client.records, ...ends.server.records].filter(({ type }) => type === 'way');
    expect(ways).toMatchObject([{ ttl: 2, attempt: 1, way: 'opener' }, { ttl: 3 }]);
  });

  it('ends by itself where the far end never answers, or no check comes up', () => {
    const silent = new End('client', null);
    silent.regathering.begin(PATH, { arm: 'stun', way: 'fresh-sockets' });
    for (let now = 0; now <= 10_000; now += 50) silent.pump(now);
    expect(silent.regathering.quiet).toBe(true);
    expect(silent.regathering.deadline()).toBe(Infinity);
    const ends = new Ends({ client: null, server: null });
    ends.begin();
    ends.run(12_000);
    expect([ends.client.regathering.quiet, ends.server.regathering.quiet]).toEqual([true, true]);
  });

  it('one at a time, and not for ever', () => {
    const ends = new Ends({ client: null, server: null });
    expect([ends.begin(), ends.begin()]).toEqual([true, false]);
    for (let attempt = 2; attempt <= LIMITS.regathersPerPath; attempt += 1) {
      ends.run(ends.now + 11_000);
      expect(ends.begin()).toBe(true);
    }
    ends.run(ends.now + 11_000);
    expect(ends.begin()).toBe(false);
    expect(ends.client.regathering.tried('wwan0-usb0-v4').times).toBe(LIMITS.regathersPerPath);
  });
});

describe('a far end that wants too much', () => {
  const regather = { type: 'regather', ...PATH, attempt: 1, way: 'opener', arm: 'stun' } as const;
  const opened = (end: End): number => end.host.outputs.length;

  it('gets no socket on an interface that is not there, in an arm that is none, or at the client', () => {
    const server = new End('server', null);
    server.regathering.message({ ...regather, server: 'eth9' });
    server.regathering.message({ ...regather, family: 'ipv6' });
    server.regathering.message({ ...regather, arm: 'random' });
    expect(wants(server.host).filter(({ type }) => type === 'open')).toEqual([]);
    const client = new End('client', null);
    client.regathering.message(regather);
    expect(wants(client.host).filter(({ type }) => type === 'open')).toEqual([]);
  });

  it('gets a bounded number of sockets, whatever it names', () => {
    const server = new End('server', null);
    for (let each = 0; each < 500; each += 1) {
      server.regathering.message({ ...regather, client: `wwan${each}`, attempt: 1 + (each % 60) });
    }
    const sockets = wants(server.host).filter(({ type }) => type === 'open');
    expect(sockets.length).toBe(LIMITS.regathers);
    expect(opened(server)).toBe(0);
  });

  it('makes nobody send to an address that cannot be its own', () => {
    const ends = new Ends({ client: 2, server: null });
    ends.begin();
    ends.client.pump(0);
    const candidate = { type: 'host', foundation: '1', component: 1, priority: 1, kind: null, label: null } as const;
    const at = (address: string, port: number) => ({
      ...candidate,
      interface: 'usb0',
      address: transportAddress(address, port),
    });
    const candidates = [at('224.0.0.1', 5000), at('203.0.113.9', 53), at('127.0.0.1', 5000)];
    ends.client.regathering.message({ type: 'regathered', path: 'wwan0-usb0-v4', attempt: 1, candidates });
    ends.client.regathering.message({ type: 'opened', path: 'wwan0-usb0-v4', attempt: 1 });
    for (let now = 0; now < 2000; now += 10) ends.client.pump(now);
    expect(ends.client.sent).toEqual([]);
    expect(ends.client.checking).toEqual([]);
  });
});
