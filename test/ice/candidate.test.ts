import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseTransportAddress } from '../../src/base/address.js';
import { candidatePriority, formatCandidate, localPreferenceOf, parseCandidate } from '../../src/ice/candidate.js';
import { LocalCandidates } from '../../src/ice/local-candidates.js';
import { EQUAL_POLICY, parsePolicy } from '../../src/ice/policy.js';
import { RemoteCandidates } from '../../src/ice/remote-candidates.js';
import type { Base, Candidate } from '../../src/ice/types.js';

describe('priority (RFC 8445 §5.1.2.1)', () => {
  it('is what the formula gives by hand', () => {
    // 126·2^24 + 65535·2^8 + 255: the host candidate of RFC 8445 §15; 100 and 110 for srflx and prflx, 0 for relay.
    expect(candidatePriority('host', 65535)).toBe(2130706431);
    expect(candidatePriority('srflx', 65535)).toBe(1694498815);
    expect(candidatePriority('prflx', 65535)).toBe(1862270975);
    expect(candidatePriority('relay', 65535)).toBe(16777215);
    expect(candidatePriority('host', 0)).toBe(126 * 16777216 + 255);
  });

  it('gives its local preference back, whatever the type', () => {
    for (const type of ['host', 'srflx', 'prflx', 'relay'] as const) {
      for (const preference of [0, 1, 4711, 65534, 65535]) {
        expect(localPreferenceOf(candidatePriority(type, preference))).toBe(preference);
      }
    }
  });
});

function base(id: string, address: string, kind: Base['kind'] = 'ethernet'): Base {
  return { id, address: parseTransportAddress(address), interface: id, kind, label: id };
}

describe('local candidates', () => {
  it('gives one base 65535, and every base a local preference of its own', () => {
    const locals = new LocalCandidates(EQUAL_POLICY);
    const hosts = Array.from({ length: 256 }, (_, index) => locals.add(base(`b${index}`, `10.0.0.1:${1000 + index}`)));
    expect(hosts[0]?.priority).toBe(2130706431);
    expect(new Set(hosts.map((host) => localPreferenceOf(host?.priority ?? 0))).size).toBe(256);
    expect(locals.add(base('one-too-many', '10.0.0.2:1'))).toBeNull();
  });

  it('puts the policy into the local preference, for far ends that know nothing of it', () => {
    const locals = new LocalCandidates(parsePolicy('cellular,wifi,ethernet'));
    const ethernet = locals.add(base('eth0', '10.0.0.1:1', 'ethernet'))?.priority ?? 0;
    const wifi = locals.add(base('wlan0', '10.0.0.2:1', 'wifi'))?.priority ?? 0;
    const cellular = locals.add(base('wwan0', '10.0.0.3:1', 'cellular'))?.priority ?? 0;
    expect(cellular).toBeGreaterThan(wifi);
    expect(wifi).toBeGreaterThan(ethernet);
  });

  it('shares a foundation by type, base address and server, and nothing else (§5.1.1.3)', () => {
    const locals = new LocalCandidates(EQUAL_POLICY);
    const [one, two, three] = ['10.0.0.1:1', '10.0.0.1:2', '10.0.0.2:1'].map((address, index) =>
      locals.add(base(`b${index}`, address)),
    );
    expect(one?.foundation).toBe(two?.foundation);
    expect(one?.foundation).not.toBe(three?.foundation);
    const [near, far] = ['198.18.0.1:3478', '198.18.0.2:3478'].map(parseTransportAddress);
    if (!near || !far) throw new Error('no servers');
    const reflexive = [near, near, far].map((server, index) =>
      locals.reflect('srflx', 'b0', parseTransportAddress(`203.0.113.1:${index + 1}`), server),
    );
    expect(reflexive[0]?.foundation).toBe(reflexive[1]?.foundation);
    expect(reflexive[0]?.foundation).not.toBe(reflexive[2]?.foundation);
    expect(reflexive[0]?.foundation).not.toBe(one?.foundation);
  });

  it('has no second candidate with one address and base (§5.1.3)', () => {
    const locals = new LocalCandidates(EQUAL_POLICY);
    locals.add(base('b0', '203.0.113.1:1'));
    expect(locals.reflect('srflx', 'b0', parseTransportAddress('203.0.113.1:1'), null)).toBeNull();
    expect(locals.reflect('srflx', 'b0', parseTransportAddress('203.0.113.9:1'), null)).not.toBeNull();
    expect(locals.reflect('prflx', 'b0', parseTransportAddress('203.0.113.9:1'), null)).toBeNull();
  });

  it('tells a reflexive address that a peer saw before the server did: peers were never told it', () => {
    const locals = new LocalCandidates(EQUAL_POLICY);
    locals.add(base('b0', '10.0.0.1:1'));
    const mapped = parseTransportAddress('203.0.113.9:1');
    expect(locals.reflect('prflx', 'b0', mapped, null)).toMatchObject({ type: 'prflx' });
    expect(locals.reflect('srflx', 'b0', mapped, parseTransportAddress('198.51.100.10:3478'))).toMatchObject({
      type: 'srflx',
    });
    expect(locals.all().filter(({ type }) => type !== 'host')).toHaveLength(1);
    expect(locals.reflect('prflx', 'b0', mapped, null)).toBeNull();
  });
});

