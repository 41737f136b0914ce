import { describe, expect, it } from 'vitest';
import { parseTransportAddress, transportAddress } from '../../src/base/address.js';
import type { Machine } from '../../src/base/machine.js';
import { Queue } from '../../src/base/machine.js';
import { SeededRandom } from '../../src/base/random.js';
import { NEVER } from '../../src/base/time.js';
import type { SessionInput, SessionOutput } from '../../src/session/io.js';
import { CARRIERS, natCarrier } from '../../src/world/carriers.js';
import { connectControl } from '../../src/world/control-link.js';
import { buildInternet, type Internet, type InternetOptions, LAN_ADDRESSES } from '../../src/world/internet.js';
import { answerTcp } from '../../src/world/tcp-exchange.js';
import { VirtualDriver } from '../../src/world/virtual-driver.js';

const REFERENCE = parseTransportAddress('192.0.2.10:3478');
const OPEN: Partial<InternetOptions> = {
  uplinks: [
    { host: 'client', interface: 'wwan0', kind: 'cellular', label: 'o2', carrier: CARRIERS.open, metric: 700 },
    { host: 'server', interface: 'usb0', kind: 'cellular', label: 'telekom', carrier: CARRIERS.public, metric: 700 },
  ],
};

/** Says what it is told to, keeps what it hears. */
class Script implements Machine<SessionInput, SessionOutput> {
  readonly heard: { readonly at: number; readonly input: SessionInput }[] = [];
  readonly say = new Queue<SessionOutput>();
  wakeAt = NEVER;

  handle(input: SessionInput, now: number): void {
    this.heard.push({ at: now, input });
    if (input.type === 'timeout') this.wakeAt = NEVER;
  }

  poll(): SessionOutput | undefined {
    return this.say.shift();
  }

  deadline(): number {
    return this.wakeAt;
  }

  of<T extends SessionInput['type']>(type: T): (Extract<SessionInput, { type: T }> & { readonly at: number })[] {
    return this.heard.flatMap(({ at, input }) =>
      input.type === type ? [{ ...(input as Extract<SessionInput, { type: T }>), at }] : [],
    );
  }
}

class Bench {
  readonly internet: Internet;
  readonly machines = { client: new Script(), server: new Script() };
  readonly drivers: Record<'client' | 'server', VirtualDriver>;

  constructor(options: Partial<InternetOptions> = {}) {
    this.internet = buildInternet({ seed: 1, uplinks: [], ...OPEN, ...options });
    const { network, hosts } = this.internet;
    const driver = (name: 'client' | 'server'): VirtualDriver =>
      new VirtualDriver({
        machine: this.machines[name],
        host: hosts[name],
        network,
        random: new SeededRandom(name),
        startedAt: '2024-06-06T11:46:00.000Z',
      });
    this.drivers = { client: driver('client'), server: driver('server') };
    this.drivers.client.start();
    this.drivers.server.start();
    connectControl({ ...this.drivers, addresses: [transportAddress(LAN_ADDRESSES.server.ipv4, 4800)] });
  }

  /** With the control channel up. */
  static connected(): Bench {
    const bench = new Bench();
    bench.internet.network.runUntil(10);
    return bench;
  }

  /** The client's machine says something as soon as it is asked, and the world goes on for a while. */
  tell(outputs: SessionOutput[], forMs = 4000): Script {
    this.machines.client.say.push(...outputs);
    this.drivers.client.interrupt();
    this.internet.network.runUntil(this.internet.network.now + forMs);
    return this.machines.client;
  }
}

const open = (socket: string, address: string, pin = true, name = 'wwan0'): SessionOutput => ({
  type: 'open',
  socket,
  interface: name,
  address: parseTransportAddress(address),
  pin,
});
const send = (socket: string, to: string, token: number, ttl?: number): SessionOutput => ({
  type: 'send',
  socket,
  to: parseTransportAddress(to),
  bytes: Uint8Array.of(0x61, 1, 2, 3),
  token,
  ...(ttl === undefined ? {} : { ttl }),
});
const tcp = (to = REFERENCE): SessionOutput => ({
  type: 'connect-tcp',
  token: 9,
  interface: 'wwan0',
  from: '10.10.0.2',
  to,
  pin: true,
  timeoutMs: 3000,
});

