import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createIdentity } from '../src/net/certificate.js';

// bench-quic [loopback|shaped|memory|connections] [rounds] [megabytes]: our QUIC and whatever peers there are, one after
// the other in each round, so that a busy machine is busy for all. Ratios are those within a round; medians at the end.
// Peers: picoquic where PICOQUIC_DEMO names the program, quiche and iroh where MATRIXAI_QUIC and IROH name their packages.
//   loopback     one path, download, both ends of one make; ours with the link's datagrams, and with those of Ethernet
//   shaped       two paths of 100 and 50 Mbit/s between two namespaces (root, ip)
//   memory       the fast back end alone: resident memory in the course of the transfer
//   connections  ours alone: 1,000 at once, or as many as the third argument says; each used, held for 20 s, used again

const [
  mode = 'loopback',
  rounds = '3',
  megabytes = mode === 'memory' ? '2000' : mode === 'shaped' ? '1000' : mode === 'connections' ? '1000' : '100',
] = process.argv.slice(2);
const BYTES = Number(megabytes) * 1_000_000;
const PICOQUIC = process.env.PICOQUIC_DEMO;
const PERF = fileURLToPath(new URL('quic-perf.js', import.meta.url));
const PEER = fileURLToPath(new URL('quic-peer.js', import.meta.url));
const BINDINGS = { quiche: process.env.MATRIXAI_QUIC, iroh: process.env.IROH };
/** Bindings that take minutes for what others do in a second get no more than that. */
const BINDING_BYTES = Math.min(BYTES, 10_000_000);
/** Of both links of `shaped`, in Mbit/s. */
const SHAPED_SUM = 150;
const TIMEOUT_MS = 300_000;

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
const folder = mkdtempSync(join(tmpdir(), 'icepath-bench-quic-'));
const identity = await createIdentity();
writeFileSync(join(folder, 'cert.pem'), identity.certificate);
writeFileSync(join(folder, 'key.pem'), identity.key, { mode: 0o600 });

type Line = Readonly<Record<string, unknown>>;
interface Result {
  readonly megabits: number;
  /** Seconds of both ends' processors for a gigabyte, from their start to their end. */
  readonly cpuPerGigabyte: number;
  /** The same from the handshake on; `null` where the program does not say. */
  readonly transferCpuPerGigabyte: number | null;
  readonly client: readonly Line[];
  readonly server: readonly Line[];
}

/** The two ends, each in its namespace. */
interface Site {
  readonly client: readonly string[];
  readonly server: readonly string[];
  readonly address: string;
  readonly from: string;
  /** For the second path. */
  readonly further: { readonly address: string; readonly device: string } | null;
}
const LOOPBACK: Site = { client: [], server: [], address: '127.0.0.1', from: '127.0.0.1', further: null };

let port = 20_000 + (process.pid % 20_000);
const children = new Set<ChildProcess>();

function start(command: readonly string[]): { readonly child: ChildProcess; readonly output: Promise<string> } {
  const [program = '', ...options] = command;
  const child = spawn(program, options, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'], timeout: TIMEOUT_MS });
  children.add(child);
  let text = '';
  child.stdout.on('data', (bytes: Buffer) => {
    text += bytes.toString();
  });
  const output = new Promise<string>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', () => {
      children.delete(child);
      resolve(text);
    });
  });
  return { child, output };
}

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
const lines = (text: string): Line[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line);

/** Seconds of processors that all children have used that are over: cutime and cstime of proc(5), in ticks of 10 ms. */
function childrenCpu(): number {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[13]) + Number(fields[14])) / 100;
}

const perGigabyte = (seconds: number, bytes: number): number => (seconds / bytes) * 1e9;

/** What both ends printed; `seconds`: what they used of processors from their start to their end. */
function resultOf(
  client: readonly Line[],
  server: readonly Line[],
  { seconds, bytes }: { readonly seconds: number; readonly bytes: number },
): Result {
  const result = client.find(({ name }) => name === 'result');
  const cpuMs = Number(result?.cpuMs) + Number(server.find(({ name }) => name === 'closed')?.cpuMs);
  return {
    megabits: Number(result?.megabits),
    cpuPerGigabyte: perGigabyte(seconds, bytes),
    transferCpuPerGigabyte: perGigabyte(cpuMs / 1000, bytes),
    client,
    server,
  };
}

const ETHERNET = 1472;
type Kind = 'fast' | 'plain' | `fast-${typeof ETHERNET}` | `plain-${typeof ETHERNET}`;

