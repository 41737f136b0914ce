import { expect, test } from 'vitest';
import { errnoName, loadLibc, openLibc } from '../../src/os/libc.js';

const never = (): never => {
  throw new Error('must not be loaded');
};

test('away from Linux nothing is loaded, and the reason says so', () => {
  expect(openLibc('darwin', 'arm64', never)).toEqual({
    libc: null,
    reason: expect.stringContaining('need Linux') as string,
  });
  expect(openLibc('linux', 's390x', never).reason).toContain('s390x');
});

test('a koffi that cannot be loaded is a reason, not a crash', () => {
  const state = openLibc('linux', 'x64', () => {
    throw new Error("Cannot find module 'koffi'");
  });
  expect(state).toEqual({ libc: null, reason: "koffi cannot be loaded: Cannot find module 'koffi'" });
});

test('on Linux it is there', (context) => {
  context.skip(process.platform !== 'linux' || process.arch !== 'x64', 'not Linux on x64');
  expect(loadLibc().reason).toBeNull();
});

test('errno numbers have the kernel’s names', () => {
  expect([1, 101, 111, 113].map(errnoName)).toEqual(['EPERM', 'ENETUNREACH', 'ECONNREFUSED', 'EHOSTUNREACH']);
});
