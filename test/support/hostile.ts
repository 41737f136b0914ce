import { expect } from 'vitest';
import { transportAddress, type TransportAddress } from '../../src/base/address.js';
import type { HostInterface, InterfaceKind } from '../../src/base/interface.js';
import { SeededRandom } from '../../src/base/random.js';
import type { Ms } from '../../src/base/time.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import { renderReport } from '../../src/report/terminal.js';
import { ClientSession } from '../../src/session/client.js';
import type { SessionInput, SessionOutput } from '../../src/session/io.js';
import { judge } from '../../src/session/judge.js';
import { ServerSession } from '../../src/session/server.js';

export function hostInterface(name: string, kind: InterfaceKind, label: string, ...addresses: string[]): HostInterface {
  return {
    name,
    kind,
    label,
    addresses: addresses.map((address) => ({
      family: address.includes(':') ? 'ipv6' : 'ipv4',
      address,
      prefixLength: address.includes(':') ? 64 : 24,
    })),
  };
}

/** A far end that has the invite, and is broken or means harm; RFC 5737 addresses stand for its victims. */
export const INTERFACES = [
  hostInterface('eth0', 'ethernet', 'lan', '192.168.77.1'),
  hostInterface('wwan0', 'cellular', 'o2', '10.2.0.2', '2001:db8::2'),
];
export const REFERENCE = transportAddress('198.51.100.10', 3478);
export const VICTIM = transportAddress('203.0.113.7', 40_000);
export const KEY = 'A'.repeat(43);

export type Message = Readonly<Record<string, unknown>>;
export interface Send {
  readonly at: Ms;
  readonly to: TransportAddress;
  /** Of the UDP payload. */
  readonly bytes: number;
  readonly ttl: number | null;
}

/** Opens every socket, takes every packet, answers every question; notes what the machine did. */
export class Victim {
  readonly machine: ClientSession | ServerSession;
  readonly sends: Send[] = [];
  readonly messages: Message[] = [];
  readonly logs: { readonly name: string; readonly fields: Readonly<Record<string, unknown>> }[] = [];
  readonly open = new Set<string>();
  mostOpen = 0;
  events = 0;
  finished = false;
  now: Ms = 0;
  #ports = 40_000;
  #idle = 0;

  constructor(role: 'client' | 'server', references: readonly TransportAddress[] = []) {
    const common = {
      random: new SeededRandom('hostile'),
      version: 'test',
      name: role,
      backend: 'virtual',
      label: null,
      seed: 1,
      pinning: 'device' as const,
      references,
    };
    this.machine =
      role === 'server'
        ? new ServerSession({ ...common, pin: null })
        : new ClientSession(
            {
              policy: 'equal',
              arms: ARM_NAMES,
              firstOnly: false,
              wanted: null,
              pin: true,
              references,
              checksPerPair: 7,
              ownArms: [],
              deep: false,
              webrtc: false,
            },
            common,
          );
    this.feed({ type: 'start', startedAt: '2024-06-06T11:46:00.000Z', interfaces: INTERFACES, counters: null });
    this.feed({ type: 'peer-connected', address: 'test' });
  }

