import { setTimeout as delay } from 'node:timers/promises';
import { Queue } from '../base/machine.js';
import type { Machine } from '../base/machine.js';
import type { TransportAddress } from '../base/address.js';
import { errorCode } from '../base/errors.js';
import type { HostInterface } from '../base/interface.js';
import { NEVER } from '../base/time.js';
import type { Ms } from '../base/time.js';
import type {
  EgressCheck,
  EgressResult,
  CounterSnapshot,
  SessionInput,
  SessionOutput,
  SocketId,
} from '../session/io.js';
import type { RecordEvent } from '../session/record.js';
import { monotonicNow, wallClock } from './clock.js';
import type { ControlPort } from './control-port.js';
import { readCounters } from './counters.js';
import { checkEgress } from './egress.js';
import { type InterfaceWatchOptions, watchInterfaces } from './interface-watch.js';
import { connectReferenceTcp } from './reference-tcp.js';
import type { TcpRequest, TcpResult } from './reference-tcp.js';
import { UdpSockets } from './sockets.js';

export type LogLevel = Extract<SessionOutput, { type: 'log' }>['level'];

/** Where a run's lines go. What throws here ends the run: a record that cannot be written is no record. */
export interface Sink {
  event(event: RecordEvent): void;
  log(level: LogLevel, name: string, fields: Readonly<Record<string, unknown>>): void;
}

/** Signalling for the yardstick: messages of type `yardstick` go around the machine. */
export interface YardstickChannel {
  send(message: Readonly<Record<string, unknown>>): void;
  /** Those that came before it was set are delivered then. */
  onMessage: ((message: unknown) => void) | null;
}

export type Yardstick = (
  role: 'client' | 'server',
  references: readonly TransportAddress[],
  channel: YardstickChannel,
  /** Aborted when the run is over: nothing may stay open behind it. */
  signal: AbortSignal,
) => Promise<readonly unknown[]>;

/** What a driver does outside of the process; tests stand in. */
export interface Effects {
  now(): Ms;
  wallClock(): string;
  readCounters(): Promise<CounterSnapshot | null>;
  checkEgress(checks: readonly EgressCheck[], pin: boolean): Promise<readonly EgressResult[]>;
  connectTcp(request: TcpRequest, signal: AbortSignal): Promise<TcpResult>;
  /** Calls back when addresses of the run's interfaces come or go, or when there is another; gives how to end that. */
  watch(options: InterfaceWatchOptions): () => void;
}

export const REAL_EFFECTS: Effects = {
  now: monotonicNow,
  wallClock,
  readCounters: () => readCounters(),
  checkEgress: (checks, pin) => checkEgress(checks, pin),
  connectTcp: (request, signal) => connectReferenceTcp(request, signal),
  watch: watchInterfaces,
};

export interface DriverOptions {
  readonly machine: Machine<SessionInput, SessionOutput>;
  /** The interfaces of the run; addresses need not be known to the system (loopback stand-ins just bind). */
  readonly interfaces: readonly HostInterface[];
  /** Which interfaces that are plugged in under way are of the run, too; none where left out. */
  readonly joins?: InterfaceWatchOptions['joins'];
  readonly sink: Sink;
  readonly yardstick?: Yardstick;
  readonly effects?: Effects;
  /** Interfaces that a lab calls hung: what is on them opens, but neither sends nor hears. */
  readonly hung?: readonly string[];
  /** Interfaces that a lab calls mute: what is on them hears, but does not send. */
  readonly mute?: readonly string[];
}

/** `setTimeout` takes no more. */
const LONGEST_TIMER_MS = 0x7fff_ffff;

/**
 * Pumps one session machine on the real network: does what it asks for, tells it what came of it, keeps its one
 * deadline. Whatever happens, nothing stays open behind it.
 */
