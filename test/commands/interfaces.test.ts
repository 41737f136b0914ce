import { describe, expect, test } from 'vitest';
import { interfacesCommand, render } from '../../src/commands/interfaces.js';
import { runCommandLine } from '../../src/commands/command-line.js';
import type { ListedInterface } from '../../src/net/interfaces.js';
import { collectIo } from './collect.js';

const STYLE = { columns: 100, colour: false };

const modem: ListedInterface = {
  name: 'wwp0s20f0u2',
  kind: 'cellular',
  label: 'wwp0s20f0u2',
  up: true,
  driver: 'cdc_mbim',
  addresses: [
    { family: 'ipv4', address: '100.70.3.9', prefixLength: 30 },
    { family: 'ipv6', address: '2001:db8::9', prefixLength: 64 },
  ],
};

describe('for people', () => {
  test('an interface a line, its further addresses below', () => {
    const [, first = '', second = ''] = render([modem], [], STYLE).split('\n');
    expect(first.split(/ {2,}/)).toEqual(['wwp0s20f0u2', 'cellular', 'up', 'cdc_mbim', '100.70.3.9/30']);
    expect(second.trim()).toBe('2001:db8::9/64');
  });

  test('what is down or has no address says so', () => {
    const text = render([{ ...modem, up: false, addresses: [], driver: null }], [], STYLE);
    expect(text.split('\n')[1]?.split(/ {2,}/)).toEqual(['wwp0s20f0u2', 'cellular', 'down', '–', 'none']);
  });

  test('what is missing, and what a run does without it', () => {
    const text = render([modem], [{ what: 'no koffi', without: 'Sockets are not pinned.' }], STYLE);
    expect(text).toContain('Missing: no koffi. Sockets are not pinned.');
    expect(text).not.toContain('Nothing is missing');
  });
});

test('--json is one document with every interface of this machine', async () => {
  const io = collectIo();
  expect(await runCommandLine(['interfaces', '--json'], [interfacesCommand], io)).toBe(0);
  const { interfaces } = JSON.parse(io.out()) as { interfaces: ListedInterface[] };
  expect(interfaces.find(({ name }) => name === 'lo')).toMatchObject({ kind: 'loopback' });
});
