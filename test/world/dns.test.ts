import { createSocket } from 'node:dgram';
import { Resolver as NodeResolver } from 'node:dns/promises';
import { once } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, equalBytes, fromHex, toHex, utf8Bytes } from '../../src/base/bytes.js';
import { answerQuery, IPV4_ONLY, Resolver, type Zone } from '../../src/world/dns.js';
import { WELL_KNOWN_PREFIX } from '../../src/world/nat64.js';
import { echoRequest } from '../../src/world/packet.js';
import { testWith } from '../support/skip.js';
import { tsharkFieldsOf } from '../support/tshark.js';
import { destination, present, source, through, udp } from './packets.js';

const ZONE: Zone = {
  ...IPV4_ONLY,
  'reference.icepath.example': { ipv4: ['192.0.2.10'], ipv6: ['2001:db8:ff::10'] },
  'ipv4.reference.icepath.example': { ipv4: ['192.0.2.10'] },
  'six.icepath.example': { ipv6: ['2001:db8:ff::10'] },
};

/** RFC 1035 §4.1: header and one question, by hand. */
function query(name: string, type: number, options: { flags?: number; class?: number; additional?: string } = {}) {
  const { flags = 0x0100, additional = '' } = options;
  const labels =
    name === '' ? [] : name.split('.').map((label) => concatBytes(Uint8Array.of(label.length), utf8Bytes(label)));
  const hex = (value: number): string => value.toString(16).padStart(4, '0');
  return concatBytes(
    fromHex(`1234 ${hex(flags)} 0001 0000 0000 ${additional === '' ? '0000' : '0001'}`),
    ...labels,
    fromHex(`00 ${hex(type)} ${hex(options.class ?? 1)} ${additional}`),
  );
}

const [A, AAAA, TXT, ANY] = [1, 28, 16, 255];
const QNAME = '08 69707634 6f6e6c79 04 61727061 00';
/** Root, OPT, 1232 bytes; the flags hold DO (RFC 6891 §6.1). */
const EDNS = '00 0029 04d0 00000000 0000';
const EDNS_DO = '00 0029 04d0 00008000 0000';
const answer = (message: Uint8Array, prefix: string | null = WELL_KNOWN_PREFIX): string =>
  toHex(present(answerQuery(message, ZONE, prefix)));
const hex = (text: string): string => text.replaceAll(/\s/g, '');
/** Response code and number of answers. */
const outcome = (message: Uint8Array, prefix: string | null = WELL_KNOWN_PREFIX): number[] => {
  const bytes = present(answerQuery(message, ZONE, prefix));
  return [(bytes[3] ?? 0) & 15, ((bytes[6] ?? 0) << 8) | (bytes[7] ?? 0)];
};
const [NO_ERROR, NAME_ERROR, NOT_IMPLEMENTED, REFUSED] = [0, 3, 4, 5];

describe('answers, byte by byte', () => {
  it('RFC 7050: the AAAA of ipv4only.arpa are 192.0.0.170 and 171 in the prefix of the network', () => {
    expect(answer(query('ipv4only.arpa', AAAA))).toBe(
      hex(`1234 8180 0001 0002 0000 0000
           ${QNAME} 001c 0001
           ${QNAME} 001c 0001 0000012c 0010 0064ff9b 00000000 00000000 c00000aa
           ${QNAME} 001c 0001 0000012c 0010 0064ff9b 00000000 00000000 c00000ab`),
    );
  });

  it('its A are what the standard says; without a NAT64 there is no AAAA', () => {
    expect(answer(query('ipv4only.arpa', A))).toBe(
      hex(`1234 8180 0001 0002 0000 0000
           ${QNAME} 0001 0001
           ${QNAME} 0001 0001 0000012c 0004 c00000aa
           ${QNAME} 0001 0001 0000012c 0004 c00000ab`),
    );
    expect(answer(query('ipv4only.arpa', AAAA), null)).toBe(hex(`1234 8180 0001 0000 0000 0000 ${QNAME} 001c 0001`));
  });

  it('EDNS is answered with EDNS, without it there is none (RFC 6891 §6.1.1)', () => {
    expect(answer(query('ipv4only.arpa', AAAA, { additional: EDNS }), null)).toBe(
      hex(`1234 8180 0001 0000 0000 0001 ${QNAME} 001c 0001 ${EDNS}`),
    );
  });

  it('the case of the question is kept: some resolvers check it', () => {
    expect(answer(query('IPv4Only.ARPA', A))).toContain(toHex(utf8Bytes('IPv4Only')));
    expect(outcome(query('IPv4Only.ARPA', A))).toEqual([NO_ERROR, 2]);
  });
});

