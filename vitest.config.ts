import { defineConfig } from 'vitest/config';

/** `.ci/run` names a file here, to count from. */
const results = process.env.TEST_RESULTS;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    // Labs at once (test/lab): they mostly wait, but with five on two busy cores packets come too late for their rounds.
    maxConcurrency: 3,
    hookTimeout: 30_000,
    reporters: [
      'default',
      './test/support/skips-reporter.ts',
      ...(results === undefined ? [] : [['json', { outputFile: results }] satisfies [string, object]]),
    ],
  },
});