  feed(input: SessionInput): void {
    const inputs = [input];
    for (let next = inputs.shift(); next; next = inputs.shift()) {
      this.machine.handle(next, this.now);
      for (let output = this.machine.poll(); output; output = this.machine.poll()) inputs.push(...this.#answer(output));
    }
  }

  say(...messages: readonly unknown[]): void {
    for (const message of messages) this.feed({ type: 'message', message });
  }

  /** Runs the clock to `until`; a machine whose deadline does not move on would never let a driver sleep. */
  advance(until: Ms): void {
    while (!this.finished && this.machine.deadline() <= until) {
      const deadline = this.machine.deadline();
      expect(deadline).not.toBeNaN();
      this.#idle = deadline <= this.now ? this.#idle + 1 : 0;
      if (this.#idle > 1000) throw new Error(`no progress at ${String(this.now)} ms`);
      this.now = Math.max(this.now, deadline);
      this.feed({ type: 'timeout' });
    }
    if (!this.finished) this.now = until;
  }

  /** To the end of the run, which comes by itself. */
  end(): void {
    this.advance(this.now + 1_000_000);
    expect(this.finished).toBe(true);
    expect(this.open.size).toBe(0);
    if (this.machine.events.length > 0) renderReport(judge(this.machine.events), { colour: false, columns: 100 });
  }

  #answer(output: SessionOutput): SessionInput[] {
    switch (output.type) {
      case 'open': {
        this.open.add(output.socket);
        this.mostOpen = Math.max(this.mostOpen, this.open.size);
        this.#ports += 1;
        const local = { ...output.address, port: 32_768 + (this.#ports % 28_000) };
        return [{ type: 'opened', socket: output.socket, local, pinned: true }];
      }
      case 'close':
        this.open.delete(output.socket);
        return [];
      case 'send':
        this.sends.push({ at: this.now, to: output.to, bytes: output.bytes.length, ttl: output.ttl ?? null });
        return [{ type: 'sent', token: output.token, code: null }];
      case 'check-egress':
        expect(output.checks.length).toBeLessThan(1000);
        return [{ type: 'egress', token: output.token, results: [] }];
      case 'read-counters':
        return [{ type: 'counters', token: output.token, counters: null }];
      case 'connect-tcp':
        return [{ type: 'tcp', token: output.token, code: 'ETIMEDOUT', afterMs: 3000 }];
      case 'yardstick':
        return [{ type: 'yardstick', results: [] }];
      case 'message':
        this.messages.push(output.message);
        return [];
      case 'log':
        this.logs.push({ name: output.name, fields: output.fields });
        return [];
      case 'event':
        this.events += 1;
        return [];
      case 'finished':
        this.finished = true;
        return [];
      default:
        return [];
    }
  }
}

export const hello = {
  type: 'hello',
  version: 'evil',
  name: 'M',
  interfaces: [hostInterface('usb0', 'tethered', 'telekom', '10.4.0.2')],
  pinning: 'device',
  references: [],
};
export const plan = (changes: Message = {}): Message => ({
  type: 'plan',
  runId: 'r',
  started: 'now',
  policy: 'equal',
  arms: ['random', 'stun'],
  firstOnly: false,
  wanted: null,
  pin: true,
  references: [],
  sessionKey: KEY,
  checksPerPair: 7,
  webrtc: false,
  ...changes,
});
export const candidate = (address: TransportAddress, index = 0): Message => ({
  type: 'candidate',
  candidate: {
    type: 'host',
    address,
    foundation: `f${String(index)}`,
    component: 1,
    priority: 2_000_000_000 - index,
    interface: 'usb0',
    kind: 'tethered',
    label: 'telekom',
  },
});
export const sockets = (block: number, ends: readonly Message[]): Message => ({ type: 'sockets', block, ends });
export const end = (arm: string, ...addresses: readonly TransportAddress[]): Message => ({
  interface: 'usb0',
  family: 'ipv4',
  arm,
  addresses,
});
export const third = (index: number): TransportAddress =>
  transportAddress(`198.18.${String(index >> 8)}.${String(index & 255)}`, 40_000);
export const distinct = (sends: readonly Send[]): Set<string> => new Set(sends.map(({ to }) => to.address));
export const refusals = ({ logs }: Victim): unknown[] =>
  logs.filter(({ name }) => name === 'run.refused').map(({ fields }) => fields.reason);

/** The most sends in any second. */
export function busiestSecond(sends: readonly Send[]): number {
  let most = 0;
  let first = 0;
  sends.forEach(({ at }, index) => {
    while ((sends[first]?.at ?? at) <= at - 1000) first += 1;
    most = Math.max(most, index - first + 1);
  });
  return most;
}