describe('DNS64 (RFC 6147)', () => {
  it('a name with an AAAA keeps it: nothing is made (§5.1.1)', () => {
    expect(answer(query('reference.icepath.example', AAAA))).toContain('0010' + '20010db800ff00000000000000000010');
    expect(outcome(query('reference.icepath.example', AAAA))).toEqual([NO_ERROR, 1]);
  });

  it('a name with A alone gets the AAAA that is made of it (§5.1.7), in the carrier’s own prefix too', () => {
    const asked = query('ipv4.reference.icepath.example', AAAA);
    expect(answer(asked)).toContain('0010' + '0064ff9b0000000000000000c000020a');
    expect(answer(asked, '2001:db8:64::')).toContain('0010' + '20010db80064000000000000c000020a');
  });

  it('A questions are answered as ever (§5.3)', () => {
    expect(outcome(query('reference.icepath.example', A))).toEqual([NO_ERROR, 1]);
    expect(outcome(query('six.icepath.example', A))).toEqual([NO_ERROR, 0]);
  });

  it('who checks signatures itself (CD and DO) gets nothing that was made; CD or DO alone changes nothing (§5.5)', () => {
    const asked = (flags: number, additional: string): number[] =>
      outcome(query('ipv4only.arpa', AAAA, { flags, additional }));
    expect(asked(0x0110, EDNS_DO)).toEqual([NO_ERROR, 0]);
    expect(asked(0x0110, EDNS)).toEqual([NO_ERROR, 2]);
    expect(asked(0x0100, EDNS_DO)).toEqual([NO_ERROR, 2]);
  });
});

describe('what there is not', () => {
  it('another type, a name above known ones: no data; another name: no such name', () => {
    expect(outcome(query('ipv4only.arpa', TXT))).toEqual([NO_ERROR, 0]);
    expect(outcome(query('ipv4only.arpa', ANY))).toEqual([NO_ERROR, 0]);
    expect(outcome(query('icepath.example', A))).toEqual([NO_ERROR, 0]);
    expect(outcome(query('', A))).toEqual([NO_ERROR, 0]);
    expect(outcome(query('nobody.example', AAAA))).toEqual([NAME_ERROR, 0]);
    expect(outcome(query('reference.icepath.example.example', A))).toEqual([NAME_ERROR, 0]);
    expect(outcome(query('constructor', A))).toEqual([NAME_ERROR, 0]);
  });

  it('another class is refused, another operation not implemented', () => {
    expect(outcome(query('ipv4only.arpa', A, { class: 3 }))).toEqual([REFUSED, 0]);
    expect(outcome(query('ipv4only.arpa', A, { flags: 0x2000 }))).toEqual([NOT_IMPLEMENTED, 0]);
  });
});

