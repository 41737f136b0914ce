import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Family, formatTransportAddress, transportAddress } from '../../base/address.js';
import { IcepathError } from '../../base/errors.js';
import type { Ms } from '../../base/time.js';
import { armsFileOf } from '../../session/arms-file.js';
import { judge } from '../../session/judge.js';
import { type RecordEvent, recordEventSchema } from '../../session/record.js';
import type { Report } from '../../verdict/report.js';
import { scheduleEvents } from '../events.js';
import { type HostName, type Internet, REFERENCE_ADDRESSES, wireInternet } from '../internet.js';
import { interfacesOf, type LabOptions, type LabRun, type Scenario } from '../scenario.js';
import { TURN_PORT, TURN_USER } from '../turn-host.js';
import { REFERENCE_PORTS } from '../virtual-run.js';
import { Child, type ChildOptions, RECORD_FILE } from './child.js';
import { Pump } from './pump.js';
import { needKernel, TURN_SERVER } from './requirements.js';
import { TunHost } from './tun-host.js';
import type { TransferPlan } from '../../session/transfer/types.js';

export interface KernelLabOptions extends LabOptions {
  /** How icepath is started: a program and its first arguments. */
  readonly command: readonly string[];
}

const START_LIMIT_MS: Ms = 30_000;
/** Far beyond what any run takes. */
const RUN_LIMIT_MS: Ms = 300_000;
/** What a client that is interrupted may take to say what it knows. */
const INTERRUPTED_LIMIT_MS: Ms = 15_000;

/**
 * A scenario between kernels: `icepath reflector`, `server` and `client` as they are, each in a network namespace, and
 * the world between them in this process. Nothing is left of it afterwards, however it ends; any number may run at once.
 * Throws `lab-no-kernel`, `lab-host-setup`, `lab-run-failed`, `lab-interrupted`, and what `openTun` throws.
 */
export async function runKernel(scenario: Scenario, options: KernelLabOptions): Promise<LabRun> {
  needKernel(scenario);
  const lab = new KernelLab(scenario, options);
  try {
    return await lab.run();
  } finally {
    await lab.close();
  }
}

class KernelLab {
  readonly #scenario: Scenario;
  readonly #options: KernelLabOptions;
  readonly #hosts: TunHost[] = [];
  readonly #children: Child[] = [];
  readonly #files: string[] = [];
  readonly #events: RecordEvent[] = [];
  #pump: Pump | null = null;
  #programs: Readonly<Record<HostName, Child>> | null = null;
  #killed: Child | null = null;
  /** Of what is told of events, or of a record that is none. */
  #failure: Error | null = null;

  constructor(scenario: Scenario, options: KernelLabOptions) {
    this.#scenario = scenario;
    this.#options = options;
  }

