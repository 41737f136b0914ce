import { viewOf } from '../base/bytes.js';
import { type Machine, Queue } from '../base/machine.js';
import type { Random } from '../base/random.js';
import { NEVER, type Ms } from '../base/time.js';
import type { SessionInput, SessionOutput, SocketId } from '../session/io.js';
import type { RecordEvent } from '../session/record.js';
import { answerTcp as answerBinding } from '../session/reflector-tcp.js';
import { encodeMessage, parseStrict, transactionKey } from '../stun/message.js';
import { HEADER_BYTES, METHODS, TRANSACTION_ID_BYTES } from '../stun/registry.js';
import { Alarm } from './alarm.js';
import type { Host, UdpSocket } from './host.js';
import { findNat64 } from './nat64-discovery.js';
import type { Network } from './network.js';
import { answerTcp, askTcp } from './tcp-exchange.js';

export interface LogLine {
  readonly level: Extract<SessionOutput, { type: 'log' }>['level'];
  readonly name: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface VirtualDriverOptions {
  readonly machine: Machine<SessionInput, SessionOutput>;
  readonly host: Host;
  readonly network: Network;
  readonly random: Random;
  /** The wall clock of this host at the start, ISO 8601. */
  readonly startedAt: string;
  /** Whether each UDP socket has a TCP listener beside it that answers STUN: the reflector. */
  readonly answersTcp?: boolean;
  /** Interfaces whose sockets open, but neither send nor hear: what is given to them is never heard of again. */
  readonly hung?: readonly string[];
  /** Interfaces whose sockets hear, but do not send. */
  readonly mute?: readonly string[];
  /** Told of each line of the record when it is written. */
  readonly onEvent?: (event: RecordEvent) => void;
}

/** The authenticated far end. */
export interface ControlPort {
  send(message: Readonly<Record<string, unknown>>): void;
  /** Lets what was already sent leave, then ends the channel. */
  close(reason: string): void;
}

/** How long the kernel's tables take to be read; a guess that only has to be more than nothing. */
const READING_MS: Ms = 5;

/** Pumps one session machine on a simulated host: the same contract as the driver of real networks (net/driver.ts). */
export class VirtualDriver {
  readonly events: RecordEvent[] = [];
  readonly logs: LogLine[] = [];
  readonly #options: VirtualDriverOptions;
  readonly #sockets = new Map<SocketId, UdpSocket>();
  /** Sockets that do not send, and those of them that do not hear either. */
  readonly #mute = new Set<SocketId>();
  readonly #hung = new Set<SocketId>();
  readonly #listeners = new Map<SocketId, () => void>();
  /** What else the process has open: how it is closed. */
  readonly #held = new Set<() => void>();
  readonly #alarm: Alarm;
  readonly #inputs = new Queue<SessionInput>();
  #state: 'new' | 'running' | 'over' = 'new';
  #pumping = false;
  #control: ControlPort | null = null;

  constructor(options: VirtualDriverOptions) {
    this.#options = options;
    const { machine, network } = options;
    this.#alarm = new Alarm(
      network,
      () => (this.isOver ? NEVER : machine.deadline()),
      () => {
        this.#take({ type: 'timeout' });
      },
    );
  }

  get host(): Host {
    return this.#options.host;
  }

  get network(): Network {
    return this.#options.network;
  }

  get isConnected(): boolean {
    return this.#control !== null;
  }

  get isOver(): boolean {
    return this.#state === 'over';
  }

  start(): void {
    const { host, network, startedAt } = this.#options;
    findNat64(host, network, (interfaces) => {
      if (this.isOver) return;
      this.#state = 'running';
      host.onInterfaces = (changed) => {
        this.#later(READING_MS, () => ({ type: 'interfaces', interfaces: changed }));
      };
      this.#pump({ type: 'start', startedAt, interfaces, counters: host.readCounters() });
    });
  }

  /** The authenticated far end. */
  connect(port: ControlPort, address: string): void {
    if (this.isOver) {
      port.close('the run is over');
      return;
    }
    this.#control = port;
    this.#take({ type: 'peer-connected', address });
  }