describe('hostile messages', () => {
  it('answers get no answer: two resolvers do not talk for ever', () => {
    expect(answerQuery(query('ipv4only.arpa', A, { flags: 0x8180 }), ZONE, null)).toBeNull();
    for (let length = 0; length < 12; length += 1) expect(answerQuery(new Uint8Array(length), ZONE, null)).toBeNull();
  });

  it.each([
    ['no question', '1234 0100 0000 0000 0000 0000'],
    ['two questions', `1234 0100 0002 0000 0000 0000 ${QNAME} 0001 0001 ${QNAME} 001c 0001`],
    ['a name that points at itself', '1234 0100 0001 0000 0000 0000 c00c 0001 0001'],
    ['a name that points forward', '1234 0100 0001 0000 0000 0000 c00e 00 0001 0001'],
    ['a name without an end', '1234 0100 0001 0000 0000 0000 08 69707634'],
    ['a label that is no text', '1234 0100 0001 0000 0000 0000 03 ff00fe 00 0001 0001'],
    ['65535 of everything', '1234 0100 ffff ffff ffff ffff'],
    [
      'a name of 256 characters',
      `1234 0100 0001 0000 0000 0000 ${'3f' + '61'.repeat(63)}${('3f' + '61'.repeat(63)).repeat(3)} 00 0001 0001`,
    ],
    ['too long', `1234 0100 0001 0000 0000 0000 ${QNAME} 0001 0001 ${'00'.repeat(1300)}`],
  ])('%s: format error, and nothing else', (_name, message) => {
    expect(answer(fromHex(message))).toBe(hex(`1234 8181 0000 0000 0000 0000`));
  });

  it('a compressed name in a later record is read (RFC 1035 §4.1.4)', () => {
    // TXT of the question's own name, beside it.
    const additional = 'c00c 0010 0001 00000000 0002 0161';
    expect(outcome(query('ipv4only.arpa', A, { additional }))).toEqual([NO_ERROR, 2]);
  });

  it('whatever comes, it neither throws nor answers with another id or more than 1232 bytes', () => {
    const good = query('ipv4.reference.icepath.example', AAAA, { additional: EDNS });
    const changed = fc
      .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 8 })
      .map((changes) => changes.reduce((bytes, [at, value]) => bytes.with(at, value), good));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 1500 }), changed), (message) => {
        const reply = answerQuery(message, ZONE, WELL_KNOWN_PREFIX);
        if (!reply) return;
        expect(equalBytes(reply.subarray(0, 2), message.subarray(0, 2))).toBe(true);
        expect(reply.length).toBeLessThanOrEqual(1232);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a resolver in a carrier', () => {
  const box = (): Resolver =>
    new Resolver({ addresses: { ipv6: '2001:db8:1::53' }, zone: ZONE, dns64Prefix: WELL_KNOWN_PREFIX });
  const HOST = '[2001:db8:1::2]:5000';

  it('answers its customers, from where they asked', () => {
    const [one] = through(box(), udp(HOST, '[2001:db8:1::53]:53', query('ipv4only.arpa', AAAA)), 'inside');
    const { packet, to } = present(one);
    expect([to, source(packet), destination(packet)]).toEqual(['inside', '2001:db8:1::53:53', '2001:db8:1::2:5000']);
    expect(toHex(packet.payload)).toBe(answer(query('ipv4only.arpa', AAAA)));
  });

  it('nobody else: what comes from outside, and what is for others, passes', () => {
    const asked = udp(HOST, '[2001:db8:1::53]:53', query('ipv4only.arpa', AAAA));
    expect(through(box(), asked, 'outside')).toEqual([{ packet: asked, to: 'inside' }]);
    const other = udp(HOST, '[2001:db8:ff::10]:53', 20);
    expect(through(box(), other, 'inside')).toEqual([{ packet: other, to: 'outside' }]);
  });

  it('is a host: pings are answered, other ports closed, nonsense is met with silence', () => {
    const told = (port: number, payload: Uint8Array) =>
      through(box(), udp(HOST, `[2001:db8:1::53]:${port}`, payload), 'inside');
    expect(told(53, new Uint8Array(5))).toEqual([]);
    expect(told(54, new Uint8Array(5))).toMatchObject([{ to: 'inside', packet: { icmp: { type: 1, code: 4 } } }]);
    const ping = through(box(), echoRequest('ipv6', '2001:db8:1::2', '2001:db8:1::53', 7), 'inside');
    expect(ping).toMatchObject([{ to: 'inside', packet: { icmp: { type: 129 } } }]);
  });
});

it('node’s own resolver asks it, on loopback, and understands what it says', async () => {
  const server = createSocket('udp4');
  server.on('message', (message, remote) => {
    const reply = answerQuery(message, ZONE, WELL_KNOWN_PREFIX);
    if (reply) server.send(reply, remote.port, remote.address);
  });
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const resolver = new NodeResolver({ timeout: 2000, tries: 2 });
    resolver.setServers([`127.0.0.1:${server.address().port}`]);
    expect(await resolver.resolve6('ipv4only.arpa')).toEqual(['64:ff9b::c000:aa', '64:ff9b::c000:ab']);
    expect(await resolver.resolve4('reference.icepath.example')).toEqual(['192.0.2.10']);
    expect(await resolver.resolve6('reference.icepath.example', { ttl: true })).toEqual([
      { address: '2001:db8:ff::10', ttl: 300 },
    ]);
    await expect(resolver.resolve4('six.icepath.example')).rejects.toMatchObject({ code: 'ENODATA' });
    await expect(resolver.resolve4('nobody.example')).rejects.toMatchObject({ code: 'ENOTFOUND' });
    await expect(resolver.resolveTxt('ipv4only.arpa')).rejects.toMatchObject({ code: 'ENODATA' });
  } finally {
    server.close();
  }
});

testWith(['tshark'], 'tshark reads the answers as they are meant', () => {
  const asked = [
    query('ipv4only.arpa', AAAA),
    query('nobody.example', A),
    query('ipv4.reference.icepath.example', AAAA, { additional: EDNS }),
  ];
  const replies = asked.map((message) => present(answerQuery(message, ZONE, WELL_KNOWN_PREFIX)));
  const fields = [
    'dns.flags.response',
    'dns.flags.rcode',
    'dns.count.answers',
    'dns.aaaa',
    'dns.rr.udp_payload_size',
    '_ws.malformed',
  ];
  expect(tsharkFieldsOf(replies, 53, ...fields)).toEqual([
    ['1', '0', '2', '64:ff9b::c000:aa,64:ff9b::c000:ab', '', ''],
    ['1', '3', '0', '', '', ''],
    ['1', '0', '1', '64:ff9b::c000:20a', '1232', ''],
  ]);
});
