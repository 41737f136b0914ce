import { describe, expect, it } from 'vitest';
import type { TransportAddress } from '../../src/base/address.js';
import { SeededRandom } from '../../src/base/random.js';
import { icmpError, type IcmpErrorName, type Packet, sourceOf, TCP_FLAGS, tcpPacket } from '../../src/world/packet.js';
import { TcpConnection, type TcpOutput } from '../../src/world/tcp-connection.js';
import { mssOf, type TcpSegment } from '../../src/world/tcp-segment.js';
import { present } from './packets.js';
import { Pair, randomBytes, SERVER } from './tcp-pair.js';

/** 10 ms each way unless said. The client's view. */
describe('opening (RFC 9293 §3.5)', () => {
  it('shakes hands three times, each with the other’s next sequence number', () => {
    const pair = new Pair().listen().connect().run(1000);
    expect(pair.trace).toEqual(['client syn 0 0 0', 'server syn ack 0 1 0', 'client ack 1 1 0']);
    expect(pair.client.events).toEqual([{ at: 20, what: 'open' }]);
    expect(pair.server.events).toEqual([{ at: 30, what: 'open' }]);
    expect(pair.server.stream?.remote).toEqual(pair.client.stream?.local);
  });

  it('says how much fits into a segment: the MTU less 40 bytes (RFC 9293 §3.7.1)', () => {
    const { seen } = new Pair({ clientMtuBytes: 1280 }).listen().connect().run(1000);
    const [syn, synAck] = seen.map(({ packet }) => packet.tcp && mssOf(packet.tcp));
    expect([syn, synAck]).toEqual([1240, 1460]);
  });

  it('a closed port resets: ECONNREFUSED after a round trip', () => {
    const pair = new Pair().connect().run(1000);
    expect(pair.trace).toEqual(['client syn 0 0 0', `server rst ack ${present(pair.seen[1]).seq} 1 0`]);
    expect(pair.seen[1]?.packet.tcp?.sequence).toBe(0);
    expect(pair.client.events).toEqual([{ at: 20, what: 'ECONNREFUSED' }]);
  });

  it('nobody answers: sent again after 1, 2, 4 … s, ETIMEDOUT after 127 s as Linux with tcp_syn_retries = 6', () => {
    const pair = new Pair({ passes: () => false }).connect().run(200_000);
    expect(pair.seen.map(({ at, flags }) => [at, flags])).toEqual(
      [0, 1, 3, 7, 15, 31, 63].map((second) => [second * 1000, 'syn']),
    );
    expect(pair.client.events).toEqual([{ at: 127_000, what: 'ETIMEDOUT' }]);
  });

  it('no route, no such device, no such address: told later, not within the call', () => {
    const pair = new Pair();
    const failures: string[] = [];
    const connect = (from: string | null, device: string | null, to: TransportAddress): void => {
      const failed = (code: string): number => failures.push(code);
      pair.hosts.client.tcp.connect({ from, device, to }, { data: () => undefined, failed });
    };
    connect('10.9.9.9', null, SERVER);
    connect(null, 'usb7', SERVER);
    connect(null, null, { family: 'ipv6', address: '2001:db8::1', port: 80 });
    expect(failures).toEqual([]);
    pair.run(1);
    expect(failures).toEqual(['EADDRNOTAVAIL', 'ENODEV', 'ENETUNREACH']);
  });

  // ip(7), icmp_err_convert in Linux.
  it.each<[IcmpErrorName, string]>([
    ['no-route', 'ENETUNREACH'],
    ['host-unreachable', 'EHOSTUNREACH'],
    ['port-unreachable', 'ECONNREFUSED'],
    ['admin-prohibited', 'EHOSTUNREACH'],
    ['time-exceeded', 'EHOSTUNREACH'],
  ])('ICMP %s ends the attempt: %s', (name, code) => {
    const pair = new Pair({ passes: () => false }).connect().run(1);
    const error = present(icmpError(present(pair.seen[0]).packet, '10.1.0.1', name));
    pair.hosts.client.receive(error, 'eth0');
    expect(pair.run(0).client.said).toEqual([code]);
  });

  it('both ends may open at once (RFC 9293 figure 8)', () => {
    const ends = [1000, 4_294_967_295].map((initialSequence) => {
      return new TcpConnection({ initialSequence, mssBytes: 1460, defaultMssBytes: 536 });
    });
    const said: TcpOutput['type'][] = [];
    const wire: TcpSegment[][] = [[], []];
    const drain = (end: 0 | 1): void => {
      for (let output = ends[end]?.poll(); output; output = ends[end]?.poll()) {
        if (output.type === 'segment') wire[1 - end]?.push(output.segment);
        else said.push(output.type);
      }
    };
    for (const end of [0, 1] as const) {
      ends[end]?.handle({ type: 'connect' }, 0);
      drain(end);
    }
    const flags: number[] = [];
    for (let round = 0; round < 4; round += 1) {
      for (const end of [0, 1] as const) {
        for (const segment of wire[end]?.splice(0) ?? []) {
          flags.push(segment.header.flags);
          ends[end]?.handle({ type: 'segment', segment }, 10);
        }
      }
      for (const end of [0, 1] as const) drain(end);
    }
    const { syn, ack } = TCP_FLAGS;
    expect(flags).toEqual([syn, syn, syn | ack, syn | ack]);
    expect(said).toEqual(['open', 'open']);
  });
});

