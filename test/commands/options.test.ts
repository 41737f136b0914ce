import { describe, expect, test } from 'vitest';
import { IcepathError } from '../../src/base/errors.js';
import {
  parseArms,
  parseFile,
  parseListen,
  parsePin,
  parsePrefer,
  parseReference,
  parseWanted,
} from '../../src/commands/options.js';

describe('--wanted', () => {
  test.each(['wwan0↔usb0', 'wwan0<->usb0', 'wwan0,usb0', ' wwan0 ↔ usb0 '])('%s', (text) => {
    expect(parseWanted(text)).toEqual({ client: 'wwan0', server: 'usb0' });
  });
});

test('--listen takes IPv4 and IPv6', () => {
  expect(parseListen('0.0.0.0:4800')).toMatchObject({ family: 'ipv4', address: '0.0.0.0', port: 4800 });
  expect(parseListen('[::]:0')).toMatchObject({ family: 'ipv6', address: '::', port: 0 });
});

test('--reference takes names and addresses', () => {
  expect(parseReference('stun.example.net:3478')).toEqual({ host: 'stun.example.net', port: 3478 });
  expect(parseReference('[2001:db8::1]:3478')).toEqual({ host: '2001:db8::1', port: 3478 });
});

test('lists keep their order', () => {
  expect(parsePrefer('cellular, wifi,ethernet')).toEqual(['cellular', 'wifi', 'ethernet']);
  expect(parseArms('stun~cookie,random')).toEqual({ arms: ['stun~cookie', 'random'], ownArms: [], ownExperiments: [] });
});

test('--prefer takes the words of a policy and no others', () => {
  expect(parsePrefer('cellular:o2,ipv6')).toEqual(['cellular:o2', 'ipv6']);
  expect(errorOf(() => parsePrefer('wimax'))).toMatchObject({ code: 'policy-word' });
  expect(errorOf(() => parsePrefer('wifi,wifi'))).toMatchObject({ code: 'policy-repeated' });
});

describe('a value that cannot be read is named with its option and an example that can', () => {
  test.each([
    ['wanted', parseWanted, ['', 'wwan0', 'a,b,c', ',usb0', 'wwan0↔']],
    ['reference', parseReference, ['', 'host', 'host:', 'host:0', 'host:65536', '::1:3478', 'a b:1', ':3478']],
    ['listen', parseListen, ['', '4800', ':4800', 'localhost:4800', '0.0.0.0:70000', '1.2.3:4']],
    ['prefer', parsePrefer, ['', ',']],
    ['arms', parseArms, ['', 'stun~nothing', 'stun,stun', 'random stun']],
    ['pin', parsePin, ['', 'on', 'AUTO']],
    ['record', parseFile, ['', 'a\0b']],
  ] as const)('--%s', (name, parse, values) => {
    for (const value of values) {
      const error = errorOf(() => parse(value));
      expect(error).toMatchObject({ code: 'bad-option-value' });
      expect(error.message).toContain(`--${name} `);
      expect(error.message).toContain(JSON.stringify(value));
      const example = error.nextStep.split(`--${name} `)[1] ?? '';
      expect(() => parse(example)).not.toThrow();
    }
  });
});

function errorOf(call: () => unknown): IcepathError {
  try {
    call();
  } catch (error) {
    if (error instanceof IcepathError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
