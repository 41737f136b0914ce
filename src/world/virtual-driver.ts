import type { TransportAddress } from '../base/address.js';
import { type Machine, Queue } from '../base/machine.js';
import type { Random } from '../base/random.js';
import { NEVER, type Ms } from '../base/time.js';
import type { SessionInput, SessionOutput, SocketId } from '../session/io.js';
import type { RecordEvent } from '../session/record.js';
import { answerTcp } from '../session/reflector-tcp.js';
import { encodeMessage, parseStrict, transactionKey } from '../stun/message.js';
import { METHODS, TRANSACTION_ID_BYTES } from '../stun/registry.js';
import type { Host, UdpSocket } from './host.js';
import type { Network } from './network.js';

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
}

/** What the far end of a control channel is told. */
export interface ControlPort {
  send(message: unknown): void;
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
  readonly #inputs = new Queue<SessionInput>();
  #state: 'new' | 'running' | 'over' = 'new';
  #pumping = false;
  /** The wake-up that is planned and not yet stale. */
  #wakeAt: Ms = NEVER;
  #control: ControlPort | null = null;

  constructor(options: VirtualDriverOptions) {
    this.#options = options;
  }

  get isOver(): boolean {
    return this.#state === 'over';
  }

  start(): void {
    const { host, startedAt } = this.#options;
    this.#state = 'running';
    this.#pump({ type: 'start', startedAt, interfaces: host.interfaces, counters: host.readCounters() });
  }

  /** The authenticated far end. */
  connect(port: ControlPort, address: string): void {
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

  /** As kill -9: sockets close, the control channel breaks, nothing more is said. */
  kill(): void {
    this.#end('the connection was reset');
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
    this.#schedule();
  }

  /** Only a deadline that came nearer needs a new wake-up: the planned one looks again. */
  #schedule(): void {
    const { machine, network } = this.#options;
    const deadline = this.isOver ? NEVER : machine.deadline();
    if (deadline >= this.#wakeAt || deadline === NEVER) return;
    const at = Math.max(deadline, network.now);
    this.#wakeAt = at;
    network.at(at, () => {
      if (this.#wakeAt !== at || this.isOver) return;
      this.#wakeAt = NEVER;
      if (machine.deadline() <= network.now) this.#take({ type: 'timeout' });
      else this.#schedule();
    });
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
      case 'disconnect': {
        const port = this.#control;
        this.#control = null;
        port?.close(output.reason);
        return;
      }
      case 'event':
        this.events.push(output.event);
        return;
      case 'log':
        this.logs.push({ level: output.level, name: output.name, fields: output.fields });
        return;
      case 'yardstick':
        // There is no libwebrtc on a virtual clock.
        this.#later(0, () => ({ type: 'yardstick', results: [] }));
        return;
      case 'finished':
        this.#end('the run is over');
        return;
    }
  }

  #open({ socket: id, interface: name, address, pin }: Extract<SessionOutput, { type: 'open' }>): void {
    const { host, answersTcp = false } = this.#options;
    this.#close(id);
    const opened = host.bind(address, pin ? name : null, {
      onDatagram: (from, bytes) => {
        this.#take({ type: 'datagram', socket: id, from, bytes });
      },
      onIcmp: (to, error, quoted) => {
        this.#take({ type: 'icmp', socket: id, to, error, quoted });
      },
    });
    if (typeof opened === 'string') {
      const message = `bind ${opened} ${address.address}`;
      this.#later(0, () => ({ type: 'socket-failed', socket: id, code: opened, message }));
      return;
    }
    this.#sockets.set(id, opened);
    if (answersTcp) host.tcp.listen(opened.local, answerTcp);
    this.#later(0, () => ({ type: 'opened', socket: id, local: opened.local, pinned: pin }));
  }

  #close(id: SocketId): void {
    const socket = this.#sockets.get(id);
    if (!socket) return;
    this.#options.host.close(socket);
    this.#sockets.delete(id);
  }

  #connectTcp(asked: Extract<SessionOutput, { type: 'connect-tcp' }>): void {
    const { host, random } = this.#options;
    const { token, from, to, timeoutMs } = asked;
    const transactionId = random.bytes(TRANSACTION_ID_BYTES);
    const request = encodeMessage({ method: METHODS.Binding, class: 'request', transactionId, attributes: [] });
    const device = asked.pin ? asked.interface : null;
    host.tcp.ask({ from, device, to, request, timeoutMs }, (code, answer, afterMs) => {
      const verdict = answer === null || isAnswer(answer, transactionId) ? code : 'EPROTO';
      this.#take({ type: 'tcp', token, code: verdict, afterMs });
    });
  }

  #end(reason: string): void {
    if (this.isOver) return;
    this.#state = 'over';
    for (const id of [...this.#sockets.keys()]) this.#close(id);
    this.#control?.close(reason);
    this.#control = null;
  }
}

function isAnswer(bytes: Uint8Array, transactionId: Uint8Array): boolean {
  const parsed = parseStrict(bytes);
  return parsed.ok && transactionKey(parsed.message.transactionId) === transactionKey(transactionId);
}

/** A reliable, ordered channel between two ends, `delayMs` each way. What is said is said as JSON. */
export function connectControl(
  network: Network,
  client: VirtualDriver,
  server: VirtualDriver,
  addresses: { readonly client: TransportAddress; readonly server: TransportAddress },
  delayMs: Ms,
): void {
  const towards = (far: VirtualDriver): ControlPort => ({
    send: (message) => {
      const text = JSON.stringify(message);
      network.after(delayMs, () => {
        far.message(JSON.parse(text));
      });
    },
    close: (reason) => {
      network.after(delayMs, () => {
        far.lost(reason);
      });
    },
  });
  client.connect(towards(server), addresses.server.address);
  server.connect(towards(client), addresses.client.address);
}
