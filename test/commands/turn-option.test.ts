import { describe, expect, test } from 'vitest';
import { IcepathError } from '../../src/base/errors.js';
import { parseTurn, resolveTurn } from '../../src/commands/turn-option.js';

function errorOf(run: () => unknown): IcepathError {
  try {
    run();
  } catch (error) {
    if (error instanceof IcepathError) return error;
  }
  throw new Error('nothing was thrown');
}

describe('--turn', () => {
  test.each([
    ['turn:alice:secret@turn.example.net:3479', 'turn.example.net', 3479, 'alice', 'secret'],
    ['turn:alice:secret@turn.example.net', 'turn.example.net', 3478, 'alice', 'secret'],
    ['turn:alice:secret@192.0.2.1:3478?transport=udp', '192.0.2.1', 3478, 'alice', 'secret'],
    ['turn:alice:secret@[2001:db8::1]:3478', '2001:db8::1', 3478, 'alice', 'secret'],
    // As a TURN REST API has it: the time until which it holds, and a name.
    ['turn:1700000000%3Aalice:a%40b%25@turn.example.net', 'turn.example.net', 3478, '1700000000:alice', 'a@b%'],
  ])('%s', (text, host, port, username, password) => {
    expect(parseTurn(text)).toEqual({ host, port, credentials: { username, password } });
  });

  test.each(['turn:turn.example.net', 'turn:turn.example.net:3478?transport=udp'])('%s has no user', (text) => {
    expect(parseTurn(text)).toEqual({ host: 'turn.example.net', port: 3478, credentials: null });
  });

  test.each([
    'turn.example.net',
    'stun:turn.example.net',
    'turns:alice:hunter2@turn.example.net',
    'turn:alice:hunter2@turn.example.net?transport=tcp',
    'turn:alice:hunter2@turn.example.net:0',
    'turn:alice:hunter2@turn.example.net:70000',
    'turn:alice:hunter2%@turn.example.net',
    'turn:alice:hunter2@',
    'turn:alice:hunter2@host name',
  ])('not %s, and the password is not repeated', (text) => {
    const { code, message, nextStep } = errorOf(() => parseTurn(text));
    expect(code).toBe('bad-option-value');
    expect(`${message} ${nextStep}`).not.toContain('hunter2');
  });
});

test('user and password may come by the environment, where ps does not show them', async () => {
  const env = { ICEPATH_TURN_USER: 'alice', ICEPATH_TURN_PASSWORD: 'secret' };
  const servers = await resolveTurn([parseTurn('turn:192.0.2.1'), parseTurn('turn:bob:other@192.0.2.2:1')], env);
  expect(servers).toEqual([
    {
      address: { family: 'ipv4', address: '192.0.2.1', port: 3478 },
      credentials: { username: 'alice', password: 'secret' },
    },
    { address: { family: 'ipv4', address: '192.0.2.2', port: 1 }, credentials: { username: 'bob', password: 'other' } },
  ]);
});

test('a server without either is said before anything begins', async () => {
  await expect(resolveTurn([parseTurn('turn:192.0.2.1')], {})).rejects.toMatchObject({ code: 'turn-user-missing' });
});
