import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { IcepathError } from '../../src/base/errors.js';
import { runCommandLine } from '../../src/commands/command-line.js';
import { COMMANDS } from '../../src/commands/index.js';
import { needKernel, whyNoKernel } from '../../src/world/kernel/requirements.js';
import { ROOT } from '../support/sources.js';
import { collectIo } from './collect.js';

vi.mock('../../src/world/kernel/requirements.js', { spy: true });

const BUILT_IN = readdirSync(join(ROOT, 'scenarios')).map((file) => file.replace('.yaml', ''));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'icepath-lab-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
  vi.mocked(whyNoKernel).mockReset();
  vi.mocked(needKernel).mockReset();
});

async function icepath(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = collectIo();
  const code = await runCommandLine(argv, COMMANDS, io);
  return { code, out: io.out(), err: io.err() };
}

/** design.md, Report: what `lab run --json` prints. */
const results = z.array(
  z.object({
    scenario: z.string(),
    backend: z.enum(['virtual', 'kernel']),
    passed: z.boolean(),
    expected: z.object({ outcomes: z.array(z.object({ state: z.string(), exit: z.number() })) }),
    report: z.object({
      schema: z.literal('icepath.report/1'),
      run: z.object({ backend: z.string(), seed: z.string() }),
      paths: z.array(
        z.object({ id: z.string(), wanted: z.boolean(), state: z.string(), cause: z.string().nullable() }),
      ),
      exit: z.object({ code: z.number() }),
    }),
    differences: z.array(z.string()),
  }),
);

/** A file of the user's: a built-in scenario with something changed. */
function ownFile(name: string, change: (text: string) => string): string {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, change(readFileSync(join(ROOT, 'scenarios/ice-14.yaml'), 'utf8')));
  return file;
}

describe('icepath lab list', () => {
  test('has every scenario of the package, with what it must give', async () => {
    const { code, out } = await icepath('lab', 'list');
    expect(code).toBe(0);
    for (const name of BUILT_IN) expect(out).toMatch(new RegExp(`^${name} `, 'm'));
    expect(out).toMatch(/^ice-14 +blocked: peer-udp-blocked +3 /m);
  });

  test('--json is one document', async () => {
    const { code, out, err } = await icepath('lab', 'list', '--json');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const names = z.array(z.object({ name: z.string(), title: z.string(), backends: z.array(z.string()) }));
    expect(names.parse(JSON.parse(out)).map(({ name }) => name)).toEqual(BUILT_IN.toSorted());
  });
});

