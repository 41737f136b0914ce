import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { concatBytes, fromHex } from '../../../src/base/bytes.js';
import { SeededRandom } from '../../../src/base/random.js';
import { AES_128_GCM, SUITES } from '../../../src/quic/crypto/suites.js';
import { extension, message, uint16, uint8, vector16, vector8 } from '../../../src/quic/tls/builder.js';
import { type Identity, pinned } from '../../../src/quic/tls/certificates.js';
import { type ClientOptions, TlsClient } from '../../../src/quic/tls/client.js';
import type { GroupName } from '../../../src/quic/tls/codes.js';
import type { Handshake, Level, TlsOutput } from '../../../src/quic/tls/handshake.js';
import { type ServerOptions, TlsServer } from '../../../src/quic/tls/server.js';
import { certificate, identityOf, type Issued } from '../../support/quic-certificates.js';

let own: Record<'client' | 'server', Issued>;
let identities: Record<'client' | 'server', Identity>;
let prints: Record<'client' | 'server', Uint8Array>;

beforeAll(async () => {
  own = { client: await certificate('client', 'ed25519'), server: await certificate('server', 'p256') };
  identities = { client: identityOf(own.client), server: identityOf(own.server) };
  const print = async ({ der }: Issued) => new Uint8Array(await crypto.subtle.digest('SHA-256', Buffer.from(der)));
  prints = { client: await print(own.client), server: await print(own.server) };
});

const PARAMETERS = { client: fromHex('0f00'), server: fromHex('0f01aa') };

function client(options: Partial<ClientOptions> = {}): TlsClient {
  return new TlsClient({
    random: new SeededRandom('client'),
    alpn: ['icepath', 'other'],
    transportParameters: PARAMETERS.client,
    check: pinned([prints.server]),
    identity: identities.client,
    serverName: null,
    ...options,
  });
}

function server(options: Partial<ServerOptions> = {}): TlsServer {
  return new TlsServer({
    random: new SeededRandom('server'),
    alpn: ['icepath'],
    transportParameters: PARAMETERS.server,
    identity: identities.server,
    check: pinned([prints.client]),
    ...options,
  });
}

type Sent = Extract<TlsOutput, { type: 'send' }>;
/** What becomes of a message on its way; `index` counts all messages. */
type Way = (sent: Sent, from: 'client' | 'server', index: number) => readonly Sent[];

class Pair {
  readonly outputs: Record<'client' | 'server', TlsOutput[]> = { client: [], server: [] };
  readonly ends: Record<'client' | 'server', Handshake>;
  messages = 0;

  constructor(one: TlsClient, two: TlsServer, way: Way = (sent) => [sent]) {
    this.ends = { client: one, server: two };
    one.handle({ type: 'start' });
    for (let moved = true; moved;) {
      moved = false;
      for (const from of ['client', 'server'] as const) {
        for (let output = this.ends[from].poll(); output !== undefined; output = this.ends[from].poll()) {
          moved = true;
          this.outputs[from].push(output);
          if (output.type !== 'send') continue;
          const to = from === 'client' ? two : one;
          for (const { level, data } of way(output, from, this.messages)) to.handle({ type: 'crypto', level, data });
          this.messages += 1;
        }
      }
    }
  }

  find<T extends TlsOutput['type']>(role: 'client' | 'server', type: T): Extract<TlsOutput, { type: T }> | undefined {
    return this.outputs[role].find((output) => output.type === type) as Extract<TlsOutput, { type: T }> | undefined;
  }

  error(role: 'client' | 'server'): number | undefined {
    return this.find(role, 'failed')?.error.code;
  }

  /** Something more for one end. */
  feed(role: 'client' | 'server', level: Level, data: Uint8Array): number | undefined {
    this.ends[role].handle({ type: 'crypto', level, data });
    for (let output = this.ends[role].poll(); output !== undefined; output = this.ends[role].poll()) {
      this.outputs[role].push(output);
    }
    return this.error(role);
  }
}