describe('the virtual driver', () => {
  it('begins with `start`: what the host has, and its counters', () => {
    const [first] = new Bench().machines.client.heard;
    expect(first?.input).toMatchObject({
      type: 'start',
      interfaces: [
        { name: 'eth0', kind: 'ethernet' },
        { name: 'wwan0', kind: 'cellular', label: 'o2' },
      ],
      counters: { rpFilter: { eth0: 0, wwan0: 0 } },
    });
  });

  it('opens sockets later, not within the call, and says where they are', () => {
    const heard = new Bench().tell([
      open('a', '10.10.0.2:0'),
      open('b', '10.10.0.9:0'),
      open('c', '10.10.0.2:0', true, 'usb9'),
    ]);
    const [opened] = heard.of('opened');
    expect(opened).toMatchObject({ socket: 'a', pinned: true, local: { address: '10.10.0.2' } });
    expect(heard.of('socket-failed').map(({ socket, code }) => [socket, code])).toEqual([
      ['b', 'EADDRNOTAVAIL'],
      ['c', 'ENODEV'],
    ]);
  });

  it('answers sends in order, with what the kernel said', () => {
    const heard = new Bench().tell([
      open('a', '10.10.0.2:5000'),
      send('a', '192.0.2.10:1', 1),
      send('nobody', '192.0.2.10:1', 2),
    ]);
    expect(heard.of('sent').map(({ token, code }) => [token, code])).toEqual([
      [1, null],
      [2, 'EBADF'],
    ]);
  });

  it('brings ICMP errors with sender, destination and what they quote', () => {
    const heard = new Bench().tell([
      open('a', '10.10.0.2:5000'),
      send('a', '192.0.2.10:1', 1),
      send('a', '192.0.2.10:1', 2, 2),
    ]);
    // Nobody listens there; TTL 2 ends at the second hop, the public router, 22 ms away: earlier.
    expect(heard.of('icmp').map(({ at, to, error, quoted }) => [at, to.port, error, [...quoted]])).toEqual([
      [44, 1, { family: 'ipv4', type: 11, code: 0, from: '192.0.2.1' }, [0x61, 1, 2, 3]],
      [48, 1, { family: 'ipv4', type: 3, code: 3, from: '192.0.2.10' }, [0x61, 1, 2, 3]],
    ]);
  });

  it('asks the routing table and the counters of its host', () => {
    const heard = new Bench().tell([
      {
        type: 'check-egress',
        token: 1,
        pin: false,
        checks: [{ interface: 'wwan0', from: '10.10.0.2', to: '192.0.2.10' }],
      },
      open('a', '10.10.0.2:5000'),
      send('a', '192.0.2.10:1', 1),
      { type: 'read-counters', token: 2 },
    ]);
    expect(heard.of('egress')[0]).toMatchObject({ token: 1, results: [{ verdict: 'mismatch', device: 'eth0' }] });
    expect(heard.of('counters')[0]).toMatchObject({ token: 2, counters: { interfaces: { wwan0: { txPackets: 1 } } } });
  });

  it('wakes the machine at its deadline, also when that comes nearer or goes away', () => {
    const bench = new Bench();
    const { client } = bench.machines;
    client.wakeAt = 500;
    bench.tell([], 10);
    client.wakeAt = 100;
    bench.tell([], 200);
    expect(client.of('timeout').map(({ at }) => at)).toEqual([100]);
    client.wakeAt = 700;
    bench.tell([], 10);
    client.wakeAt = NEVER;
    bench.tell([], 1000);
    expect(client.of('timeout').map(({ at }) => at)).toEqual([100]);
  });
});

