import { expect, test } from 'vitest';
import { runCommandLine } from '../../src/commands/command-line.js';
import { COMMANDS } from '../../src/commands/index.js';
import { collectIo } from './collect.js';

const GROUPS = COMMANDS.filter((entry) => 'commands' in entry);
const SINGLE = COMMANDS.flatMap((entry) =>
  'commands' in entry
    ? entry.commands.map((command) => ({ ...command, group: [entry.name] }))
    : [{ ...entry, group: [] }],
);

test.each(SINGLE)('icepath $group $usage --help shows every option and an example', async (command) => {
  const { group, usage, options, examples } = command;
  const io = collectIo();
  const called = [...group, usage.split(' ', 1)[0] ?? ''];
  expect(await runCommandLine([...called, '--help'], COMMANDS, io)).toBe(0);
  for (const [option, { placeholder }] of Object.entries(options)) {
    const positional = new RegExp(`[<[]${option}`).test(usage);
    expect(io.out()).toContain(positional ? option : `--${option}`);
    if (!positional && placeholder !== null) expect(io.out()).toContain(`${placeholder}: `);
  }
  expect(examples.length).toBeGreaterThan(0);
  for (const [commandLine] of examples) expect(commandLine).toMatch(new RegExp(`^icepath ${called.join(' ')}\\b`));
  expect(io.out()).toContain('Examples:');
});

test.each(GROUPS)('icepath $name --help shows its commands and examples', async ({ name, commands, examples }) => {
  const io = collectIo();
  expect(await runCommandLine([name, '--help'], COMMANDS, io)).toBe(0);
  for (const { usage } of commands) expect(io.out()).toContain(`icepath ${name} ${usage}`);
  for (const [commandLine] of examples) expect(io.out()).toContain(commandLine);
});
