import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { formatInvite, parseInvite, type Invite } from '../../src/control/invite.js';
import { parseRendezvousUrl, roomOf } from '../../src/control/rendezvous.js';

const invite: Invite = {
  addresses: [],
  rendezvous: 'ws://198.51.100.10:4810/',
  secret: new Uint8Array(16).fill(5),
  fingerprint: new Uint8Array(32).fill(6),
};

describe('the invite', () => {
  test.each([
    'ws://198.51.100.10:4810/',
    'wss://meet.example.net/',
    'wss://example.net/icepath',
    'ws://[2001:db8::1]:4810/',
  ])('names the rendezvous %s, alone or beside addresses', (rendezvous) => {
    const alone = { ...invite, rendezvous };
    expect(parseInvite(formatInvite(alone))).toEqual(alone);
    const beside = { ...alone, addresses: [{ host: '192.0.2.7', port: 4800 }] };
    expect(parseInvite(formatInvite(beside))).toEqual(beside);
    expect(formatInvite(alone)).toMatch(/^[A-Za-z0-9:/%._-]+$/);
  });

  test('without any place is none', () => {
    const { secret, fingerprint } = invite;
    expect(() => formatInvite({ addresses: [], secret, fingerprint })).toThrow(RangeError);
  });
});

test.each([
  'http://example.net/',
  'ws://',
  'ws://user:secret@example.net/',
  'ws://example.net/?room=1',
  'ws://example.net/#x',
  'ws://example.net:0/',
  'ws://exa mple.net/',
  `ws://example.net/${'x'.repeat(300)}`,
  'example.net:4810',
])('%s is no URL of a rendezvous', (url) => {
  expect(parseRendezvousUrl(url)).toBeNull();
});

test('the name of a room is HKDF-SHA256 of the secret, as RFC 5869 writes it, and one bit of the secret changes it', () => {
  const secret = Buffer.alloc(16, 5);
  const extracted = createHmac('sha256', Buffer.alloc(32)).update(secret).digest();
  const expanded = createHmac('sha256', extracted).update('icepath rendezvous room\u0001').digest();
  expect(roomOf(secret)).toBe(expanded.subarray(0, 16).toString('base64url'));
  secret[0] = 4;
  expect(roomOf(secret)).not.toBe(expanded.subarray(0, 16).toString('base64url'));
});
