import type { CommandGroup } from './command.js';
import { labListCommand } from './lab-list.js';
import { labRecordCommand } from './lab-record.js';
import { labRunCommand } from './lab-run.js';

export const labCommands: CommandGroup = {
  name: 'lab',
  summary: 'list, run or record scenarios: networks to try icepath in, each with what must come out',
  examples: [
    ['icepath lab list', 'the names, and what each must give'],
    ['icepath lab run all', 'every scenario, on the virtual clock'],
    ['icepath lab run ice-14 --backend kernel', 'one, in network namespaces (root)'],
    ['icepath lab run ./office.yaml', 'a scenario of your own (docs/scenarios.md)'],
    ['icepath lab record ice-14', 'captures of every interface, for tshark and Wireshark'],
  ],
  commands: [labListCommand, labRunCommand, labRecordCommand],
};