async function ours(kind: Kind, site: Site, ...options: readonly string[]): Promise<Result> {
  const to = `${site.address}:${String((port += 1))}`;
  const [made = kind, mostBytes] = kind.split('-');
  const files = ['--cert', 'cert.pem', '--key', 'key.pem', '--back-end', made];
  if (mostBytes !== undefined) files.push('--most-datagram-bytes', mostBytes);
  const node = [process.execPath, PERF];
  const before = childrenCpu();
  const server = start([...site.server, ...node, 'server', '--listen', to, '--once', ...files, ...options]);
  await pause(1500);
  const further = site.further ? ['--path', site.further.address] : [];
  const asked = ['--to', to, '--from', site.from, '--download', String(BYTES), ...further, ...options];
  const client = lines(await start([...site.client, ...node, 'client', ...asked, ...files]).output);
  await pause(200);
  server.child.kill();
  const served = lines(await server.output);
  return resultOf(client, served, { seconds: childrenCpu() - before, bytes: BYTES });
}

/** A binding of Node's, on loopback. */
async function binding(kind: 'quiche' | 'iroh'): Promise<Result> {
  const before = childrenCpu();
  const node = [process.execPath, PEER, kind];
  const server = start([...node, 'server', String(BINDING_BYTES)]);
  const address = await new Promise<string>((resolve) => {
    server.child.stdout?.once('data', (bytes: Buffer) => {
      resolve(String(lines(bytes.toString())[0]?.address));
    });
    server.child.once('close', () => {
      resolve('');
    });
  });
  const client = lines(await start([...node, 'client', String(BINDING_BYTES), address]).output);
  server.child.kill();
  const served = lines(await server.output);
  return resultOf(client, served, { seconds: childrenCpu() - before, bytes: BINDING_BYTES });
}