describe('both ends are ours', () => {
  const groups: GroupName[][] = [['x25519'], ['secp256r1']];
  const cases = SUITES.flatMap((suite) => groups.map((group) => ({ suite, group })));

  test.each(cases)('$suite.name, $group: the same secrets, crosswise', ({ suite, group }) => {
    const pair = new Pair(client({ suites: [suite] }), server({ groups: group }));
    expect(pair.find('client', 'complete')).toMatchObject({ alpn: 'icepath', suite, group: group[0] });
    expect(pair.find('server', 'complete')).toMatchObject({ alpn: 'icepath', suite, group: group[0] });
    for (const level of ['handshake', '1-rtt'] as const) {
      const keysOf = (role: 'client' | 'server') =>
        pair.outputs[role].find((output) => output.type === 'keys' && output.level === level) as Extract<
          TlsOutput,
          { type: 'keys' }
        >;
      expect(keysOf('client').read).toEqual(keysOf('server').write);
      expect(keysOf('client').write).toEqual(keysOf('server').read);
      expect(keysOf('client').read).not.toEqual(keysOf('client').write);
    }
    expect(pair.find('client', 'parameters')?.encoded).toEqual(PARAMETERS.server);
    expect(pair.find('server', 'parameters')?.encoded).toEqual(PARAMETERS.client);
    expect(pair.find('client', 'complete')?.exporterSecret).toEqual(pair.find('server', 'complete')?.exporterSecret);
    expect(pair.find('client', 'complete')?.peerChain).toEqual([own.server.der]);
    expect(pair.find('server', 'complete')?.peerChain).toEqual([own.client.der]);
  });

  test('bytes may come one at a time', () => {
    const pair = new Pair(client(), server(), (sent) =>
      Array.from(sent.data, (byte) => ({ ...sent, data: Uint8Array.of(byte) })),
    );
    expect(pair.find('server', 'complete')).toBeDefined();
  });

  test('or all messages of a level together', () => {
    const held: Sent[] = [];
    const pair = new Pair(client(), server(), (sent, from) => {
      if (from === 'client' || sent.level === 'initial') return [sent];
      held.push(sent);
      const isLast = sent.data[0] === 20;
      return isLast ? [{ ...sent, data: concatBytes(...held.map(({ data }) => data)) }] : [];
    });
    expect(pair.find('server', 'complete')).toBeDefined();
  });

  test('keylog lines: the five of SSLKEYLOGFILE, the same at both ends', () => {
    const pair = new Pair(client(), server());
    const lines = (role: 'client' | 'server') =>
      pair.outputs[role].flatMap((output) => (output.type === 'keylog' ? [output.line] : []));
    expect(lines('client')).toEqual(lines('server'));
    expect(lines('client').map((line) => line.split(' ')[0])).toEqual([
      'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
      'SERVER_HANDSHAKE_TRAFFIC_SECRET',
      'CLIENT_TRAFFIC_SECRET_0',
      'SERVER_TRAFFIC_SECRET_0',
      'EXPORTER_SECRET',
    ]);
    for (const line of lines('client')) expect(line).toMatch(/^[A-Z_0-9]+ [0-9a-f]{64} [0-9a-f]{64}$/);
  });
});

