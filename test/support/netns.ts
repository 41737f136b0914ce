import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));

/** The project as JavaScript that a plain `node` in a network namespace can run: nothing is type-checked here. */
export interface BuiltTree {
  /** The built form of a file of the repository: `src/cli.ts`, `test/net/child/udp.ts`. */
  file(source: string): string;
  remove(): void;
}

/** Builds `src`, `probes` and the given folders of children into a folder of its own. About a second. */
export function buildTree(...folders: readonly string[]): BuiltTree {
  const root = mkdtempSync(join(tmpdir(), 'icepath-built-'));
  symlinkSync(join(REPOSITORY, 'node_modules'), join(root, 'node_modules'));
  writeFileSync(join(root, 'package.json'), readFileSync(join(REPOSITORY, 'package.json')));
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true };
  for (const folder of ['src', 'probes', ...folders]) {
    for (const entry of readdirSync(join(REPOSITORY, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
      const source = join(entry.parentPath, entry.name);
      const target = builtName(root, relative(REPOSITORY, source));
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, ts.transpileModule(readFileSync(source, 'utf8'), { compilerOptions }).outputText);
    }
  }
  return {
    file: (source) => builtName(root, source),
    remove() {
      rmSync(root, { recursive: true, force: true });
    },
  };
}

function builtName(root: string, source: string): string {
  return join(root, source.replace(/\.ts$/, '.js'));
}

/** A network namespace with `lo` up. Its name ends in this process's id, so that runs do not meet. Needs root and `ip`. */
export class Netns {
  readonly name: string;
  readonly #children = new Set<ChildProcess>();

  /** `name` begins with `ip-` and the helper's or the suite's own letter. */
  constructor(name: string) {
    this.name = `${name}-${String(process.pid)}`;
    execFileSync('ip', ['netns', 'add', this.name]);
    this.ip('link set lo up');
    this.sysctl('net.ipv4.conf.all.rp_filter', 0);
    this.sysctl('net.ipv4.conf.default.rp_filter', 0);
    // Else the first seconds of a link have no link-local address to ask for a gateway with.
    this.sysctl('net.ipv6.conf.default.accept_dad', 0);
  }

  /** One `ip` command, its words apart: `addr add 10.0.0.1/24 dev eth0`. Gives its standard output. */
  ip(command: string): string {
    return execFileSync('ip', ['-n', this.name, ...command.split(' ')], { encoding: 'utf8', stdio: 'pipe' });
  }

  exec(program: string, ...args: readonly string[]): string {
    return execFileSync('ip', ['netns', 'exec', this.name, program, ...args], { encoding: 'utf8', stdio: 'pipe' });
  }

  /** Loads a ruleset in nft's own language. */
  nft(ruleset: string): void {
    execFileSync('ip', ['netns', 'exec', this.name, 'nft', '-f', '-'], { input: ruleset, stdio: 'pipe' });
  }

  sysctl(name: string, value: number): void {
    this.exec('sysctl', '-qw', `${name}=${String(value)}`);
  }

  /** A veth pair between two namespaces, up at both ends. */
  link(device: string, other: Netns, otherDevice: string): void {
    const peer = ['peer', 'name', otherDevice, 'netns', other.name];
    execFileSync('ip', ['link', 'add', device, 'netns', this.name, 'type', 'veth', ...peer]);
    this.ip(`link set ${device} up`);
    other.ip(`link set ${otherDevice} up`);
  }

  /** Runs a built program to its end and gives what it wrote to standard output. */
  node(file: string, ...args: readonly string[]): Promise<string> {
    const child = this.spawn(file, ...args);
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => {
        if (code === 0) resolve(text);
        else reject(new Error(`${file} ended with ${String(code)}: ${text}`));
      });
    });
  }

  /** Starts a built program; it is killed with the namespace. Standard output is a pipe. */
  spawn(file: string, ...args: readonly string[]): ChildProcess {
    const command = ['netns', 'exec', this.name, process.execPath, file, ...args];
    const child = spawn('ip', command, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#children.add(child);
    child.on('close', () => this.#children.delete(child));
    return child;
  }

  remove(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    execFileSync('ip', ['netns', 'delete', this.name]);
  }
}

/** Resolves with the first line that a child writes. */
export function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end >= 0) resolve(text.slice(0, end));
    });
    child.on('close', (code) => {
      reject(new Error(`ended with ${String(code)} before its first line`));
    });
  });
}