describe('remote candidates', () => {
  const line = 'candidate:1 1 udp 2130706431 203.0.113.2 5000 typ host';
  const signalled = {
    ...read(line),
    interface: 'wwan0',
    kind: 'cellular',
    label: 'o2',
  } as const;

  it('knows an interface by the local preference, and does not where none fits', () => {
    const remotes = new RemoteCandidates();
    remotes.signal(signalled);
    const from = parseTransportAddress('192.0.2.1:7');
    expect(remotes.learn(from, candidatePriority('prflx', 65535))).toMatchObject({ interface: 'wwan0', label: 'o2' });
    expect(remotes.learn(parseTransportAddress('192.0.2.1:8'), candidatePriority('prflx', 1))).toMatchObject({
      interface: null,
      kind: null,
    });
  });

  it('takes a bounded number, and no address that cannot be sent to', () => {
    const remotes = new RemoteCandidates();
    for (let port = 1; port <= 1000; port += 1) {
      remotes.signal({ ...signalled, address: parseTransportAddress(`203.0.113.2:${port}`) });
      remotes.learn(parseTransportAddress(`203.0.113.3:${port}`), 1);
    }
    expect(remotes.all().length).toBeLessThanOrEqual(256);
    const fresh = new RemoteCandidates();
    for (const address of ['0.0.0.0', '224.0.0.1', 'localhost', '']) {
      fresh.signal({ ...signalled, address: { family: 'ipv4', address, port: 1 } });
    }
    expect(fresh.all()).toEqual([]);
  });
});

describe('the candidate attribute (RFC 8839 §5.1)', () => {
  it('reads the examples of the RFC', () => {
    expect(parseCandidate('a=candidate:1 1 UDP 2130706431 203.0.113.141 8998 typ host')).toEqual({
      type: 'host',
      address: { family: 'ipv4', address: '203.0.113.141', port: 8998 },
      foundation: '1',
      component: 1,
      priority: 2130706431,
      interface: null,
      kind: null,
      label: null,
    });
    expect(
      parseCandidate('a=candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998'),
    ).toMatchObject({ type: 'srflx', related: { address: '203.0.113.141', port: 8998 } });
  });

  it('reads what libjuice and libwebrtc write', () => {
    expect(parseCandidate('candidate:1 1 UDP 2122317823 192.168.1.5 54321 typ host')).not.toBeNull();
    const webrtc =
      'candidate:842163049 1 udp 1677729535 192.0.2.7 46154 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag EsAw network-id 1 network-cost 10';
    expect(parseCandidate(webrtc)).toMatchObject({ type: 'srflx', priority: 1677729535 });
    expect(parseCandidate('candidate:3 1 udp 2122262783 2001:DB8::1 60000 typ host')?.address.address).toBe(
      '2001:db8::1',
    );
  });

  it.each([
    ['TCP', 'candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active'],
    ['another component', 'candidate:1 2 udp 2130706430 192.0.2.1 5001 typ host'],
    ['an mDNS name', 'candidate:1 1 udp 2130706431 0f2d3c7e.local 5000 typ host'],
    ['port 0', 'candidate:1 1 udp 2130706431 192.0.2.1 0 typ host'],
    ['a port too large', 'candidate:1 1 udp 2130706431 192.0.2.1 70000 typ host'],
    ['priority 0', 'candidate:1 1 udp 0 192.0.2.1 5000 typ host'],
    ['a priority of 2^31', 'candidate:1 1 udp 2147483648 192.0.2.1 5000 typ host'],
    ['an unknown type', 'candidate:1 1 udp 1 192.0.2.1 5000 typ tunnel'],
    ['a foundation of 33 characters', `candidate:${'a'.repeat(33)} 1 udp 1 192.0.2.1 5000 typ host`],
    ['an octet of 256', 'candidate:1 1 udp 1 192.0.2.256 5000 typ host'],
    ['a second line', 'candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\na=ice-lite'],
    ['a megabyte', `candidate:1 1 udp 1 192.0.2.1 5000 typ host ${'x'.repeat(1 << 20)}`],
    ['nothing', ''],
  ])('has no use for %s', (_, line) => {
    expect(parseCandidate(line)).toBeNull();
  });

  it('writes what it reads', () => {
    for (const line of [
      'candidate:1 1 udp 2130706431 203.0.113.141 8998 typ host',
      'candidate:2 1 udp 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998',
      'candidate:3 1 udp 1694498815 2001:db8::3 45664 typ prflx raddr 2001:db8::4 rport 8998',
    ]) {
      expect(formatCandidate(read(line))).toBe(line);
    }
  });

  it('never throws', () => {
    const word = fc.oneof(
      fc.string(),
      fc.nat().map(String),
      fc.constantFrom(
        'candidate:1',
        '1',
        'udp',
        '2130706431',
        '192.0.2.1',
        '::1',
        '5000',
        'typ',
        'host',
        'raddr',
        'rport',
      ),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 14 }), (words) => {
        const candidate = parseCandidate(words.join(' '));
        if (candidate) expect(parseCandidate(formatCandidate(candidate))).toEqual(candidate);
      }),
      { numRuns: 3000 },
    );
  });
});

function read(line: string): Candidate {
  const candidate = parseCandidate(line);
  if (!candidate) throw new Error(`not read: ${line}`);
  return candidate;
}
