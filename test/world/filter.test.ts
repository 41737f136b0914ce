import { describe, expect, it } from 'vitest';
import { Filter, type FilterAction, type Predicate } from '../../src/world/filter.js';
import { isIcmpError } from '../../src/world/packet.js';
import { across, present, through, udp } from './packets.js';

const [HOST, PEER, SERVER] = ['10.0.0.2:5000', '203.0.113.1:6000', '192.0.2.10:3478'];
/** A Binding request's header (RFC 8489 §5) and the same with 0x40 set, with another cookie. */
const STUN = Uint8Array.of(0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
const STUN_40 = STUN.with(0, 0x40);
const STUN_COOKIE = STUN.with(4, 0xff);
const COOKIE: Predicate = { bytes: [{ offset: 4, value: [0x21, 0x12, 0xa4, 0x42] }] };
const TWO_BITS: Predicate = { bytes: [{ offset: 0, value: [0x00], mask: [0xc0] }] };
const drop: FilterAction = { type: 'drop' };

const filter = (match: Predicate, action: FilterAction = drop): Filter => new Filter([{ match, action }]);
const passes = (box: Filter, payload: Uint8Array | number, to = PEER, now = 0): boolean =>
  across(box, udp(HOST, to, payload), 'inside', now) !== null;

describe('what a filter takes', () => {
  it.each([
    ['the cookie', COOKIE, [false, false, true]],
    ['the top two bits', TWO_BITS, [false, true, false]],
  ] as const)('by %s (facts.md): plain, 0x40, cookie pass: %j', (_name, match, expected) => {
    expect([STUN, STUN_40, STUN_COOKIE].map((payload) => passes(filter(match), payload))).toEqual(expected);
  });

  it('a payload that is too short does not match', () => {
    expect(passes(filter(COOKIE), STUN.subarray(0, 7))).toBe(true);
  });

  it('addresses except a list: peers, in both directions', () => {
    const box = filter({ remoteExcept: ['192.0.2.0/24'] });
    expect([passes(box, 8, SERVER), passes(box, 8, PEER)]).toEqual([true, false]);
    expect(across(box, udp(SERVER, HOST), 'outside')).not.toBeNull();
    expect(across(box, udp(PEER, HOST), 'outside')).toBeNull();
  });

  it('one direction only', () => {
    const box = filter({ heading: 'out' });
    expect(passes(box, 8)).toBe(false);
    expect(across(box, udp(PEER, HOST), 'outside')).not.toBeNull();
  });

  it('remote ports except a list', () => {
    const box = filter({ remotePortsExcept: [53, 443, 3478] });
    expect([passes(box, 8, SERVER), passes(box, 8, PEER)]).toEqual([true, false]);
    expect(across(box, udp(SERVER, HOST), 'outside')).not.toBeNull();
  });

  it('size: more than 1000 bytes of payload', () => {
    const box = filter({ largerThanBytes: 1000 });
    expect([passes(box, 1000), passes(box, 1001)]).toEqual([true, false]);
  });

  it('a family; UDP alone unless told', () => {
    const box = filter({ family: 'ipv6' });
    expect(passes(box, 8)).toBe(true);
    expect(across(box, udp('[2001:db8::1]:1', '[2001:db8::2]:2'), 'inside')).toBeNull();
    expect(across(filter({}), { ...udp(HOST, PEER), protocol: 'tcp' }, 'inside')).not.toBeNull();
  });

  it('the first packet of a flow, whichever direction it has', () => {
    const box = filter({ ...COOKIE, firstOfFlow: true });
    expect(passes(box, 8)).toBe(true);
    expect(passes(box, STUN)).toBe(true);
    expect(passes(box, STUN, SERVER)).toBe(false);
    expect(across(box, udp('203.0.113.9:1', HOST), 'outside')).not.toBeNull();
    expect(passes(box, STUN, '203.0.113.9:1')).toBe(true);
  });

  it('the first rule that matches decides', () => {
    const box = new Filter([
      { match: { remotePorts: [3478] }, action: { type: 'rewrite', offset: 0, bytes: Uint8Array.of(9) } },
      { match: {}, action: drop },
    ]);
    expect([passes(box, 8, SERVER), passes(box, 8, PEER)]).toEqual([true, false]);
    expect(box.hits).toEqual([1, 1]);
  });
});

describe('what a filter does', () => {
  it('reject: type, code and sender, quoting what was sent', () => {
    const box = filter({}, { type: 'reject', error: 'admin-prohibited', from: '10.0.0.1' });
    const [{ packet, to } = { packet: null, to: null }] = through(box, udp(HOST, PEER, STUN), 'inside');
    expect(to).toBe('inside');
    expect(packet).toMatchObject({ source: '10.0.0.1', destination: '10.0.0.2', icmp: { type: 3, code: 13 } });
    expect(packet && isIcmpError(packet) && packet.icmp.quoted.payload).toEqual(STUN);
  });

  it('rewrite: these bytes, the others as they were, the sender’s own copy untouched', () => {
    const box = filter({}, { type: 'rewrite', offset: 2, bytes: Uint8Array.of(7, 7) });
    const sent = Uint8Array.of(1, 2, 3, 4, 5);
    expect(present(across(box, udp(HOST, PEER, sent), 'inside')).payload).toEqual(Uint8Array.of(1, 2, 7, 7, 5));
    expect(sent).toEqual(Uint8Array.of(1, 2, 3, 4, 5));
  });

  it('translate: an ALG puts the outside address where the inside one stood, and back; ports and all else stay', () => {
    const box = filter({}, { type: 'translate', outside: '198.51.100.2' });
    // "a" 10.0.0.2 "b" 10.0.0.2, and the same with 198.51.100.2.
    const [inside, outside] = [
      Uint8Array.of(97, 10, 0, 0, 2, 98, 10, 0, 0, 2),
      Uint8Array.of(97, 198, 51, 100, 2, 98, 198, 51, 100, 2),
    ];
    expect(present(across(box, udp(HOST, PEER, inside), 'inside')).payload).toEqual(outside);
    expect(present(across(box, udp(PEER, HOST, outside), 'outside')).payload).toEqual(inside);
    expect(present(across(box, udp(HOST, PEER, STUN), 'inside')).payload).toEqual(STUN);
    expect(inside[1]).toBe(10);
    const six = udp('[2001:db8::1]:1', '[2001:db8::2]:2', inside);
    expect(present(across(box, six, 'inside')).payload).toEqual(inside);
  });

  it('throttle: of 1000 a second, 100 a second pass', () => {
    const box = filter({}, { type: 'throttle', perSecond: 100 });
    let passed = 0;
    for (let now = 0; now < 10_000; now += 1) passed += passes(box, 8, PEER, now) ? 1 : 0;
    // 100 a second for 10 s, and the tenth of a second that may come at once.
    expect(passed).toBeGreaterThanOrEqual(1000);
    expect(passed).toBeLessThanOrEqual(1010);
  });

  it('residual: a trigger blocks its tuple, both ways, for its time and no other tuple', () => {
    const box = filter(COOKIE, { type: 'residual', forMs: 120_000 });
    expect(passes(box, 8, PEER, 0)).toBe(true);
    expect(passes(box, STUN, PEER, 1)).toBe(false);
    expect(passes(box, 8, PEER, 120_000)).toBe(false);
    expect(across(box, udp(PEER, HOST), 'outside', 120_000)).toBeNull();
    expect(passes(box, 8, SERVER, 2)).toBe(true);
    expect(passes(box, 8, PEER, 120_001)).toBe(true);
  });
});
