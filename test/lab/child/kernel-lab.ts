import { IcepathError } from '../../../src/base/errors.js';
import { runKernel } from '../../../src/world/kernel/lab.js';
import type { Scenario } from '../../../src/world/scenario.js';

// One lab as a process of its own: CLI SCENARIO (JSON). Tells on stdout that it is running, then how it ended.

const [cli = '', text = ''] = process.argv.slice(2);
const interruption = new AbortController();
process.once('SIGINT', () => {
  interruption.abort();
});
try {
  const { report } = await runKernel(JSON.parse(text) as Scenario, {
    seed: 1,
    version: '0',
    command: [process.execPath, cli],
    signal: interruption.signal,
    onEvent: ({ type, host }) => {
      if (type === 'run' && host === 'client') process.stdout.write('running\n');
    },
  });
  process.stdout.write(`${JSON.stringify({ exit: report.exit.code })}\n`);
} catch (error) {
  if (!(error instanceof IcepathError)) throw error;
  process.stdout.write(`${JSON.stringify({ code: error.code, message: error.message, nextStep: error.nextStep })}\n`);
}