  async run(): Promise<LabRun> {
    const { seed, onWired } = this.#options;
    const internet = wireInternet({ ...this.#scenario.internet, seed }, (description) => {
      const host = new TunHost(description);
      this.#hosts.push(host);
      return host;
    });
    onWired?.(internet);
    this.#pump = new Pump(internet.network, this.#hosts);
    return await Promise.race([this.#pump.run(), this.#session(internet)]);
  }

  async close(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    await Promise.all(this.#children.map(({ ended }) => ended));
    this.#pump?.stop();
    for (const host of this.#hosts) host.close();
    for (const folder of this.#files) rmSync(folder, { recursive: true, force: true });
  }

  async #session(internet: Internet<TunHost>): Promise<LabRun> {
    const { run, internet: network } = this.#scenario;
    const families = network.families ?? ['ipv4'];
    const reflecting = run.reflector ? families.map((family) => this.#startReflector(internet.reference, family)) : [];
    const relaying = run.relay ? families.map((family) => this.#startRelay(internet.reference, family)) : [];
    const server = this.#start(internet.hosts.server, 'server', this.#serverArguments(families));
    await Promise.all([...reflecting, ...relaying]);
    const invite = await server.until('prints its invite', START_LIMIT_MS, () => inviteIn(server.stdout));
    this.#throwIfAborted();
    const args = this.#clientArguments(invite, families);
    const client = this.#start(internet.hosts.client, 'client', args, (line) => {
      try {
        this.#take(recordEventSchema.parse(JSON.parse(line)), internet);
      } catch (error) {
        this.#failure ??= error instanceof Error ? error : new Error(String(error));
        client.kill('SIGKILL');
      }
    });
    this.#programs = { server, client };
    await this.#endOf(client);
    if (this.#failure) throw this.#failure;
    return { report: this.#reportOf(client), events: this.#events };
  }

  #take(event: RecordEvent, internet: Internet<TunHost>): void {
    this.#events.push(event);
    if (event.type === 'run' && event.host === 'client') {
      scheduleEvents(this.#scenario.events, internet, (name) => {
        this.#killed = this.#programs?.[name] ?? null;
        this.#killed?.kill('SIGKILL');
      });
    }
    this.#options.onEvent?.(event);
  }

  async #endOf(client: Child): Promise<void> {
    const { signal } = this.#options;
    const interrupt = (): void => {
      client.kill('SIGINT');
      setTimeout(() => {
        client.kill('SIGKILL');
      }, INTERRUPTED_LIMIT_MS).unref();
    };
    signal?.addEventListener('abort', interrupt, { once: true });
    try {
      await client.until('comes to its end', RUN_LIMIT_MS, () => (client.isOver ? true : null));
    } finally {
      signal?.removeEventListener('abort', interrupt);
    }
  }

  #reportOf(client: Child): Report {
    if (client === this.#killed && this.#events.length > 0) return judge(this.#events);
    if (client.stdout === '') {
      this.#throwIfAborted();
      throw client.failure('ended without a report');
    }
    return JSON.parse(client.stdout) as Report;
  }

  #throwIfAborted(): void {
    if (this.#options.signal?.aborted !== true) return;
    throw new IcepathError('lab-interrupted', 'interrupted before the run began', 'Run it again.');
  }

  #serverArguments(families: readonly Family[]): string[] {
    const { pin, ports, guessPorts } = this.#scenario.run;
    return [
      '--once',
      '--pin',
      pinWord(pin.server),
      ...portsArgument(ports.server),
      ...(guessPorts.server ? ['--guess-ports'] : []),
      ...this.#turnArguments(families),
      ...this.#interfaceArguments('server'),
    ];
  }

  #clientArguments(invite: string, families: readonly Family[]): string[] {
    const { prefer, firstOnly, deep, wanted, pin, ports, guessPorts, referencePorts } = this.#scenario.run;
    return [
      invite,
      '--json',
      ...['--record', RECORD_FILE, '--pin', pinWord(pin.client), '--prefer', prefer, '--arms', this.#armsArgument()],
      ...(firstOnly ? ['--first-only'] : []),
      ...(deep ? ['--deep'] : []),
      ...wanted.flatMap(({ client, server }) => ['--wanted', `${client}↔${server}`]),
      ...families.flatMap((family) => ['--reference', referenceAt(family, 0)]),
      ...referencePorts.flatMap((port) => families.flatMap((family) => ['--reference', referenceAt(family, 0, port)])),
      ...portsArgument(ports.client),
      ...(guessPorts.client ? ['--guess-ports'] : []),
      ...this.#turnArguments(families),
      ...transferArguments(this.#scenario.run.transfer),
      ...(this.#options.profile ? ['--profile', this.#options.profile.given] : []),
      ...this.#interfaceArguments('client'),
    ];
  }

  /** As a user names them: built-in ones by name, others by the file that has them. */
  #armsArgument(): string {
    const { arms, ownArms } = this.#scenario.run;
    const own = ownArms.filter(({ name }) => arms.includes(name));
    if (own.length === 0) return arms.join(',');
    const folder = mkdtempSync(join(tmpdir(), 'icepath-lab-'));
    this.#files.push(folder);
    const file = join(folder, 'arms.yaml');
    writeFileSync(file, armsFileOf(own));
    return [...arms, file].join(',');
  }

  #interfaceArguments(name: HostName): string[] {
    const host = this.#hosts.find((one) => one.name === name);
    // Named are those that the user knows of: what is plugged in later a program has to find.
    if (host?.interfaces.some(({ starts }) => starts === 'absent') !== false) return [];
    return host.interfaces.flatMap((on) => ['--interface', `${on.name}=${on.kind}:${on.label}`]);
  }

  #turnArguments(families: readonly Family[]): string[] {
    if (!this.#scenario.run.relay) return [];
    const { username, password } = TURN_USER;
    const user = `${username}:${encodeURIComponent(password)}`;
    return families.flatMap((family) => ['--turn', `turn:${user}@${referenceAt(family, 0, TURN_PORT)}`]);
  }

  /** Resolves when it listens. */
  async #startReflector(host: TunHost, family: Family): Promise<void> {
    const more = portsArgument(this.#scenario.run.referencePorts);
    const args = ['--listen', referenceAt(family, 0), '--alternate', referenceAt(family, 1), ...more];
    await listening(host, this.#start(host, 'reflector', args), family, REFERENCE_PORTS);
  }

  /** coturn with its relays at the reference's first address; resolves when it listens. */
  async #startRelay(host: TunHost, family: Family): Promise<void> {
    const address = REFERENCE_ADDRESSES[family][0];
    const { username, password } = TURN_USER;
    const where = ['-L', address, '-E', address, '-p', String(TURN_PORT), '--pidfile=/dev/null', '--userdb=/dev/null'];
    const who = ['--lt-cred-mech', '-u', `${username}:${password}`, '-r', 'lab.example'];
    const quiet = ['-n', '--no-tls', '--no-dtls', '--no-cli', '--log-file=stdout', '--simple-log'];
    const relay = new Child(host, {
      command: [TURN_SERVER],
      args: [...quiet, ...who, ...where],
      role: TURN_SERVER,
      environment: { backend: 'kernel', seed: this.#options.seed, name: host.name, hung: [], mute: [] },
    });
    this.#children.push(relay);
    await listening(host, relay, family, [TURN_PORT]);
  }

  #start(host: TunHost, role: string, args: readonly string[], onRecord?: ChildOptions['onRecord']): Child {
    const { seed, command } = this.#options;
    const { run, hostNames } = this.#scenario;
    const isOurs = (name: string): name is HostName => name === 'client' || name === 'server';
    const child = new Child(host, {
      command,
      args: [role, ...args],
      environment: {
        backend: 'kernel',
        seed,
        name: isOurs(host.name) ? hostNames[host.name] : host.name,
        hung: interfacesOf(host.name, run.hung),
        mute: interfacesOf(host.name, run.mute),
      },
      ...(onRecord && { onRecord }),
    });
    this.#children.push(child);
    return child;
  }
}

async function listening(host: TunHost, child: Child, family: Family, ports: readonly number[]): Promise<void> {
  const wanted = ports.map((port) => `:${port.toString(16).toUpperCase().padStart(4, '0')} `);
  const table = `/proc/thread-self/net/${family === 'ipv4' ? 'udp' : 'udp6'}`;
  await child.until('listens', START_LIMIT_MS, () => {
    const sockets = host.run(() => readFileSync(table, 'utf8'));
    return wanted.every((port) => sockets.includes(port)) ? true : null;
  });
}

function pinWord(pin: boolean): string {
  return pin ? 'auto' : 'off';
}

function inviteIn(stdout: string): string | null {
  return /icepath:\/\/\S+(?=\s)/.exec(stdout)?.[0] ?? null;
}

function portsArgument(ports: readonly number[]): string[] {
  return ports.length === 0 ? [] : ['--ports', ports.join(',')];
}

function referenceAt(family: Family, which: 0 | 1, port: number = REFERENCE_PORTS[which]): string {
  return formatTransportAddress(transportAddress(REFERENCE_ADDRESSES[family][which], port));
}

function transferArguments(transfer: TransferPlan | null): string[] {
  if (!transfer) return [];
  const { seconds, direction, rateBps } = transfer;
  const rate = rateBps === null ? [] : ['--rate', `${String(rateBps / 1000)} kbit/s`];
  return ['--duration', String(seconds), '--transfer', direction, ...rate];
}