async function picoquic(program: string, site: Site): Promise<Result> {
  const number = String((port += 1));
  const before = childrenCpu();
  const server = start([
    ...site.server,
    program,
    '-p',
    number,
    '-c',
    'cert.pem',
    '-k',
    'key.pem',
    '-G',
    'cubic',
    '-M',
    '-1',
  ]);
  await pause(500);
  const further = site.further ? ['-A', `${site.further.address}/${site.further.device}`] : [];
  const asked = ['-D', '-a', 'perf', '-n', 'localhost', '-G', 'cubic', '-M', ...further, site.address, number];
  const output = await start([...site.client, program, ...asked, `*1:397:${String(BYTES)};`]).output;
  server.child.kill();
  await server.output;
  return {
    megabits: Number(/Download_Mbps: ([\d.]+)/.exec(output)?.[1]),
    cpuPerGigabyte: perGigabyte(childrenCpu() - before, BYTES),
    transferCpuPerGigabyte: null,
    client: [],
    server: [],
  };
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

async function compare(site: Site, kinds: readonly Kind[]): Promise<void> {
  const results = new Map<string, Result[]>();
  const note = (name: string, result: Result): void => {
    results.set(name, [...(results.get(name) ?? []), result]);
  };
  const bindings = (['quiche', 'iroh'] as const).filter((kind) => BINDINGS[kind] !== undefined && !site.further);
  if (PICOQUIC === undefined) print('no picoquic: PICOQUIC_DEMO names no program; no ratios to it');
  for (let round = 1; round <= Number(rounds); round += 1) {
    if (PICOQUIC !== undefined) note('picoquic', await picoquic(PICOQUIC, site));
    for (const kind of kinds) note(kind, await ours(kind, site));
    // Those are so far away that one round tells it.
    if (round === 1) for (const kind of bindings) note(kind, await binding(kind));
    const all = [...results].map(([name, each]) => `${name} ${(each.at(-1)?.megabits ?? NaN).toFixed(1)}`);
    print(`round ${String(round)}, load ${loadavg()[0]?.toFixed(1) ?? '?'}, Mbit/s: ${all.join(', ')}`);
  }
  for (const [name, each] of results) {
    const of = (what: (result: Result) => number): number => median(each.map(what));
    const parts = [`median ${of(({ megabits }) => megabits).toFixed(1)} Mbit/s`];
    for (const [other, theirs] of results) {
      if (other === name || !kinds.some((kind) => kind === name) || kinds.some((kind) => kind === other)) continue;
      const ratios = theirs.map(({ megabits }, index) => (each[index]?.megabits ?? NaN) / megabits);
      parts.push(`${median(ratios).toFixed(3)} of ${other}`);
    }
    if (site.further) parts.push(`${((of(({ megabits }) => megabits) / SHAPED_SUM) * 100).toFixed(1)} % of the sum`);
    parts.push(`${of(({ cpuPerGigabyte }) => cpuPerGigabyte).toFixed(1)} s of CPU per GB, both ends`);
    const transfer = of(({ transferCpuPerGigabyte }) => transferCpuPerGigabyte ?? NaN);
    if (!Number.isNaN(transfer)) parts.push(`${transfer.toFixed(1)} from the handshake on`);
    print(`${name.padEnd(10)} ${parts.join(', ')}`);
  }
}

/** Two namespaces with two veth pairs, shaped on the server's side. */
async function shaped(): Promise<void> {
  const names = { client: `ibqc${String(process.pid)}`, server: `ibqs${String(process.pid)}` };
  const ip = (...options: readonly string[]): void => {
    execFileSync('ip', options, { stdio: ['ignore', 'ignore', 'inherit'] });
  };
  const within = (name: string): string[] => ['ip', 'netns', 'exec', name];
  try {
    for (const name of Object.values(names)) {
      ip('netns', 'add', name);
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
    for (const [index, rate] of ['100mbit', '50mbit'].entries()) {
      const device = `v${String(index)}`;
      ip('-n', names.client, 'link', 'add', device, 'type', 'veth', 'peer', 'name', device, 'netns', names.server);
      for (const [name, host] of [
        [names.client, '2'],
        [names.server, '1'],
      ] as const) {
        ip('-n', name, 'addr', 'add', `10.9.${String(index)}.${host}/24`, 'dev', device);
        ip('-n', name, 'link', 'set', device, 'up');
        const shape = ['tbf', 'rate', rate, 'burst', '32kb', 'latency', '20ms'];
        execFileSync('ip', ['netns', 'exec', name, 'tc', 'qdisc', 'add', 'dev', device, 'root', ...shape]);
      }
    }
    // Both paths lead to the server's one address; from the second by the second link, and back by the client's address.
    ip('-n', names.client, 'route', 'add', 'default', 'via', '10.9.1.1', 'dev', 'v1', 'table', '9');
    ip('-n', names.client, 'rule', 'add', 'from', '10.9.1.2', 'table', '9');
    const device = execFileSync('ip', ['-n', names.client, '-o', 'link', 'show', 'v1']).toString().split(':')[0] ?? '';
    const client = within(names.client);
    const further = { address: '10.9.1.2', device };
    const site = { client, server: within(names.server), address: '10.9.0.1', from: '10.9.0.2', further };
    await compare(site, ['fast']);
  } finally {
    for (const name of Object.values(names)) {
      try {
        ip('netns', 'del', name);
      } catch {
        // It was never made.
      }
    }
  }
}

/** Steady: what is resident in the last quarter of the samples is at most a tenth above what it is in the second. */
async function memory(): Promise<void> {
  const result = await ours('fast', LOOPBACK, '--statistics', '500');
  for (const end of ['client', 'server'] as const) {
    const resident = result[end].filter(({ name }) => name === 'statistics').map((line) => Number(line.rssBytes) / 1e6);
    const quarter = (index: number): number =>
      median(resident.slice((index * resident.length) / 4, ((index + 1) * resident.length) / 4));
    const every = Math.max(1, Math.floor(resident.length / 20));
    const some = resident.filter((_, index) => index % every === 0).map((each) => each.toFixed(0));
    print(`${end}: resident memory in the course of the transfer, MB: ${some.join(' ')}`);
    const [second, last] = [quarter(1), quarter(3)];
    const verdict = last <= 1.1 * second ? 'steady' : 'NOT steady';
    print(`${end}: median of the second quarter ${second.toFixed(0)}, of the last ${last.toFixed(0)}: ${verdict}`);
  }
  const cpu = result.transferCpuPerGigabyte ?? NaN;
  print(`${megabytes} MB at ${result.megabits.toFixed(1)} Mbit/s, ${cpu.toFixed(1)} s of CPU per GB, both ends`);
}

/** The third argument counts connections here. */
async function connections(kind: 'fast' | 'plain'): Promise<void> {
  const to = `127.0.0.1:${String((port += 1))}`;
  const files = ['--cert', 'cert.pem', '--back-end', kind];
  const server = start([process.execPath, PERF, 'server', '--listen', to, '--key', 'key.pem', ...files]);
  await pause(1500);
  const client = [process.execPath, fileURLToPath(new URL('quic-connections.js', import.meta.url))];
  const output = lines(await start([...client, '--to', to, '--connections', megabytes, ...files]).output);
  await pause(500);
  server.child.kill();
  const served = lines(await server.output);
  const result = output.find(({ name }) => name === 'result');
  const mb = (bytes: unknown): string => `${(Number(bytes) / 1e6).toFixed(0)} MB`;
  const most = Math.max(0, ...served.map(({ rssBytes }) => Number(rssBytes ?? 0)));
  print(
    `${kind}: of ${megabytes} connections ${String(result?.connected)} connected and fetched within ` +
      `${(Number(result?.connectMs) / 1000).toFixed(1)} s, ${String(result?.held)} held, ${String(result?.again)} fetched again; ` +
      `resident: client ${mb(result?.rssBytes)}, server ${mb(most)}; ` +
      `CPU of the client while they are idle: ${String(result?.idleCpuMs)} ms of 20,000`,
  );
}

try {
  if (mode === 'shaped') await shaped();
  else if (mode === 'connections') for (const kind of ['fast', 'plain'] as const) await connections(kind);
  else if (mode === 'memory') await memory();
  else await compare(LOOPBACK, ['fast', 'plain', `fast-${ETHERNET}`, `plain-${ETHERNET}`]);
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
