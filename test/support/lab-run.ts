import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RecordEvent } from '../../src/session/record.js';
import type { Report } from '../../src/verdict/report.js';
import type { Lab } from './lab.js';
import { startIcepath, type IcepathProcess, type LogEvent, type Role } from './lab-process.js';
import { SERVERS, type Family, type HostName } from './lab-topology.js';

const CONTROL_PORT = 4800;
const [REFERENCE_PORT, ALTERNATE_PORT] = [3478, 3479] as const;
/** Only a hang takes so long: with experiments a run lasts a minute, on a busy machine two. */
const DEFAULT_TIMEOUT_MS = 300_000;
const STOP_TIMEOUT_MS = 5_000;

export type Reflector = 'whole' | 'no-alternate' | 'none';

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
  /** `none`: its host answers with port-unreachable and RST. `no-alternate`: started with one address. */
  readonly reflector?: Reflector;
  readonly during?: (run: RunningIcepath) => Promise<void>;
  /** The interfaces that icepath may use, by name; all by default. The control channel goes over eth0 in any case. */
  readonly only?: readonly string[];
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
  const {
    lab,
    clientArgs = [],
    serverArgs = [],
    reflector = 'whole',
    during,
    only,
    timeoutMs = DEFAULT_TIMEOUT_MS,
  } = options;
  const started: IcepathProcess[] = [];
  const start: typeof startIcepath = (...how) => {
    const made = startIcepath(...how);
    started.push(made);
    return made;
  };
  try {
    for (const { args, ports } of reflectors(lab, reflector)) await start(lab, 'R', args).listening(ports);
    const server = start(lab, 'D', [...serverCommand(lab, only), '--once', ...serverArgs]);
    const invite = await server.invite();
    const before = lab.counters();
    const recordFile = join(lab.directory, 'client.icepath.jsonl');
    const command = clientCommand(lab, invite, only);
    const client = start(lab, 'L', [...command, '--json', '--record', recordFile, ...clientArgs]);
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

interface ReflectorCommand {
  readonly args: ['reflector', ...string[]];
  /** Where it listens then. */
  readonly ports: readonly number[];
}

/** One a family; whole, it can do everything that the NAT model asks for. */
export function reflectors({ topology }: Lab, how: Reflector = 'whole'): ReflectorCommand[] {
  if (how === 'none') return [];
  return topology.families.map((family) => {
    const [first, second] = referenceAddresses(family);
    const listen = ['--listen', `${first}:${REFERENCE_PORT}`];
    return how === 'whole'
      ? {
          args: ['reflector', ...listen, '--alternate', `${second}:${ALTERNATE_PORT}`],
          ports: [REFERENCE_PORT, ALTERNATE_PORT],
        }
      : { args: ['reflector', ...listen], ports: [REFERENCE_PORT] };
  });
}

export function serverCommand(lab: Lab, only?: readonly string[]): ['server', ...string[]] {
  return ['server', '--listen', `${lab.address('D', 'eth0')}:${CONTROL_PORT}`, ...common(lab, 'D', only)];
}

export function clientCommand(lab: Lab, invite: string, only?: readonly string[]): ['client', ...string[]] {
  return ['client', invite, '--wanted', 'wwan0↔usb0', ...common(lab, 'L', only)];
}

function common(lab: Lab, host: HostName, only?: readonly string[]): string[] {
  const references = lab.topology.families.map((family) => `${referenceAddresses(family)[0]}:${REFERENCE_PORT}`);
  return [...interfaceArgs(lab, host, only), ...references.flatMap((reference) => ['--reference', reference])];
}

/** IPv6 in brackets, as the command line wants it. */
function referenceAddresses(family: Family): [string, string] {
  const [first, second] = SERVERS[family].addresses;
  return first.includes(':') ? [`[${first}]`, `[${second}]`] : [first, second];
}

function interfaceArgs({ topology }: Lab, host: HostName, only?: readonly string[]): string[] {
  const uplinks = topology.uplinks.filter((uplink) => uplink.host === host);
  const all = [
    ...(topology.lan === 'shared' ? [{ interface: 'eth0', kind: 'ethernet', label: 'lan' }] : []),
    ...uplinks,
  ].filter((on) => only === undefined || only.includes(on.interface));
  return all.flatMap(({ interface: name, kind, label }) => ['--interface', `${name}=${kind}:${label}`]);
}

function difference(before: Record<string, number>, after: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(after).map(([name, packets]) => [name, packets - (before[name] ?? 0)]));
}

function jsonLines(file: string): RecordEvent[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as RecordEvent);
}
