import type { Command } from './command.js';
import { reportCommand } from './report-command.js';

/** Every sub-command, in the order of `icepath --help`. */
export const COMMANDS: readonly Command[] = [reportCommand];