describe('fails closed', () => {
  test('whatever bit of whatever message is turned: who received it does not complete', () => {
    const retrying = () => server({ groups: ['secp256r1'] });
    const total = new Pair(client(), retrying()).messages;
    expect(total).toBe(12);
    fc.assert(
      fc.property(fc.nat({ max: total - 1 }), fc.nat(), fc.nat({ max: 7 }), (which, at, bit) => {
        let receiver: 'client' | 'server' = 'client';
        const pair = new Pair(client(), retrying(), (sent, from, index) => {
          if (index !== which) return [sent];
          receiver = from === 'client' ? 'server' : 'client';
          const data = sent.data.slice();
          data[at % data.length] = (data[at % data.length] ?? 0) ^ (1 << bit);
          return [{ ...sent, data }];
        });
        expect(pair.find(receiver, 'complete')).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });

  test('whatever message is left out, comes twice, or changes places: the handshake does not complete', () => {
    const total = new Pair(client(), server()).messages;
    for (let which = 0; which < total; which += 1) {
      const without = new Pair(client(), server(), (sent, _, index) => (index === which ? [] : [sent]));
      expect(without.find('server', 'complete')).toBeUndefined();
      let held: Sent | null = null;
      const swapped = new Pair(client(), server(), (sent, _, index) => {
        if (index === which) {
          held = sent;
          return [];
        }
        const both = held === null ? [sent] : [sent, held];
        held = null;
        return both;
      });
      expect(swapped.find('server', 'complete')).toBeUndefined();
      const twice = new Pair(client(), server(), (sent, _, index) => (index === which ? [sent, sent] : [sent]));
      expect(twice.error('client') ?? twice.error('server')).toBeDefined();
    }
  });

  test('anything at all in place of the first message', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.constantFrom(1, 2), (bytes, type) => {
        const raw = message(type, bytes);
        const one = client();
        one.handle({ type: 'start' });
        for (const machine of [one, server()]) machine.handle({ type: 'crypto', level: 'initial', data: raw });
      }),
      { numRuns: 200 },
    );
  });

  test('nothing in common', () => {
    expect(
      new Pair(client({ suites: [SUITES[0] ?? AES_128_GCM] }), server({ suites: SUITES.slice(1) })).error('server'),
    ).toBe(0x128);
    expect(new Pair(client({ groups: ['x25519'] }), server({ groups: ['secp256r1'] })).error('server')).toBe(0x128);
    expect(new Pair(client({ alpn: ['h3'] }), server()).error('server')).toBe(0x178);
  });

  test('an end without transport parameters (RFC 9001 §8.2)', () => {
    expect(new Pair(client({ transportParameters: null }), server()).error('server')).toBe(0x16d);
    expect(new Pair(client(), server({ transportParameters: null })).error('client')).toBe(0x16d);
  });

  test('another certificate, none, and one whose key the end does not have', () => {
    const none = [new Uint8Array(32)];
    expect(new Pair(client({ check: pinned(none) }), server()).error('client')).toBe(0x12a);
    expect(new Pair(client(), server({ check: pinned(none) })).error('server')).toBe(0x12a);
    expect(new Pair(client({ identity: null }), server()).error('server')).toBe(0x174);
    const stolen = { ...identities.client, chain: [own.server.der] };
    expect(new Pair(client(), server({ identity: stolen })).error('client')).toBe(0x12f);
    const forged = { ...identities.server, sign: () => new Uint8Array(70) };
    expect(new Pair(client(), server({ identity: forged })).error('client')).toBe(0x133);
  });

  test('a KeyUpdate (RFC 9001 §6), and handshake messages when it is over', () => {
    const keyUpdate = message(24, uint8(0));
    expect(new Pair(client(), server()).feed('client', '1-rtt', keyUpdate)).toBe(0x10a);
    expect(new Pair(client(), server()).feed('server', '1-rtt', keyUpdate)).toBe(0x10a);
  });

  test('bytes at a level that is over, or not yet there (RFC 9001 §4.1.3)', () => {
    expect(new Pair(client(), server()).feed('client', 'handshake', uint8(0))).toBe(0x0a);
    const early = server();
    early.handle({ type: 'crypto', level: 'handshake', data: uint8(0) });
    expect(early.poll()).toMatchObject({ type: 'failed', error: { code: 0x10a } });
  });

  test('a message that claims 16 MB is not waited for', () => {
    const machine = server();
    machine.handle({ type: 'crypto', level: 'initial', data: fromHex('01ffffff') });
    expect(machine.poll()).toMatchObject({ type: 'failed', error: { code: 0x132 } });
  });

  test('bytes behind the last message of a level (RFC 8446 §5.1)', () => {
    const pair = new Pair(client(), server(), (sent, from) =>
      from === 'server' && sent.level === 'initial' ? [{ ...sent, data: concatBytes(sent.data, uint8(8)) }] : [sent],
    );
    expect(pair.error('client')).toBe(0x10a);
  });
});

