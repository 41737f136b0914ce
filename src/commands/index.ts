import type { Command } from './command.js';
import { interfacesCommand } from './interfaces.js';
import { reportCommand } from './report-command.js';

/** Every sub-command, in the order of `icepath --help`. */
export const COMMANDS: readonly Command[] = [interfacesCommand, reportCommand];
