import { describe, expect, it } from 'vitest';
import { Firewall } from '../../src/world/firewall.js';
import { icmpError } from '../../src/world/packet.js';
import { across, present, through, udp } from './packets.js';

const HOST = '[2001:db8:1::2]:5000';
const [A, A2, B] = ['[2001:db8:ff::10]:3478', '[2001:db8:ff::10]:3479', '[2001:db8:ff::11]:3478'];

describe('a stateful firewall', () => {
  it.each([
    ['eif', [true, true, true]],
    ['adf', [true, true, false]],
    ['apdf', [true, false, false]],
  ] as const)('%s: what went out lets in the contacted end, its other port, another address: %j', (filtering, lets) => {
    const box = new Firewall({ families: ['ipv6'], filtering });
    expect(across(box, udp(A, HOST), 'outside')).toBeNull();
    expect(across(box, udp(HOST, A), 'inside')).not.toBeNull();
    expect([A, A2, B].map((from) => across(box, udp(from, HOST), 'outside') !== null)).toEqual(lets);
  });

  it('forgets after its time without traffic', () => {
    const box = new Firewall({ families: ['ipv6'], lifetimeMs: 120_000 });
    across(box, udp(HOST, A), 'inside', 0);
    expect(across(box, udp(A, HOST), 'outside', 119_000)).not.toBeNull();
    expect(across(box, udp(A, HOST), 'outside', 238_000)).not.toBeNull();
    expect(across(box, udp(A, HOST), 'outside', 358_001)).toBeNull();
  });

  it('leaves the other family alone', () => {
    const box = new Firewall({ families: ['ipv6'] });
    expect(across(box, udp('192.0.2.1:1', '198.51.100.2:2'), 'outside')).not.toBeNull();
  });

  it('lets errors in about what went out, and no others', () => {
    const box = new Firewall({ families: ['ipv6'] });
    const out = udp(HOST, A);
    const error = present(icmpError(out, '2001:db8:ff::1', 'no-route'));
    expect(across(box, error, 'outside')).toBeNull();
    across(box, out, 'inside');
    expect(across(box, error, 'outside')).not.toBeNull();
  });

  it('says so where it rejects: RFC 4443 type 1, code 1', () => {
    const box = new Firewall({ families: ['ipv6'], rejectFrom: '2001:db8:1::1' });
    const [answer] = through(box, udp(A, HOST), 'outside');
    expect(answer).toMatchObject({ to: 'outside', packet: { source: '2001:db8:1::1', icmp: { type: 1, code: 1 } } });
  });
});