describe('tickets (RFC 9001 §4.6.1)', () => {
  const ticket = (...extensions: Uint8Array[]) =>
    message(4, new Uint8Array(8), vector8(uint8(1)), vector16(uint8(1, 2, 3)), vector16(...extensions));
  const early = (limit: string) => extension(42, fromHex(limit));

  test('are passed over', () => {
    const pair = new Pair(client(), server());
    expect(pair.feed('client', '1-rtt', concatBytes(ticket(), ticket(early('ffffffff'))))).toBeUndefined();
  });

  test('with a limit to early data, or cut off, end the connection', () => {
    expect(new Pair(client(), server()).feed('client', '1-rtt', ticket(early('00004000')))).toBe(0x0a);
    expect(new Pair(client(), server()).feed('client', '1-rtt', message(4, uint16(1)))).toBe(0x132);
  });

  test('are not for servers', () => {
    expect(new Pair(client(), server()).feed('server', '1-rtt', ticket())).toBe(0x10a);
  });
});

describe('a ClientHello made by hand', () => {
  const extensions = [
    extension(10, vector16(uint16(0x001d))),
    extension(13, vector16(uint16(0x0403))),
    extension(16, vector16(vector8(new TextEncoder().encode('icepath')))),
    extension(43, vector8(uint16(0x0304))),
    extension(51, vector16(uint16(0x001d), vector16(fromHex(`09${'00'.repeat(31)}`)))),
    extension(57, fromHex('0f00')),
  ];
  const hello = (changes: {
    version?: number;
    sessionId?: Uint8Array;
    compression?: Uint8Array;
    list?: Uint8Array[];
  }) =>
    message(
      1,
      ...[uint16(changes.version ?? 0x0303), new Uint8Array(32), vector8(changes.sessionId ?? new Uint8Array())],
      ...[
        vector16(uint16(0x1301)),
        vector8(changes.compression ?? uint8(0)),
        vector16(...(changes.list ?? extensions)),
      ],
    );
  const answer = (data: Uint8Array) => {
    const machine = server();
    machine.handle({ type: 'crypto', level: 'initial', data });
    for (let output = machine.poll(); output !== undefined; output = machine.poll()) {
      if (output.type === 'failed') return output.error.code;
    }
    return undefined;
  };
  const without = (index: number) => extensions.filter((_, at) => at !== index);

  test('is good as it is, also with extensions nobody knows', () => {
    expect(answer(hello({}))).toBeUndefined();
    expect(answer(hello({ list: [...extensions, extension(0x0a0a, uint8(1))] }))).toBeUndefined();
  });

  test.each<[string, Parameters<typeof hello>[0], number]>([
    ['a legacy version of TLS 1.0', { version: 0x0301 }, 0x146],
    ['compatibility mode (RFC 9001 §8.4)', { sessionId: new Uint8Array(32) }, 0x0a],
    ['compression', { compression: uint8(1, 0) }, 0x12f],
    ['no groups', { list: without(0) }, 0x16d],
    ['no signature schemes', { list: without(1) }, 0x16d],
    ['no protocol', { list: without(2) }, 0x178],
    ['no version', { list: without(3) }, 0x146],
    ['no key share', { list: without(4) }, 0x16d],
    ['an extension twice', { list: [...extensions, extension(16, uint8(0))] }, 0x12f],
    ['pre_shared_key before others', { list: [extension(41, uint8(0)), ...extensions] }, 0x12f],
    [
      'a share of a group that it does not offer',
      { list: [...without(4), extension(51, vector16(uint16(0x0017), vector16(new Uint8Array(65))))] },
      0x12f,
    ],
    [
      'a share of zeros',
      { list: [...without(4), extension(51, vector16(uint16(0x001d), vector16(new Uint8Array(32))))] },
      0x12f,
    ],
    [
      'two shares for one group',
      {
        list: [
          ...without(4),
          extension(51, vector16(...[1, 2].flatMap(() => [uint16(0x001d), vector16(new Uint8Array(32).fill(9))]))),
        ],
      },
      0x12f,
    ],
  ])('%s', (_, changes, code) => {
    expect(answer(hello(changes))).toBe(code);
  });
});
