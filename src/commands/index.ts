import { clientCommand } from './client.js';
import type { Command } from './command.js';
import { demoCommand } from './demo.js';
import { interfacesCommand } from './interfaces.js';
import { reflectorCommand } from './reflector.js';
import { reportCommand } from './report-command.js';
import { serverCommand } from './server.js';

/** Every sub-command, in the order of `icepath --help`. */
export const COMMANDS: readonly Command[] = [
  demoCommand,
  serverCommand,
  clientCommand,
  reflectorCommand,
  interfacesCommand,
  reportCommand,
];
