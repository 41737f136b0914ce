import { readFileSync } from 'node:fs';
import { parseScenario } from '../src/world/scenario-file.js';
import type { LocationFinding } from '../src/verdict/findings/location.js';
import { runVirtual } from '../src/world/virtual-lab.js';
import { holds, widthOf } from '../test/support/paper-location.js';

// npm run lab:location -- [HOPS…]: whole runs on the virtual clock, from a modem behind a carrier with so many routers
// that the way to the phone has 5 to 15 hops (all, or those that are named), with the filter behind each of them in turn.
// A table row a kind of filter and length: how often the reported interval holds the true place, and how wide it is.
// Ends with 5 unless every interval holds it, and the median width is 1. bench:location asks the same on paper, with loss.

const LENGTHS = process.argv.slice(2).map(Number);
/** Of the way beyond the carrier's routers: its NAT, the core, the far carrier's NAT, and the phone. */
const BEYOND = 5;
const COOKIE = '{ bytes: { at: 4, are: 21 12 a4 42 }, heading: out }';
const KINDS = [
  { words: 'drops the packet', filter: `{ match: ${COOKIE}, action: drop }` },
  { words: 'blocks its tuple, 5 s', filter: `{ match: ${COOKIE}, action: { residual: 5 s } }` },
] as const;

const textOf = (name: string): string => readFileSync(new URL(`../../scenarios/${name}.yaml`, import.meta.url), 'utf8');

function locate(routers: number, filterAfter: number, filter: string): LocationFinding | null {
  const boxes: string[] = Array.from({ length: routers }, () => 'hop');
  boxes.splice(filterAfter, 0, `filter: ${filter}`);
  const scenario = parseScenario(
    `
like: ice-02
title: A filter behind ${String(filterAfter)} of ${String(routers)} routers
story: A carrier with more routers.
meaning: The report tells between which two it is.
carriers:
  mine:
    observed: made up
    boxes:
${[...boxes, 'nat: { mapping: eim, filtering: apdf, ports: preserving }'].map((box) => `      - ${box}`).join('\n')}
client:
  interfaces:
    wwan0: { carrier: mine }
server:
  interfaces:
    usb0: { carrier: tethered }
arms: [random, stun, stun~cookie]
expect: { state: established, exit: 0 }
`,
    'lab-location',
    textOf,
  );
  const { report } = runVirtual(scenario, { seed: 1 + filterAfter, version: 'lab' });
  const path = report.paths.find(({ wanted }) => wanted);
  return path?.location.find(({ direction }) => direction === 'up') ?? null;
}

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

print('filter                | hops | runs | holds | none | median width | widest');
let isGood = true;
for (const { words, filter } of KINDS) {
  for (let hops = 5; hops <= 15; hops += 1) {
    if (LENGTHS.length > 0 && !LENGTHS.includes(hops)) continue;
    const routers = hops - BEYOND + 1;
    const found = Array.from({ length: routers + 1 }, (_, filterAfter) => locate(routers, filterAfter, filter));
    const known = found.flatMap((one, filterAfter) => (one ? [{ one, filterAfter }] : []));
    const held = known.filter(({ one, filterAfter }) => holds(one, filterAfter)).length;
    const widths = known.map(({ one }) => widthOf(one)).sort((left, right) => left - right);
    const median = widths[Math.floor((widths.length - 1) / 2)] ?? NaN;
    if (known.some(({ one }) => one.distance !== hops)) throw new Error(`the way has not ${String(hops)} hops`);
    isGood &&= held === known.length && median === 1;
    const cells = [hops, found.length, held, found.length - known.length, median, widths.at(-1) ?? NaN];
    const widthsOf = [4, 4, 5, 4, 12, 6];
    print([words.padEnd(21), ...cells.map((cell, index) => String(cell).padStart(widthsOf[index] ?? 0))].join(' | '));
  }
}
process.exitCode = isGood ? 0 : 5;
