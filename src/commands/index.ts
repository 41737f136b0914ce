import { clientCommand } from './client.js';
import { compareCommand } from './compare.js';
import type { Command, CommandGroup } from './command.js';
import { demoCommand } from './demo.js';
import { doctorCommand } from './doctor.js';
import { interfacesCommand } from './interfaces.js';
import { labCommands } from './lab.js';
import { reflectorCommand } from './reflector.js';
import { rendezvousCommand } from './rendezvous.js';
import { reportCommand } from './report-command.js';
import { seriesCommand } from './series.js';
import { serverCommand } from './server.js';

/** Every sub-command, in the order of `icepath --help`. */
export const COMMANDS: readonly (Command | CommandGroup)[] = [
  demoCommand,
  labCommands,
  serverCommand,
  clientCommand,
  compareCommand,
  reflectorCommand,
  rendezvousCommand,
  interfacesCommand,
  doctorCommand,
  reportCommand,
  seriesCommand,
];
