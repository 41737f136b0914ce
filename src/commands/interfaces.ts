import { listInterfaces, type ListedInterface } from '../net/interfaces.js';
import { findMissing, type Missing } from '../net/missing.js';
import { paint, styleOf, type Style } from '../report/style.js';
import { columnsOf } from '../report/table.js';
import { printable, wrap } from '../report/text.js';
import { defineCommand, EXIT } from './command.js';
import { jsonOption } from './options.js';

export const interfacesCommand = defineCommand({
  usage: 'interfaces',
  summary: 'the interfaces of this host, what they are, and what the host lacks',
  examples: [
    ['icepath interfaces', 'a table; give a kind or a label that is wrong with --interface NAME=KIND:LABEL'],
    ['icepath interfaces --json', 'the same as one JSON document'],
  ],
  options: { json: jsonOption },
  async run({ json }, { stdout, env }) {
    const interfaces = listInterfaces();
    const missing = await findMissing();
    stdout.write(
      json
        ? `${JSON.stringify({ interfaces, missing }, null, 2)}\n`
        : render(interfaces, missing, styleOf(stdout, env)),
    );
    return EXIT.ok;
  },
});

/** The table for people. Ends with a line break. */
export function render(interfaces: readonly ListedInterface[], missing: readonly Missing[], style: Style): string {
  if (interfaces.length === 0) return 'This host has no interface.\n';
  const head = ['interface', 'kind', '', 'driver', 'addresses'].map((text) => paint(style, 'dim', text));
  const rows = interfaces.map(({ name, kind, up, driver, addresses }) => [
    printable(name),
    kind,
    up ? paint(style, 'green', 'up') : paint(style, 'yellow', 'down'),
    driver === null ? '–' : printable(driver),
    addresses.length === 0
      ? 'none'
      : addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`).join('\n'),
  ]);
  const notes =
    missing.length === 0
      ? ['Nothing is missing: sockets can be pinned, and it can be verified which interface packets leave by.']
      : missing.map(({ what, without }) => `Missing: ${what}. ${without}`);
  return `${[columnsOf([head, ...rows]), '', ...notes.map((note) => wrap(note, style.columns))].join('\n')}\n`;
}