describe('icepath lab run', () => {
  test('--json prints the contract’s document and nothing else', async () => {
    const { code, out } = await icepath('lab', 'run', 'ice-14', 'ice-02', '--seed', 'seven', '--json');
    expect(code).toBe(0);
    const [first, second, ...rest] = results.parse(JSON.parse(out));
    expect(rest).toEqual([]);
    expect([first?.scenario, second?.scenario]).toEqual(['ice-14', 'ice-02']);
    expect(first).toMatchObject({ backend: 'virtual', passed: true, differences: [] });
    expect(first?.report.run).toMatchObject({ backend: 'virtual', seed: 'seven' });
    // verdicts.md: ice-14
    const wanted = first?.report.paths.filter((path) => path.wanted);
    expect(wanted).toMatchObject([{ state: 'blocked', cause: 'peer-udp-blocked' }]);
    expect(first?.report.exit.code).toBe(3);
  });

  test('for people: a line a scenario, progress on stderr, the seed named', async () => {
    const { code, out, err } = await icepath('lab', 'run', 'ice-14', 'ice-02');
    expect(code).toBe(0);
    expect(out).toMatch(/^ice-14 +virtual +blocked: peer-udp-blocked +3 +as it must$/m);
    expect(out).toMatch(/^2 of 2 as they must be .*seed 1$/m);
    expect(err).toMatch(/^1 of 2: ice-14: as it must\n2 of 2: ice-02: as it must\n$/);
  });

  test('--verbose has the whole report, as icepath report prints it', async () => {
    const { out } = await icepath('lab', 'run', 'ice-14', '--verbose', '--record', folder);
    const again = await icepath('report', join(folder, 'ice-14.virtual.jsonl'));
    expect(again.code).toBe(0);
    expect(out).toContain(again.out);
  });

  test('slow is the name of those that take minutes where time is real', async () => {
    const { code, out } = await icepath('lab', 'run', 'slow');
    expect(code).toBe(0);
    expect(out).toMatch(/^matrix-residual +virtual +established: residual-block +0 +as it must$/m);
    expect(out).not.toMatch(/^ice-/m);
  });

  test('a run that gives something else exits 5, says what differs and how to run it again', async () => {
    const file = ownFile('hopeful', (text) =>
      text.replace(/state: blocked/, 'state: established').replace(/cause: peer-udp-blocked/, 'cause: none'),
    );
    const { code, out } = await icepath('lab', 'run', file, '--seed', 'a b');
    expect(code).toBe(5);
    expect(out).toMatch(/differs/);
    expect(out).toMatch(/ {2}- .*established/);
    expect(out).toContain(`icepath lab run ${file} --backend virtual --seed 'a b'`);
  });

  test('--record that is no folder is told before anything runs', async () => {
    const file = join(folder, 'taken');
    writeFileSync(file, 'mine');
    const { code, out, err } = await icepath('lab', 'run', 'ice-14', '--record', file);
    expect({ code, out }).toEqual({ code: 6, out: '' });
    expect(err).toMatch(/\[folder-unwritable\]/);
    expect(readFileSync(file, 'utf8')).toBe('mine');
  });

  test('where the kernel cannot be had, it says why and what to do, and exits 6', async () => {
    vi.mocked(needKernel).mockImplementation(() => {
      throw new IcepathError('lab-no-kernel', 'there is no /dev/net/tun', 'Use --backend virtual.');
    });
    const { code, out, err } = await icepath(
      'lab',
      'run',
      'all',
      '--backend',
      'kernel',
      '--record',
      join(folder, 'new'),
    );
    expect({ code, out }).toEqual({ code: 6, out: '' });
    expect(err).toMatch(/no \/dev\/net\/tun\n {2}→ .*\[lab-no-kernel\]/);
    expect(existsSync(join(folder, 'new'))).toBe(false);
  });

  test('Ctrl-C: what has ended is told, the rest is not run, exit 130', async () => {
    const io = collectIo();
    const done = runCommandLine(['lab', 'run', 'all', '--json'], COMMANDS, {
      ...io,
      stderr: {
        write: (text) => {
          if (text.startsWith('2 of ')) process.emit('SIGINT');
          return io.stderr.write(text);
        },
      },
    });
    expect(await done).toBe(130);
    expect(results.parse(JSON.parse(io.out()))).toHaveLength(2);
  });
});

describe('usage errors exit 2 and print nothing on stdout', () => {
  test.each([
    [['run', 'ice14'], /"ice14".*ice-14/, 'scenario-unknown'],
    [['run', 'ice-14', 'ice-14'], /two.*ice-14/, 'scenario-twice'],
    [['run', './nowhere.yaml'], /nowhere\.yaml.*ENOENT/, 'scenario-unreadable'],
    [['run', '/dev/zero'], /larger/, 'scenario-unreadable'],
    [['run', 'ice-14', '--backend', 'cloud'], /virtual or kernel/, 'bad-option-value'],
    [['run', 'ice-14', '--seed', ''], /--seed/, 'bad-option-value'],
    [['run'], /icepath lab run <scenario..>/, 'usage'],
    [['record'], /icepath lab record <scenario>/, 'usage'],
    [['replay'], /replay/, 'usage'],
    [[], /list, run, record/, 'usage'],
  ])('icepath lab %j', async (argv, what, errorCode) => {
    const { code, out, err } = await icepath('lab', ...argv);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err.split('\n')[0]).toMatch(what);
    expect(err).toMatch(new RegExp(`\\n {2}→ .* \\[${errorCode}\\]\\n$`));
  });

  test('a mistake in a file is told with the file, the line and the field', async () => {
    const file = ownFile('broken', (text) => text.replace('state: blocked', 'state: stuck').replace('arms:', 'arm:'));
    const line =
      readFileSync(file, 'utf8')
        .split('\n')
        .findIndex((text) => text.includes('stuck')) + 1;
    const { code, out, err } = await icepath('lab', 'run', 'ice-02', file);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(`${file}:${line}: expect.state: `);
    // Each mistake has a line of its own.
    expect(err).toMatch(/^.*broken\.yaml:\d+: .*arm/m);
    expect(err).toMatch(/\[scenario-invalid\]\n$/);
  });
});

