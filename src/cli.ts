#!/usr/bin/env node
import { runCommandLine, watchOutput } from './commands/command-line.js';
import { COMMANDS } from './commands/index.js';

watchOutput(process);
const exitCode = await runCommandLine(process.argv.slice(2), COMMANDS, process);
process.exitCode ??= exitCode;
