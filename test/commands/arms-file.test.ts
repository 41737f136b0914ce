import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { IcepathError } from '../../src/base/errors.js';
import { runCommandLine } from '../../src/commands/command-line.js';
import { COMMANDS } from '../../src/commands/index.js';
import { parseArms } from '../../src/commands/options.js';
import { armsFileOf, parseArmsFile } from '../../src/session/arms-file.js';
import { ROOT } from '../support/sources.js';
import { scenario } from '../world/scenario-files.js';
import { collectIo } from './collect.js';

const DOC = readFileSync(join(ROOT, 'docs/experiments.md'), 'utf8');
/** The first block of YAML: the file that the page explains. */
const FILE = /```yaml\n(.*?)```/s.exec(DOC)?.[1] ?? '';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'icepath-arms-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function written(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

function errorOf(call: () => unknown): { code: string; message: string } {
  try {
    call();
  } catch (error) {
    if (error instanceof IcepathError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('--arms with a file', () => {
  test('adds what the file defines to what is named; files alone add to the built-in arms', () => {
    const file = written('my-arms.yaml', FILE);
    const { arms, ownArms } = parseArms(`random,stun,${file}`);
    expect(arms).toEqual(['random', 'stun', 'stun~20', 'stun~early', 'rtp']);
    expect(ownArms.find(({ name }) => name === 'rtp')).toEqual({
      ...{ name: 'rtp', fields: [], changes: [], starts: '8060', lengthBytes: 172 },
    });
    expect(parseArms(file).arms).toHaveLength(10 + 3);
    expect(parseArms(`rtp,stun,${file}`).arms.slice(0, 2)).toEqual(['rtp', 'stun']);
  });

  test('two files may not clash, nor one be missing', () => {
    const one = written('one.yaml', 'arms: { a: { starts: 80 } }\n');
    const two = written('two.yaml', 'arms: { b: { starts: 80 } }\n');
    expect(errorOf(() => parseArms(`${one},${two}`))).toMatchObject({
      code: 'arms-clash',
      message: `${two}: b makes the same packets as a, beside the files before it`,
    });
    expect(errorOf(() => parseArms(join(folder, 'none.yaml')))).toMatchObject({ code: 'arms-unreadable' });
  });

  test('is a usage error before anything is sent', async () => {
    const file = written('mine.yaml', 'arms: { mine: { stun: cokie } }\n');
    const io = collectIo();
    expect(await runCommandLine(['client', 'icepath://x', '--arms', file], COMMANDS, io)).toBe(2);
    expect(io.err()).toBe(
      `icepath: ${file}:1: arms.mine.stun: cannot be "cokie": did you mean cookie?\n` +
        '  → Mend the file; docs/experiments.md tells what may stand in it. [arms-invalid]\n',
    );
  });
});

describe('mistakes in a file', () => {
  const told = (text: string): string[] => errorOf(() => parseArmsFile(text, 'mine.yaml')).message.split('\n');

  test.each([
    ['arms: { a: { stun: cokie } }', 'mine.yaml:1: arms.a.stun: cannot be "cokie": did you mean cookie?'],
    [
      'arms: { a: { begins: 80 } }',
      'mine.yaml:1: arms.a.begins: no field is called "begins": there are stun, bytes, starts, length',
    ],
    [
      'arms: { a: { length: 100 bytes } }',
      'mine.yaml:1: arms.a: takes stun, bytes or starts: what tells it from the other arms',
    ],
    ['arms: { a: { starts: 80, length: 47 bytes } }', 'mine.yaml:1: arms.a.length: takes 48 to 1200 bytes'],
    ['arms: { a: { starts: 80, length: 1.5 kB } }', 'mine.yaml:1: arms.a.length: takes 48 to 1200 bytes'],
    [`arms: { a: { starts: ${'80 '.repeat(13)}} }`, 'mine.yaml:1: arms.a.starts: takes at most 12 bytes'],
    ['arms: { a: { bytes: { at: 4 } } }', 'mine.yaml:1: arms.a.bytes: takes either xor or to'],
    ['arms: { a: { bytes: { at: 4, to: 0, xor: 1 } } }', 'mine.yaml:1: arms.a.bytes.xor: takes bytes in hexadecimal'],
    ['arms: { A: { starts: 80 } }', 'mine.yaml:1: arms.A: takes a name of at most 24 small letters'],
    ['arms: { stun: { starts: 80 } }', 'mine.yaml:1: arms.stun: is the name of a built-in arm'],
    ['arms: { a: { starts: 80 }, a: { starts: 81 } }', 'mine.yaml:1: arms.a: stands here twice'],
    ['exec: rm', 'mine.yaml:1: exec: no field is called "exec"'],
    ['', 'mine.yaml:1: takes fields (arms, experiments)'],
    ['experiments: { a: { asks: X?, test: { arm: rpt } } }', 'mine.yaml:1: experiments.a.test.arm: takes one of'],
    ['experiments: { a: { asks: X?, test: {} } }', 'mine.yaml:1: experiments.a.test: is the same as the control'],
    [
      'experiments: { a: { asks: X?, test: { ports: { server: 5004 } } } }',
      'mine.yaml:1: experiments.a.flows: is 1 where a port is given',
    ],
    [
      'experiments: { a: { asks: X?, test: { ports: { server: 53 } } } }',
      'mine.yaml:1: experiments.a.test.ports.server',
    ],
    ['experiments: { a: { test: { arm: stun } } }', 'mine.yaml:1: experiments.a.asks: is missing'],
    ['experiments: { a: { asks: X?, test: { arm: stun }, repeats: 90 } }', 'mine.yaml:1: experiments.a.repeats: times'],
  ])('%s', (text, said) => {
    expect(told(text).some((line) => line.startsWith(said))).toBe(true);
  });

  test('are told all at once, as the page shows', () => {
    const lines = told('arms:\n  mine: { stun: [cookie, first-byte] }\n  zero: { bytes: { at: 8, to: 00 } }\n');
    expect(lines).toHaveLength(2);
    const page = DOC.replaceAll('./my-arms.yaml', 'mine.yaml');
    for (const line of lines) expect(page).toContain(line);
  });
});

test('the page’s file is that of matrix-own-arms, also when a lab writes it for the icepath that it starts', () => {
  const { arms: definitions } = parseArmsFile(FILE, 'my-arms.yaml');
  expect(scenario('matrix-own-arms').run.ownArms).toEqual(definitions);
  expect(parseArmsFile(armsFileOf(definitions), 'arms.yaml').arms).toEqual(definitions);
});

test('what the page shows of the run is what the run prints', async () => {
  const io = collectIo();
  const code = await runCommandLine(['lab', 'run', 'matrix-own-arms', '--verbose'], COMMANDS, io);
  expect(code).toBe(0);
  const shown = /--verbose`:\n\n```\n(.*?)```/s.exec(DOC)?.[1]?.trimEnd().split('\n') ?? [];
  expect(shown).toHaveLength(17);
  const printed = io.out().split('\n');
  for (const line of shown) expect(printed).toContain(line);
});