describe('icepath lab record', () => {
  test('leaves a capture of each host and the record, and says how to read them', async () => {
    const { code, out } = await icepath('lab', 'record', 'ice-14', '--record', folder);
    expect(code).toBe(0);
    const captures = ['client.pcapng', 'reference.pcapng', 'server.pcapng'];
    expect(readdirSync(folder).sort()).toEqual([...captures, 'ice-14.virtual.jsonl'].sort());
    for (const file of captures) {
      // The block type of a pcapng section header (draft-ietf-opsawg-pcapng §4.1).
      expect(readFileSync(join(folder, file)).subarray(0, 4).toString('hex')).toBe('0a0d0d0a');
      expect(out).toContain(`tshark -r ${join(folder, file)}`);
    }
  });

  test('the same seed gives the same captures, byte for byte', async () => {
    const captures = async (name: string, seed: string): Promise<Buffer[]> => {
      const into = join(folder, name);
      await icepath('lab', 'record', 'ice-14', '--seed', seed, '--record', into);
      return ['client', 'server', 'reference'].map((host) => readFileSync(join(into, `${host}.pcapng`)));
    };
    const first = await captures('first', '7');
    expect(await captures('second', '7')).toEqual(first);
    expect(await captures('third', '8')).not.toEqual(first);
  });
});

describe('icepath demo', () => {
  test('tells what is in the way, what the program does, what it found and what that means', async () => {
    vi.mocked(whyNoKernel).mockReturnValue('there is no /dev/net/tun');
    const { code, out, err } = await icepath('demo');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^icepath demo ice-14/);
    expect(out.replace(/\s+/g, ' ')).toContain(
      'Back end virtual (the kernel one cannot run here: there is no /dev/net/tun)',
    );
    expect(out).toMatch(/^ +\d+\.\d s {2}eth0 .* is up/m);
    expect(out).toMatch(/^ +\d+\.\d s {2}wwan0 \(o2\).*: blocked, peer-udp-blocked/m);
    expect(out).toMatch(/^ ◆ .*blocked: peer-udp-blocked/m);
    expect(out).toMatch(/real modem/);
    expect(out.split('\n').length).toBeLessThan(60);
  });

  test('prints what the README shows, but for the figures', async () => {
    vi.mocked(whyNoKernel).mockReturnValue('this user may not make network namespaces (EPERM): that needs root');
    const { out } = await icepath('demo');
    const [, shown = ''] =
      /```\n(icepath demo ice-14[^]*?)```/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8')) ?? [];
    const words = (text: string): string =>
      text
        .replace(/[\d.]+/g, 'N')
        .replace(/\s+/g, ' ')
        .trim();
    expect(words(shown)).toBe(words(out));
  });

  test('another scenario, as --json', async () => {
    const { code, out } = await icepath('demo', 'control-open', '--backend', 'virtual', '--json');
    expect(code).toBe(0);
    expect(results.parse(JSON.parse(out))).toMatchObject([{ scenario: 'control-open', passed: true }]);
  });

  test('a name that nobody knows', async () => {
    expect(await icepath('demo', 'matrix-coookie')).toMatchObject({ code: 2, out: '' });
  });
});
