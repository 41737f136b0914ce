#!/usr/bin/env node
import { runCommandLine } from './commands/command-line.js';
import { COMMANDS } from './commands/index.js';

// `icepath report … | head` closes the pipe early: what was not read is not missed.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

process.exitCode = await runCommandLine(process.argv.slice(2), COMMANDS, process);