describe('data', () => {
  it('is cut to segments, the last one pushed, and every second one acknowledged', () => {
    const pair = new Pair().established();
    pair.client.stream?.write(randomBytes(1, 4000));
    pair.run(1000);
    expect(pair.trace).toEqual([
      'client ack 1 1 1460',
      'client ack 1461 1 1460',
      'client psh ack 2921 1 1080',
      'server ack 1 2921 0',
      'server ack 1 4001 0',
    ]);
    // The third waits for a fourth: 40 ms as with Linux, then 20 ms on the way.
    expect(pair.seen.at(-1)?.at).toBe(1060);
    expect(pair.server.bytes).toEqual(randomBytes(1, 4000));
  });

  it('an answer carries the acknowledgment', () => {
    const pair = new Pair().established();
    pair.client.stream?.write(Uint8Array.of(1));
    pair.run(15);
    pair.server.stream?.write(Uint8Array.of(2, 3));
    pair.run(1000);
    expect(pair.trace.slice(0, 2)).toEqual(['client psh ack 1 1 1', 'server psh ack 1 2 2']);
  });

  it('is sent again when the timer runs out: RFC 6298 with Linux’ least of 200 ms, doubled each time', () => {
    let lossy = false;
    const pair = new Pair({ there: { delayMs: 50 }, passes: () => !lossy }).established();
    lossy = true;
    pair.client.stream?.write(Uint8Array.of(1));
    pair.run(5000);
    // One round trip of 100 ms was measured: SRTT 100, RTTVAR 50, RTO = 100 + max(200, 4 × 50).
    expect(pair.seen.map(({ at }) => at - 1000)).toEqual([0, 300, 900, 2100, 4500]);
    lossy = false;
    pair.run(10_000);
    expect([...pair.server.bytes]).toEqual([1]);
  });

  it('three duplicate acknowledgments bring what was lost at once (RFC 5681 §3.2)', () => {
    let lost = false;
    const pair = new Pair({
      passes: ({ payload }) => {
        const drop = !lost && payload[0] === 7;
        lost ||= drop;
        return !drop;
      },
    }).established();
    const bytes = new Uint8Array(5 * 1460);
    bytes[0] = 7;
    pair.client.stream?.write(bytes);
    pair.run(1000);
    const sends = pair.seen.filter(({ seq, length }) => seq === 1 && length > 0);
    // Four segments behind the gap tell of it within one round trip of 20 ms.
    expect(sends.map(({ at }) => at)).toEqual([1000, 1020]);
    expect(pair.trace.filter((line) => line === 'server ack 1 1 0')).toHaveLength(4);
    expect(pair.server.bytes).toEqual(bytes);
  });

  it('a far end that does not read stops the sender at its window of 65535 bytes, for hours if need be', () => {
    const pair = new Pair().established();
    pair.server.stream?.pause();
    pair.client.stream?.write(randomBytes(2, 100_000));
    pair.run(3 * 3600_000);
    expect(pair.server.received).toEqual([]);
    expect(Math.max(...pair.seen.filter(({ from }) => from === 'client').map(({ seq, length }) => seq + length))).toBe(
      65_536,
    );
    pair.server.stream?.resume();
    pair.run(1000);
    expect(pair.server.bytes).toEqual(randomBytes(2, 100_000));
    expect(pair.client.said).toEqual(['open']);
  });

  it('a narrow link on the way: one ICMP, then segments that fit (RFC 1191)', () => {
    const pair = new Pair({ there: { delayMs: 10, mtuBytes: 1000 } }).established();
    pair.client.stream?.write(randomBytes(3, 20_000));
    pair.run(1000);
    expect(pair.server.bytes).toEqual(randomBytes(3, 20_000));
    const lengths = new Set(pair.seen.filter(({ at }) => at > 1000).map(({ length }) => length));
    expect(Math.max(...lengths)).toBe(1000 - 40);
    // Nothing waited for a timer of at least 200 ms.
    expect(pair.seen.findLast(({ length }) => length > 0)?.at).toBeLessThan(1200);
  });

  it('a connection that was up goes on after an ICMP error, and gives it as the reason when it dies (RFC 5461)', () => {
    let gone = false;
    const pair = new Pair({ there: { delayMs: 0 }, passes: () => !gone }).established();
    gone = true;
    pair.client.stream?.write(Uint8Array.of(1));
    pair.run(1);
    const error = present(icmpError(present(pair.seen[0]).packet, '10.1.0.1', 'host-unreachable'));
    pair.hosts.client.receive(error, 'eth0');
    pair.run(900_000);
    expect(pair.client.said).toEqual(['open']);
    pair.run(100_000);
    expect(pair.client.said).toEqual(['open', 'EHOSTUNREACH']);
  });

  it('a host that is gone: ETIMEDOUT after 924.6 s, as Linux’ documentation has it for tcp_retries2 = 15', () => {
    let gone = false;
    const pair = new Pair({ there: { delayMs: 0 }, passes: () => !gone }).established();
    gone = true;
    pair.client.stream?.write(Uint8Array.of(1));
    pair.run(2_000_000);
    expect(pair.client.events[1]?.what).toBe('ETIMEDOUT');
    expect((pair.client.events[1]?.at ?? 0) - 1000).toBeCloseTo(924_600, 0);
    expect(pair.seen).toHaveLength(16);
  });
});

