import { describe, expect, test } from 'vitest';
import { IcepathError } from '../../src/base/errors.js';
import { runCommandLine } from '../../src/commands/command-line.js';
import { defineCommand } from '../../src/commands/command.js';
import * as options from '../../src/commands/options.js';
import { collectIo } from './collect.js';

/** As the contract has it, with a body that shows what it was given. */
const client = defineCommand({
  usage: 'client <invite>',
  summary: 'try every path to the host that printed INVITE',
  examples: [['icepath client icepath://…', 'all pairs of interfaces']],
  options: {
    invite: options.argument('INVITE', 'the line that icepath server printed'),
    reference: options.referenceOption,
    wanted: options.wantedOption,
    prefer: options.preferOption,
    'first-only': options.firstOnlyOption,
    pin: options.pinOption,
    json: options.jsonOption,
  },
  run(given, { stdout }) {
    if (given.invite === 'unreachable') {
      throw new IcepathError('peer-gone', 'nobody answers', 'Start icepath server on the other host.');
    }
    if (given.invite === 'bug') throw new TypeError('x is not a function');
    stdout.write(JSON.stringify(given));
    return Promise.resolve(4);
  },
});

async function run(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = collectIo();
  const code = await runCommandLine(argv, [client], io);
  return { code, out: io.out(), err: io.err() };
}

test('the command gets its options parsed, and its exit code is the exit code', async () => {
  const argv = ['client', 'icepath://x', '--reference', 'a.example:1', '--reference', '[2001:db8::1]:2', '--pin=off'];
  const { code, out, err } = await run(...argv, '--wanted', 'wwan0↔usb0', '--first-only');
  expect({ code, err }).toEqual({ code: 4, err: '' });
  expect(JSON.parse(out)).toEqual({
    invite: 'icepath://x',
    reference: [
      { host: 'a.example', port: 1 },
      { host: '2001:db8::1', port: 2 },
    ],
    wanted: [{ client: 'wwan0', server: 'usb0' }],
    'first-only': true,
    pin: 'off',
    json: false,
  });
});

test('options may stand before the argument', async () => {
  const { code, out } = await run('client', '--reference', 'a.example:1', 'icepath://x');
  expect(code).toBe(4);
  expect(JSON.parse(out)).toMatchObject({ invite: 'icepath://x', reference: [{ host: 'a.example', port: 1 }] });
});

describe('usage errors exit 2, print nothing on stdout, and name the next step', () => {
  test.each([
    [[], /no command/, /icepath --help/],
    [['clinet'], /clinet/, /icepath --help/],
    [['client'], /icepath client <invite>/, /icepath client --help/],
    [['client', 'a', 'b'], /b/, /icepath client --help/],
    [['client', 'a', '--colour'], /colour/, /icepath client --help/],
    [['client', 'a', '--pin'], /pin/, /icepath client --help/],
    [['client', 'a', '--pin', 'maybe'], /--pin takes auto or off, not "maybe"/, /--pin auto/],
    [['client', 'a', '--pin', 'off', '--pin', 'auto'], /--pin is given 2 times/, /once/],
    [['client', 'a', '--reference', 'nowhere'], /--reference.*"nowhere"/, /--reference stun\.example\.net:3478/],
    [['client', 'a', '--no-json'], /no-json/, /icepath client --help/],
  ])('icepath %j', async (argv, what, nextStep) => {
    const { code, out, err } = await run(...argv);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    const [first = '', second = '', ...rest] = err.split('\n');
    expect(first).toMatch(/^icepath: /);
    expect(first).toMatch(what);
    expect(second).toMatch(nextStep);
    expect(second).toMatch(/^ {2}→ .* \[[a-z-]+\]$/);
    expect(rest).toEqual(['']);
  });
});

test('what could not run exits 6 with message, next step and code', async () => {
  const { code, out, err } = await run('client', 'unreachable');
  expect({ code, out }).toEqual({ code: 6, out: '' });
  expect(err).toBe('icepath: nobody answers\n  → Start icepath server on the other host. [peer-gone]\n');
});

test('a bug exits 1, says so, and shows where', async () => {
  const { code, out, err } = await run('client', 'bug');
  expect({ code, out }).toEqual({ code: 1, out: '' });
  expect(err).toMatch(/^icepath: this is a bug\nTypeError: x is not a function\n {4}at .*command-line\.test\.ts/);
});

test('--version prints the version of the package', async () => {
  expect(await run('--version')).toEqual({
    code: 0,
    out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as string,
    err: '',
  });
});

describe('--help', () => {
  test('lists the commands with what they do, on stdout', async () => {
    const { code, out, err } = await run('--help');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/icepath client <invite> +try every path/);
  });

  test('of a command shows options with their form, and an example', async () => {
    const { code, out } = await run('client', '--help');
    expect(code).toBe(0);
    expect(out).toMatch(/--reference +HOST:PORT: /);
    expect(out).toMatch(/--pin +auto\|off: /);
    expect(out).toContain('icepath client icepath://…');
    expect(out.split('\n').every((line) => line.length <= 100)).toBe(true);
  });
});