export class Driver {
  readonly #machine: Machine<SessionInput, SessionOutput>;
  readonly #interfaces: readonly HostInterface[];
  readonly #joins: InterfaceWatchOptions['joins'];
  readonly #sink: Sink;
  readonly #yardstick: Yardstick | null;
  readonly #effects: Effects;
  readonly #sockets: UdpSockets;
  readonly #hungInterfaces: readonly string[];
  /** Those that do not send: the hung ones, and those that hear all the same. */
  readonly #muteInterfaces: readonly string[];
  readonly #hungSockets = new Set<SocketId>();
  readonly #muteSockets = new Set<SocketId>();
  readonly #channel = new Channel((message) => this.#control?.send(message));
  readonly #inputs = new Queue<SessionInput>();
  readonly #abort = new AbortController();
  readonly #done: Promise<void>;
  #resolve: () => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  #state: 'new' | 'running' | 'over' = 'new';
  #pumping = false;
  #timer: NodeJS.Timeout | null = null;
  #timerAt: Ms = NEVER;
  #control: ControlPort | null = null;
  #unwatch: () => void = () => undefined;

  constructor(options: DriverOptions) {
    this.#machine = options.machine;
    this.#interfaces = options.interfaces;
    this.#joins = options.joins;
    this.#sink = options.sink;
    this.#yardstick = options.yardstick ?? null;
    this.#effects = options.effects ?? REAL_EFFECTS;
    this.#hungInterfaces = options.hung ?? [];
    this.#muteInterfaces = [...this.#hungInterfaces, ...(options.mute ?? [])];
    this.#sockets = new UdpSockets((input) => {
      const isHeard = input.type === 'datagram' || input.type === 'icmp';
      if (!isHeard || !this.#hungSockets.has(input.socket)) this.#take(input);
    });
    this.#done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // `run` hands a rejection on; without this one that comes before `run` awaits would end the process.
    this.#done.catch(() => undefined);
  }

  /** Resolves when the machine has finished, rejects when it or a sink threw; then everything is closed. Once only. */
  async run(): Promise<void> {
    const counters = await this.#effects.readCounters();
    if (this.#state === 'new') {
      this.#state = 'running';
      // `start` is the machine's first input: what came before it waits behind it.
      const startedAt = this.#effects.wallClock();
      this.#unwatch = this.#effects.watch({
        interfaces: this.#interfaces,
        ...(this.#joins && { joins: this.#joins }),
        onChange: (interfaces) => {
          this.#take({ type: 'interfaces', interfaces });
        },
      });
      this.#pump({ type: 'start', startedAt, interfaces: this.#interfaces, counters });
    }
    await this.#done;
  }

  /** The authenticated far end. One at a time; before or during the run. */
  connect(port: ControlPort): void {
    if (this.#state === 'over') {
      port.close('the run is over');
      return;
    }
    this.#control = port;
    this.#take({ type: 'peer-connected', address: port.peerAddress });
    port.onLost = (reason) => {
      if (this.#control !== port) return;
      this.#control = null;
      this.#take({ type: 'peer-lost', reason });
    };
    port.onMessage = (message) => {
      if (this.#control !== port) return;
      if (isYardstickMessage(message) && this.#yardstick) this.#channel.deliver(message);
      else this.#take({ type: 'message', message });
    };
  }

  /** Ctrl-C: the machine finishes with what is known. */
  interrupt(): void {
    this.#take({ type: 'interrupt' });
  }

  /** Ends the run at once, without the machine: everything is closed and `run` resolves. */
  stop(): void {
    this.#end();
    this.#resolve();
  }

  #fail(error: unknown): void {
    this.#end();
    this.#reject(error);
  }

  #take(input: SessionInput): void {
    if (this.#state === 'over') return;
    this.#inputs.push(input);
    this.#pump();
  }

  #pump(first?: SessionInput): void {
    if (this.#pumping || this.#state !== 'running') return;
    this.#pumping = true;
    try {
      for (let input = first ?? this.#inputs.shift(); input !== undefined; input = this.#inputs.shift()) {
        this.#machine.handle(input, this.#effects.now());
        this.#drainOutputs();
        if (this.#isOver()) return;
      }
      this.#schedule();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#pumping = false;
    }
  }

  #isOver(): boolean {
    return this.#state === 'over';
  }

  #drainOutputs(): void {
    for (let output = this.#machine.poll(); output !== undefined; output = this.#machine.poll()) {
      this.#perform(output);
      if (this.#isOver()) return;
    }
  }

  #perform(output: SessionOutput): void {
    switch (output.type) {
      case 'open':
        if (this.#hungInterfaces.includes(output.interface)) this.#hungSockets.add(output.socket);
        if (this.#muteInterfaces.includes(output.interface)) this.#muteSockets.add(output.socket);
        this.#sockets.open(output);
        return;
      case 'close':
        this.#sockets.close(output.socket);
        return;
      case 'send':
        if (!this.#muteSockets.has(output.socket)) this.#sockets.send(output);
        return;
      case 'check-egress':
        this.#answer(this.#effects.checkEgress(output.checks, output.pin), (results) => ({
          type: 'egress',
          token: output.token,
          results,
        }));
        return;
      case 'read-counters':
        this.#answer(this.#effects.readCounters(), (counters) => ({ type: 'counters', token: output.token, counters }));
        return;
      case 'connect-tcp':
        this.#answer(this.#connectTcp(output), (result) => ({
          type: 'tcp',
          token: output.token,
          ...result,
        }));
        return;
      case 'message':
        this.#control?.send(output.message);
        return;
      case 'disconnect':
        this.#disconnect(output.reason);
        return;
      case 'event':
        this.#sink.event(output.event);
        return;
      case 'log':
        this.#sink.log(output.level, output.name, output.fields);
        return;
      case 'yardstick':
        this.#answer(this.#measure(output.role, output.references), (results) => ({ type: 'yardstick', results }));
        return;
      case 'finished':
        this.stop();
        return;
    }
  }

  #answer<T>(work: Promise<T>, input: (result: T) => SessionInput): void {
    work.then(
      (result) => {
        this.#take(input(result));
      },
      (error: unknown) => {
        this.#fail(error);
      },
    );
  }

  async #connectTcp(request: TcpRequest): Promise<TcpResult> {
    const { signal } = this.#abort;
    if (!this.#muteInterfaces.includes(request.interface)) return await this.#effects.connectTcp(request, signal);
    await delay(request.timeoutMs, undefined, { signal }).catch(() => undefined);
    return { code: 'ETIMEDOUT', afterMs: request.timeoutMs };
  }

  /** The yardstick is an extra: when it fails, the run goes on without. */
  async #measure(role: 'client' | 'server', references: readonly TransportAddress[]): Promise<readonly unknown[]> {
    try {
      return this.#yardstick ? await this.#yardstick(role, references, this.#channel, this.#abort.signal) : [];
    } catch (error) {
      this.#sink.log('warn', 'yardstick.failed', { code: errorCode(error), message: String(error) });
      return [];
    }
  }

  #disconnect(reason: string): void {
    const port = this.#control;
    this.#control = null;
    port?.close(reason);
  }

  #schedule(): void {
    const deadline = this.#machine.deadline();
    if (deadline === this.#timerAt) return;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerAt = deadline;
    if (deadline === NEVER) return;
    const wait = Math.min(Math.max(0, Math.ceil(deadline - this.#effects.now())), LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => {
      this.#onTimer();
    }, wait);
  }

  #onTimer(): void {
    const due = this.#timerAt <= this.#effects.now();
    this.#timerAt = NEVER;
    this.#timer = null;
    // A timer may fire a moment early, and one that was cut to the longest does.
    if (due) this.#take({ type: 'timeout' });
    else this.#schedule();
  }

  #end(): void {
    this.#state = 'over';
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#unwatch();
    this.#sockets.closeAll();
    this.#abort.abort();
    this.#disconnect('the run is over');
  }
}

function isYardstickMessage(message: unknown): boolean {
  return typeof message === 'object' && message !== null && 'type' in message && message.type === 'yardstick';
}

/** A far end that signals before our own yardstick has begun may say this much. */
const EARLY_MESSAGES = 256;

class Channel implements YardstickChannel {
  readonly send: YardstickChannel['send'];
  readonly #early: unknown[] = [];
  #handler: YardstickChannel['onMessage'] = null;

  constructor(send: YardstickChannel['send']) {
    this.send = send;
  }

  get onMessage(): YardstickChannel['onMessage'] {
    return this.#handler;
  }

  set onMessage(handler: YardstickChannel['onMessage']) {
    this.#handler = handler;
    if (handler) for (const message of this.#early.splice(0)) handler(message);
  }

  deliver(message: unknown): void {
    if (this.#handler) this.#handler(message);
    else if (this.#early.length < EARLY_MESSAGES) this.#early.push(message);
  }
}