describe('closing (RFC 9293 §3.6)', () => {
  it('a FIN each way, each acknowledged; then 60 s of TIME-WAIT', () => {
    const pair = new Pair().established();
    pair.client.stream?.end();
    pair.run(100);
    pair.server.stream?.end();
    pair.run(100);
    expect(pair.trace).toEqual([
      'client fin ack 1 1 0',
      'server ack 1 2 0',
      'server fin ack 1 2 0',
      'client ack 2 2 0',
    ]);
    expect(pair.client.said).toEqual(['open', 'end']);
    expect(pair.server.said).toEqual(['open', 'end']);
  });

  it('the other direction goes on until it is ended as well', () => {
    const pair = new Pair().established();
    pair.client.stream?.write(Uint8Array.of(1));
    pair.client.stream?.end();
    pair.run(100);
    pair.server.stream?.write(Uint8Array.of(2));
    pair.run(100);
    expect([...pair.client.bytes]).toEqual([2]);
    expect(pair.server.said).toEqual(['open', 'end']);
  });

  it('an acknowledgment of the last FIN that was lost is said again', () => {
    let lose = false;
    const pair = new Pair({ passes: ({ source }) => !lose || source !== '10.1.0.2' }).established();
    pair.client.stream?.end();
    pair.run(100);
    lose = true;
    pair.server.stream?.end();
    pair.run(15);
    lose = false;
    pair.run(5000);
    expect(pair.trace.slice(-3)).toEqual(['client ack 2 2 0', 'server fin ack 1 2 0', 'client ack 2 2 0']);
  });

  it('aborted: a reset, and the far end hears ECONNRESET', () => {
    const pair = new Pair().established();
    pair.client.stream?.abort();
    pair.run(100);
    expect(pair.trace).toEqual(['client rst ack 1 1 0']);
    expect(pair.client.said).toEqual(['open']);
    expect(pair.server.said).toEqual(['open', 'ECONNRESET']);
  });

  it('a process that dies: what it wrote arrives, then a FIN; what is said to it after that is reset', () => {
    const pair = new Pair().established();
    pair.server.stream?.write(Uint8Array.of(1, 2, 3));
    pair.server.stream?.close();
    pair.run(100);
    expect([...pair.client.bytes]).toEqual([1, 2, 3]);
    expect(pair.client.said).toEqual(['open', 'end']);
    pair.client.stream?.write(Uint8Array.of(9));
    pair.run(100);
    expect(pair.trace.at(-1)).toMatch(/^server rst/);
    expect(pair.client.said).toEqual(['open', 'end', 'EPIPE']);
  });

  it('a process that dies without having read: a reset (RFC 2525 §2.17)', () => {
    const pair = new Pair().established();
    pair.server.stream?.pause();
    pair.client.stream?.write(Uint8Array.of(1));
    pair.run(15);
    pair.server.stream?.close();
    pair.run(100);
    expect(pair.client.said).toEqual(['open', 'ECONNRESET']);
  });

  it('a host that was restarted resets what it does not know', () => {
    const pair = new Pair().established();
    const stranger = tcpPacket({ ...present(pair.client.stream).local, port: 5 }, SERVER, {
      sequence: 77,
      acknowledgment: 1234,
      flags: TCP_FLAGS.ack,
      window: 100,
      options: new Uint8Array(0),
    });
    const answers: Packet[] = [];
    pair.network.tap({ node: pair.hosts.server, port: 'eth0' }, (packet) => answers.push(packet));
    pair.hosts.server.receive(stranger, 'eth0');
    // RFC 9293 §3.10.7.1: <SEQ=SEG.ACK><CTL=RST>.
    expect(answers.map(({ tcp }) => tcp)).toMatchObject([{ sequence: 1234, flags: TCP_FLAGS.rst }]);
  });

  it('whoever stopped listening takes nobody any more', () => {
    const pair = new Pair().established();
    if (typeof pair.stop === 'function') pair.stop();
    const said: string[] = [];
    pair.hosts.client.tcp.connect(
      { from: null, device: null, to: SERVER },
      { data: () => undefined, failed: (code) => said.push(code) },
    );
    pair.run(100);
    expect(said).toEqual(['ECONNREFUSED']);
    expect(pair.client.said).toEqual(['open']);
  });
});

