import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig } from 'vitest/config';

/** `.ci/run` names a file here, to count from. */
const results = process.env.TEST_RESULTS;

/** Tests that wait for sockets, processes and kernels: what takes the processor from them takes packets from their rounds. */
const REAL_TIME = ['test/lab', 'test/net', 'test/os', 'test/world/kernel', 'test/commands', 'test/peer'].map(
  (folder) => `${folder}/**/*.test.ts`,
);
REAL_TIME.push('test/cli.test.ts');

export default defineConfig({
  test: {
    projects: [
      { extends: true, test: { name: 'real', include: REAL_TIME, maxWorkers: 1, sequence: { groupOrder: 1 } } },
      {
        extends: true,
        test: {
          name: 'virtual',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...REAL_TIME],
          // As many as there are processors: nothing here asks what time it is.
          maxWorkers: availableParallelism(),
          sequence: { groupOrder: 2 },
        },
      },
    ],
    // No bound on anything but a hang: a test of many whole runs takes minutes on a busy machine.
    testTimeout: 600_000,
    // Labs at once (test/lab): they mostly wait, but with three on two cores those of both families lose a third of their
    // packets, which come too late for their rounds.
    maxConcurrency: 2,
    hookTimeout: 30_000,
    reporters: [
      'default',
      './test/support/skips-reporter.ts',
      ...(results === undefined ? [] : [['json', { outputFile: results }] satisfies [string, object]]),
    ],
  },
});