  /** From the far end, over the control channel. */
  message(message: unknown): void {
    if (this.#control) this.#take({ type: 'message', message });
  }

  /** The control channel ended from the far end, or broke. */
  lost(reason: string): void {
    if (!this.#control) return;
    this.#control = null;
    this.#take({ type: 'peer-lost', reason });
  }

  /** Ctrl-C. */
  interrupt(): void {
    this.#take({ type: 'interrupt' });
  }

  /** As kill -9: the kernel closes what the process had open, and nothing more is said. */
  kill(): void {
    this.#control = null;
    this.#end();
  }

  /** Has `release` called when the process ends. Gives how to let go of it. */
  hold(release: () => void): () => void {
    this.#held.add(release);
    return () => {
      this.#held.delete(release);
    };
  }

  #take(input: SessionInput): void {
    if (this.isOver) return;
    this.#inputs.push(input);
    this.#pump();
  }

  #pump(first?: SessionInput): void {
    if (this.#pumping || this.#state !== 'running') return;
    this.#pumping = true;
    const { machine, network } = this.#options;
    for (let input = first ?? this.#inputs.shift(); input !== undefined; input = this.#inputs.shift()) {
      machine.handle(input, network.now);
      for (let output = machine.poll(); output !== undefined && !this.isOver; output = machine.poll()) {
        this.#perform(output);
      }
      if (this.isOver) break;
    }
    this.#pumping = false;
    this.#alarm.update();
  }

  #later(after: Ms, input: () => SessionInput): void {
    this.#options.network.after(after, () => {
      this.#take(input());
    });
  }

  #perform(output: SessionOutput): void {
    const { host } = this.#options;
    switch (output.type) {
      case 'open':
        this.#open(output);
        return;
      case 'close':
        this.#close(output.socket);
        return;
      case 'send': {
        const { token, to, bytes, ttl } = output;
        if (this.#mute.has(output.socket)) return;
        const socket = this.#sockets.get(output.socket);
        this.#inputs.push({ type: 'sent', token, code: socket ? host.sendUdp(socket, to, bytes, ttl) : 'EBADF' });
        return;
      }
      case 'check-egress': {
        const { token, checks, pin } = output;
        this.#later(READING_MS, () => {
          return { type: 'egress', token, results: checks.map((check) => host.checkEgress(check, pin)) };
        });
        return;
      }
      case 'read-counters':
        this.#later(READING_MS, () => ({ type: 'counters', token: output.token, counters: host.readCounters() }));
        return;
      case 'connect-tcp':
        this.#connectTcp(output);
        return;
      case 'message':
        this.#control?.send(output.message);
        return;
      case 'disconnect':
        this.#disconnect(output.reason);
        return;
      case 'event':
        this.events.push(output.event);
        this.#options.onEvent?.(output.event);
        return;
      case 'log':
        this.logs.push({ level: output.level, name: output.name, fields: output.fields });
        return;
      case 'yardstick':
        // There is no libwebrtc on a virtual clock.
        this.#later(0, () => ({ type: 'yardstick', results: [] }));
        return;
      case 'finished':
        this.#disconnect('the run is over');
        this.#end();
        return;
    }
  }

  #open({ socket: id, interface: name, address, pin }: Extract<SessionOutput, { type: 'open' }>): void {
    const { host, answersTcp = false } = this.#options;
    this.#close(id);
    const opened = host.bind(address, pin ? name : null, {
      onDatagram: (from, bytes) => {
        if (!this.#hung.has(id)) this.#take({ type: 'datagram', socket: id, from, bytes });
      },
      onIcmp: (to, error, quoted) => {
        if (!this.#hung.has(id)) this.#take({ type: 'icmp', socket: id, to, error, quoted });
      },
    });
    if (typeof opened === 'string') {
      const message = `bind ${opened} ${address.address}`;
      this.#later(0, () => ({ type: 'socket-failed', socket: id, code: opened, message }));
      return;
    }
    this.#sockets.set(id, opened);
    if (!this.#sends(name)) this.#mute.add(id);
    if (this.#options.hung?.includes(name) === true) this.#hung.add(id);
    const listener = answersTcp ? answerTcp(host.tcp, opened.local, answerBinding) : null;
    if (typeof listener === 'function') this.#listeners.set(id, listener);
    this.#later(0, () => ({ type: 'opened', socket: id, local: opened.local, pinned: pin }));
  }

  #close(id: SocketId): void {
    const socket = this.#sockets.get(id);
    if (!socket) return;
    this.#options.host.close(socket);
    this.#sockets.delete(id);
    this.#mute.delete(id);
    this.#hung.delete(id);
    this.#listeners.get(id)?.();
    this.#listeners.delete(id);
  }

  #connectTcp(asked: Extract<SessionOutput, { type: 'connect-tcp' }>): void {
    const { host, random } = this.#options;
    const { token, from, to, timeoutMs } = asked;
    if (!this.#sends(asked.interface)) {
      this.#later(timeoutMs, () => ({ type: 'tcp', token, code: 'ETIMEDOUT', afterMs: timeoutMs }));
      return;
    }
    const transactionId = random.bytes(TRANSACTION_ID_BYTES);
    const request = encodeMessage({ method: METHODS.Binding, class: 'request', transactionId, attributes: [] });
    const device = asked.pin ? asked.interface : null;
    const judge = (received: Uint8Array): 'EPROTO' | null | undefined => judgeAnswer(received, transactionId);
    const abandon = askTcp(host.tcp, { from, device, to, request, timeoutMs, judge }, (code, afterMs) => {
      letGo();
      this.#take({ type: 'tcp', token, code, afterMs });
    });
    const letGo = this.hold(abandon);
  }

  #sends(name: string): boolean {
    const { hung = [], mute = [] } = this.#options;
    return !hung.includes(name) && !mute.includes(name);
  }

  #disconnect(reason: string): void {
    const port = this.#control;
    this.#control = null;
    port?.close(reason);
  }

  #end(): void {
    if (this.isOver) return;
    this.#state = 'over';
    this.#options.host.onInterfaces = null;
    for (const id of [...this.#sockets.keys()]) this.#close(id);
    for (const release of [...this.#held]) release();
    this.#held.clear();
  }
}

/** `null`: an answer to this transaction; `undefined`: not whole yet. As in net/reference-tcp.ts. */
function judgeAnswer(received: Uint8Array, transactionId: Uint8Array): 'EPROTO' | null | undefined {
  if (received.length < HEADER_BYTES) return undefined;
  const end = HEADER_BYTES + viewOf(received).getUint16(2);
  if (received.length < end) return undefined;
  const parsed = parseStrict(received.subarray(0, end));
  const isOwn = parsed.ok && transactionKey(parsed.message.transactionId) === transactionKey(transactionId);
  return isOwn ? null : 'EPROTO';
}