describe('strangers', () => {
  it('cannot break a connection by guessing (RFC 5961), nor the stack with nonsense', () => {
    const pair = new Pair().established();
    const { local } = present(pair.client.stream);
    const random = new SeededRandom('stranger');
    for (let sent = 0; sent < 5000; sent += 1) {
      const tcp = {
        sequence: random.uint32(),
        acknowledgment: random.uint32(),
        flags: random.uint32() & 0xff,
        window: random.uint32() & 0xffff,
        options: random.bytes(random.uint32() & 12),
      };
      const from = sent % 2 === 0 ? local : { ...local, port: random.uint32() & 0xffff };
      pair.hosts.server.receive(tcpPacket(from, SERVER, tcp, random.bytes(random.uint32() & 63)), 'eth0');
      if (sent % 100 === 0) pair.run(1);
    }
    pair.client.stream?.write(randomBytes(5, 30_000));
    pair.run(10_000);
    expect(pair.server.said).toEqual(['open']);
    expect(pair.server.bytes).toEqual(randomBytes(5, 30_000));
  });

  it('an ICMP error about a segment that was never sent is nobody’s', () => {
    const pair = new Pair({ passes: () => false }).connect().run(1);
    const { packet } = present(pair.seen[0]);
    const header = present(packet.tcp);
    const forged = tcpPacket(sourceOf(packet), SERVER, { ...header, sequence: (header.sequence + 5000) >>> 0 });
    pair.hosts.client.receive(present(icmpError(forged, '10.1.0.1', 'host-unreachable')), 'eth0');
    pair.run(500);
    expect(pair.client.said).toEqual([]);
  });
});
