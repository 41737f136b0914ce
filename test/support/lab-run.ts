import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RecordEvent } from '../../src/session/record.js';
import type { Report } from '../../src/verdict/report.js';
import type { Lab, LabProcess, Node } from './lab.js';
import { SERVERS, type HostName } from './lab-topology.js';

/** What was built (`npm run build`), unchanged: tests run in the repository's root. */
const CLI = resolve('dist/src/cli.js');
const CONTROL_PORT = 4800;
const [REFERENCE_PORT, ALTERNATE_PORT] = [3478, 3479] as const;
const DEFAULT_TIMEOUT_MS = 120_000;
const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 5_000;

/** A line of pino's on stderr; what is no JSON stands in `msg` as it is. */
export interface LogEvent {
  readonly msg: string;
  readonly [field: string]: unknown;
}

export type Role = 'client' | 'server' | 'reflector';

/** A run in progress, for what happens in its midst. */
export interface RunningIcepath {
  readonly lab: Lab;
  /** The first event, past or to come, of the client's log that matches. */
  readonly clientLogs: (matches: (event: LogEvent) => boolean) => Promise<LogEvent>;
  readonly kill: (role: Role, signal: NodeJS.Signals) => void;
}

export interface IcepathOptions {
  readonly lab: Lab;
  readonly clientArgs?: readonly string[];
  readonly serverArgs?: readonly string[];
  /** Started unless `false`; where it is not, its host answers with port-unreachable and RST. */
  readonly reflector?: boolean;
  readonly during?: (run: RunningIcepath) => Promise<void>;
  readonly timeoutMs?: number;
}

export interface IcepathResult {
  readonly report: Report;
  readonly exitCode: number | null;
  /** `null` where it was killed. */
  readonly serverExitCode: number | null;
  readonly record: readonly RecordEvent[];
  readonly log: Readonly<Record<'client' | 'server', readonly LogEvent[]>>;
  /** What went by during the run, by `LABEL/counter`. */
  readonly packets: Readonly<Record<string, number>>;
}

/** Runs reflector, server and client in a lab's namespaces to the client's end. Throws when there is no report. */
export async function runIcepath(options: IcepathOptions): Promise<IcepathResult> {
  const { lab, clientArgs = [], serverArgs = [], reflector = true, during, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  const started: IcepathProcess[] = [];
  const start = (role: Role, node: Node, args: readonly string[]): IcepathProcess => {
    const made = new IcepathProcess(role, lab.spawn(node, process.execPath, [CLI, ...args]));
    started.push(made);
    return made;
  };
  try {
    const references = lab.topology.families.map((family) => addresses(SERVERS[family].addresses));
    if (reflector) {
      for (const [first, second] of references) {
        const args = ['--listen', `${first}:${REFERENCE_PORT}`, '--alternate', `${second}:${ALTERNATE_PORT}`];
        await start('reflector', 'R', ['reflector', ...args]).listening([REFERENCE_PORT, ALTERNATE_PORT]);
      }
    }
    const common = (host: HostName) => [
      ...interfaceArgs(lab, host),
      ...references.flatMap(([first]) => ['--reference', `${first}:${REFERENCE_PORT}`]),
    ];
    const listen = `${lab.address('D', 'eth0')}:${CONTROL_PORT}`;
    const server = start('server', 'D', ['server', '--once', '--listen', listen, ...common('D'), ...serverArgs]);
    const invite = await server.invite();
    const before = lab.counters();
    const recordFile = join(lab.directory, 'client.icepath.jsonl');
    const client = start('client', 'L', [
      ...['client', invite, '--json', '--record', recordFile, '--wanted', 'wwan0↔usb0'],
      ...[...common('L'), ...clientArgs],
    ]);
    const interruption = during?.({
      lab,
      clientLogs: (matches) => client.logs(matches),
      kill: (role, signal) => {
        for (const made of started) if (made.role === role) made.child.kill(signal);
      },
    });
    // Awaited below; until then its failure must not end the process.
    interruption?.catch(() => undefined);
    const exitCode = await client.ended(timeoutMs);
    const packets = difference(before, lab.counters());
    await interruption;
    const serverExitCode = await server.ended(STOP_TIMEOUT_MS).catch(() => null);
    return {
      report: client.report(),
      exitCode,
      serverExitCode,
      record: jsonLines(recordFile),
      log: { client: client.log, server: server.log },
      packets,
    };
  } catch (error) {
    throw new Error(`${String(error)}\n${started.map((made) => made.story()).join('\n')}`, { cause: error });
  } finally {
    for (const made of started) made.child.kill('SIGKILL');
  }
}

/** IPv6 in brackets, as the command line wants it. */
function addresses(pair: readonly [string, string]): [string, string] {
  const [first, second] = pair;
  return first.includes(':') ? [`[${first}]`, `[${second}]`] : [first, second];
}

function interfaceArgs({ topology }: Lab, host: HostName): string[] {
  const uplinks = topology.uplinks.filter((uplink) => uplink.host === host);
  const lan = topology.lan === 'shared' ? ['--interface', 'eth0=ethernet:lan'] : [];
  return [
    ...lan,
    ...uplinks.flatMap(({ interface: name, kind, label }) => ['--interface', `${name}=${kind}:${label}`]),
  ];
}

function difference(before: Record<string, number>, after: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(after).map(([name, packets]) => [name, packets - (before[name] ?? 0)]));
}

