import { expect, test } from 'vitest';
import { createLog } from '../../src/commands/log.js';

const change = { path: 'wwan0-usb0-v4', from: null, to: 'blocked', cause: 'peer-udp-blocked' };

function collect(isTTY: boolean) {
  const lines: string[] = [];
  return { isTTY, write: (text: string) => lines.push(...text.split('\n').filter((line) => line !== '')), lines };
}

test('a change of a path is one JSON event `path.state` with the fields of the contract', () => {
  const stderr = collect(false);
  createLog({ json: true, verbose: false }, stderr).info(change, 'path.state');
  expect(stderr.lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    { level: 'info', time: expect.stringMatching(/^\d{4}-/) as string, ...change, msg: 'path.state' },
  ]);
});

test('details are logged only when asked for', () => {
  const quiet = collect(false);
  createLog({ json: true, verbose: false }, quiet).debug('sent');
  const verbose = collect(false);
  createLog({ json: true, verbose: true }, verbose).debug('sent');
  expect([quiet.lines.length, verbose.lines.length]).toEqual([0, 1]);
});

test('people on a terminal read one line a change, without JSON', () => {
  const stderr = collect(true);
  createLog({ json: false, verbose: false }, stderr, { NO_COLOR: '1' }).info(change, 'path.state');
  expect(stderr.lines).toEqual([expect.stringMatching(/wwan0-usb0-v4: blocked \(peer-udp-blocked\)$/)]);
});

test('and one for a wanted path that is not decided yet', () => {
  const stderr = collect(true);
  const soFar = { arrives: 'nowhere', up: { sent: 8, received: 0 }, down: { sent: 8, received: 0 } };
  createLog({ json: false, verbose: false }, stderr, { NO_COLOR: '1' }).info(
    { path: 'wwan0-usb0-v4', ...soFar },
    'path.so-far',
  );
  const said = /wwan0-usb0-v4: so far nothing arrives \(control 0\/8 up, 0\/8 down\); no verdict yet$/;
  expect(stderr.lines).toEqual([expect.stringMatching(said)]);
});

test('with --json the log stays JSON on a terminal', () => {
  const stderr = collect(true);
  createLog({ json: true, verbose: false }, stderr).warn({ port: 4800 }, 'busy');
  expect(JSON.parse(stderr.lines[0] ?? '')).toMatchObject({ level: 'warn', port: 4800, msg: 'busy' });
});