/** 20 ms to the carrier, 2 to the public router, 2 to the reference: 48 there and back. */
describe('TCP to the reference', () => {
  const listening = (bench: Bench): Bench => {
    answerTcp(bench.internet.reference.tcp, REFERENCE, (request) => request);
    return bench;
  };

  it('takes a round trip for the handshake and one for the question: 2 × 48 ms', () => {
    const bench = new Bench();
    // An answer with the request's transaction id is one.
    const [answer] = listening(bench).tell([tcp()]).of('tcp');
    expect(answer).toMatchObject({ token: 9, code: null, afterMs: 96 });
  });

  it('something else than an answer is EPROTO', () => {
    const bench = new Bench();
    answerTcp(bench.internet.reference.tcp, REFERENCE, () => new Uint8Array(20));
    expect(bench.tell([tcp()]).of('tcp')[0]?.code).toBe('EPROTO');
  });

  it('a closed port refuses, an unreachable host times out, a reject is EHOSTUNREACH', () => {
    expect(new Bench().tell([tcp()]).of('tcp')[0]).toMatchObject({ code: 'ECONNREFUSED', afterMs: 48 });
    const unplugged = listening(new Bench());
    unplugged.internet.cables.get('reference')?.setUp(false);
    expect(unplugged.tell([tcp()]).of('tcp')[0]).toMatchObject({ code: 'ETIMEDOUT', afterMs: 3000 });
    const reject = { type: 'reject', error: 'admin-prohibited', from: '10.10.0.1' } as const;
    const carrier = natCarrier('rejects', 'a test', 'linux-guarded', [{ match: { protocol: 'tcp' }, action: reject }]);
    const [client, server] = OPEN.uplinks ?? [];
    const uplinks = client && server ? [{ ...client, carrier }, server] : [];
    expect(listening(new Bench({ uplinks })).tell([tcp()]).of('tcp')[0]?.code).toBe('EHOSTUNREACH');
  });

  it('sends again what was lost: a link that is down for half a second costs one second', () => {
    const bench = listening(new Bench());
    const cable = bench.internet.cables.get('client.wwan0');
    cable?.setUp(false);
    bench.internet.network.at(500, () => cable?.setUp(true));
    // RFC 6298 §2.1: the first timeout is 1 s.
    expect(bench.tell([tcp()]).of('tcp')[0]).toMatchObject({ code: null, afterMs: 1096 });
  });
});

/** Over the LAN: 0.25 ms to the switch, 0.25 ms on. */
describe('the control channel', () => {
  it('is up after a round trip of TCP and one of authentication, and names the far end', () => {
    const bench = Bench.connected();
    expect(bench.machines.server.of('peer-connected')).toMatchObject([{ at: 1.5 }]);
    expect(bench.machines.client.of('peer-connected')).toMatchObject([{ at: 2, address: '192.168.77.2:4800' }]);
  });

  it('delivers in order after the delay of its way', () => {
    const bench = Bench.connected();
    bench.tell([
      { type: 'message', message: { n: 1 } },
      { type: 'message', message: { n: 2 } },
    ]);
    expect(bench.machines.server.of('message').map(({ at, message }) => [at, message])).toEqual([
      [10.5, { n: 1 }],
      [10.5, { n: 2 }],
    ]);
  });

  it('an end that disconnects is lost to the other after what it said', () => {
    const bench = Bench.connected();
    bench.tell([
      { type: 'message', message: { last: true } },
      { type: 'disconnect', reason: 'done' },
    ]);
    expect(bench.machines.server.heard.slice(-2)).toEqual([
      { at: 10.5, input: { type: 'message', message: { last: true } } },
      { at: 10.5, input: { type: 'peer-lost', reason: 'The far end has ended: done' } },
    ]);
  });

  it('an end that is killed says nothing more, and the other hears at once that the connection ended', () => {
    const bench = Bench.connected();
    bench.tell([open('a', '10.10.0.2:5000')], 90);
    bench.drivers.client.kill();
    const before = bench.machines.client.heard.length;
    bench.internet.network.runUntil(10_000);
    expect(bench.machines.client.heard).toHaveLength(before);
    expect(bench.machines.server.of('peer-lost')).toMatchObject([{ at: 100.5 }]);
  });

  it('an end whose cable is pulled is lost to both after 6 s of silence', () => {
    const bench = Bench.connected();
    bench.internet.cables.get('client.eth0')?.setUp(false);
    bench.internet.network.runUntil(20_000);
    for (const machine of [bench.machines.client, bench.machines.server]) {
      const [{ at, reason } = { at: 0, reason: '' }] = machine.of('peer-lost');
      expect(reason).toBe('Nothing was heard from the far end for 6 s.');
      // What was heard last was said within the handshake.
      expect(at).toBeGreaterThanOrEqual(6001.5);
      expect(at).toBeLessThanOrEqual(6002);
    }
  });

  it('outlives a cable that is out for 3 s', () => {
    const bench = Bench.connected();
    const cable = bench.internet.cables.get('client.eth0');
    cable?.setUp(false);
    bench.internet.network.at(3000, () => cable?.setUp(true));
    bench.tell([{ type: 'message', message: { late: true } }], 20_000);
    expect(bench.machines.server.of('message')).toHaveLength(1);
    expect(bench.machines.server.of('peer-lost')).toEqual([]);
  });
});