function jsonLines(file: string): RecordEvent[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as RecordEvent);
}

class IcepathProcess {
  readonly role: Role;
  readonly child: LabProcess;
  readonly log: LogEvent[] = [];
  readonly #closed: Promise<number | null>;
  readonly #readers = new Set<() => void>();
  #stdout = '';

  constructor(role: Role, child: LabProcess) {
    this.role = role;
    this.child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.#wake();
    });
    createInterface({ input: child.stderr }).on('line', (line) => {
      this.log.push(logEvent(line));
      this.#wake();
    });
    this.#closed = once(child, 'close').then(([code]) => code as number | null);
    void this.#closed.then(() => {
      this.#wake();
    });
  }

  invite(): Promise<string> {
    return this.#until('prints an invite', START_TIMEOUT_MS, () => /icepath:\/\/\S+(?=\s)/.exec(this.#stdout)?.[0]);
  }

  logs(matches: (event: LogEvent) => boolean): Promise<LogEvent> {
    return this.#until('logs what was waited for', DEFAULT_TIMEOUT_MS, () => this.log.find(matches));
  }

  /** Until UDP sockets on all of `ports` are there, as the kernel tells it of the process's namespace. */
  async listening(ports: readonly number[]): Promise<void> {
    const wanted = ports.map((port) => `:${port.toString(16).toUpperCase().padStart(4, '0')} `);
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      if (this.child.exitCode !== null || Date.now() > deadline) throw new Error(`${this.role} does not listen`);
      const tables = ['udp', 'udp6'].map((table) => readFileSync(`/proc/${this.child.pid ?? 0}/net/${table}`, 'utf8'));
      if (wanted.every((port) => tables.some((table) => table.includes(port)))) return;
      await sleep(20);
    }
  }

  async ended(timeoutMs: number): Promise<number | null> {
    const limit = new AbortController();
    const late = sleep(timeoutMs, undefined, { signal: limit.signal }).then(() => {
      throw new Error(`${this.role} is not done after ${timeoutMs} ms`);
    });
    try {
      return await Promise.race([this.#closed, late]);
    } finally {
      late.catch(() => undefined);
      limit.abort();
    }
  }

  /** Stdout is one JSON document and nothing else. */
  report(): Report {
    return JSON.parse(this.#stdout) as Report;
  }

  /** The end of what it said, for a failure. */
  story(): string {
    const log = this.log.slice(-25).map((event) => `  ${JSON.stringify(event)}`);
    return [`${this.role} (exit ${String(this.child.exitCode)}): ${this.#stdout.slice(0, 300)}`, ...log].join('\n');
  }

  async #until<T>(what: string, timeoutMs: number, look: () => T | undefined): Promise<T> {
    const found = new Promise<T>((resolve, reject) => {
      const reader = () => {
        const value = look();
        if (value !== undefined) resolve(value);
        else if (this.child.exitCode !== null || this.child.signalCode !== null)
          reject(new Error(`${this.role} ended before it ${what}`));
        else return;
        this.#readers.delete(reader);
      };
      this.#readers.add(reader);
      reader();
      setTimeout(() => {
        reject(new Error(`${this.role}: not within ${timeoutMs} ms that it ${what}`));
      }, timeoutMs).unref();
    });
    return await found;
  }

  #wake(): void {
    for (const reader of [...this.#readers]) reader();
  }
}

function logEvent(line: string): LogEvent {
  try {
    return JSON.parse(line) as LogEvent;
  } catch {
    return { msg: line };
  }
}
