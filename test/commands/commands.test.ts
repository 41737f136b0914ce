import { expect, test } from 'vitest';
import { runCommandLine } from '../../src/commands/command-line.js';
import { COMMANDS } from '../../src/commands/index.js';
import { collectIo } from './collect.js';

test.each(COMMANDS)('icepath $usage --help shows every option and an example', async ({ usage, options, examples }) => {
  const io = collectIo();
  const name = usage.split(' ', 1)[0] ?? '';
  expect(await runCommandLine([name, '--help'], COMMANDS, io)).toBe(0);
  for (const [option, { placeholder }] of Object.entries(options)) {
    const positional = new RegExp(`[<[]${option}`).test(usage);
    expect(io.out()).toContain(positional ? option : `--${option}`);
    if (!positional && placeholder !== null) expect(io.out()).toContain(`${placeholder}: `);
  }
  expect(examples.length).toBeGreaterThan(0);
  for (const [commandLine] of examples) expect(commandLine).toMatch(new RegExp(`^icepath ${name}\\b`));
  expect(io.out()).toContain('Examples:');
});
