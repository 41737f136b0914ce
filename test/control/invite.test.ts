import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IcepathError } from '../../src/base/errors.js';
import { formatInvite, parseInvite, type Invite } from '../../src/control/invite.js';

const invite: Invite = {
  addresses: [
    { host: '192.168.7.2', port: 7420 },
    { host: '2001:db8::7', port: 7420 },
    { host: 'desk.example.net', port: 443 },
  ],
  secret: Uint8Array.from({ length: 16 }, (_, index) => index),
  fingerprint: new Uint8Array(32).fill(0xff),
};
const line = formatInvite(invite);

function codeOf(text: string): string {
  try {
    parseInvite(text);
    return 'accepted';
  } catch (error) {
    if (!(error instanceof IcepathError)) throw error;
    expect(error.nextStep).toMatch(/\S/);
    return error.code;
  }
}

describe('the invite line', () => {
  test('has the documented form: base64url of the secret and of the fingerprint', () => {
    const [, , hosts, secret, fingerprint, check] = line.split('/');
    expect(hosts).toBe('192.168.7.2:7420,[2001:db8::7]:7420,desk.example.net:443');
    // RFC 4648: bytes 0…15, and 32 bytes of ones with four unused zero bits less two.
    expect(secret).toBe('AAECAwQFBgcICQoLDA0ODw');
    expect(fingerprint).toBe(`${'_'.repeat(42)}8`);
    expect(check).toMatch(/^[\w-]{8}$/);
  });

  test('needs no quoting in a shell but for the brackets of IPv6', () => {
    expect(line.replace(/[[\]]/g, '')).toMatch(/^[\w:/.,-]+$/);
  });

  test('comes back as it was, also pasted with quotes, spaces and the line breaks of a terminal', () => {
    expect(parseInvite(line)).toEqual(invite);
    expect(parseInvite(`  "${line}"\r\n`)).toEqual(invite);
    expect(parseInvite(`‘${line}’`)).toEqual(invite);
    expect(parseInvite(`${line.slice(0, 80)}\n  ${line.slice(80)}`)).toEqual(invite);
  });

  test('says "truncated" wherever the paste was cut', () => {
    for (let length = 1; length < line.length; length += 1) {
      expect(codeOf(line.slice(0, length)), line.slice(0, length)).toBe('invite-truncated');
    }
  });

  test('a changed character anywhere is noticed', () => {
    for (let index = 'icepath://'.length; index < line.length; index += 1) {
      const other = line[index] === 'x' ? 'y' : 'x';
      expect(codeOf(line.slice(0, index) + other + line.slice(index + 1))).toMatch(/^invite-(damaged|truncated)$/);
    }
  });

  test.each(['', '   ', 'http://example.net/', 'ICEPATH', '\0', 'x'.repeat(1_000_000)])('refuses %j', (text) => {
    expect(codeOf(text)).toBe('invite-malformed');
  });

  test('never repeats the secret in an error', () => {
    const damaged = line.replace('7420', '7421');
    expect(() => parseInvite(damaged)).toThrow(expect.not.stringContaining('AAECAwQFBgcICQoLDA0ODw') as Error);
  });

  test.each(['', '300.1.1.1', 'a b', '-x', 'a,b', 'a/b', 'x:y', '1.2.3'])('is not made for the host %j', (host) => {
    expect(() => formatInvite({ ...invite, addresses: [{ host, port: 1 }] })).toThrow(RangeError);
  });

  test('any invite survives, any text is judged without a crash', () => {
    const host = fc.oneof(fc.ipV4(), fc.constant('::1'), fc.constant('fd00::1:2'), fc.domain());
    const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    const address = fc.record({ host, port: fc.integer({ min: 1, max: 65535 }) });
    fc.assert(
      fc.property(
        fc.array(address, { minLength: 1, maxLength: 16 }),
        bytes(16),
        bytes(32),
        (addresses, secret, print) => {
          const given = { addresses, secret, fingerprint: print };
          const { secret: back, addresses: hosts } = parseInvite(formatInvite(given));
          expect([...back]).toEqual([...secret]);
          expect(hosts).toEqual(addresses.map(({ host: name, port }) => ({ host: name.toLowerCase(), port })));
        },
      ),
    );
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => codeOf(text) !== 'accepted'));
    fc.assert(fc.property(fc.string(), (text) => codeOf(`icepath://${text}`) !== 'accepted'));
  });
});
