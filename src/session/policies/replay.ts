import { isIP } from 'node:net';
import { sameAddress, type Family, type TransportAddress } from '../../base/address.js';
import { drain } from '../../base/machine.js';
import { SeededRandom } from '../../base/random.js';
import type { Ms } from '../../base/time.js';
import { IceAgent } from '../../ice/agent.js';
import { parsePolicy } from '../../ice/policy.js';
import { UNHURRIED } from '../../ice/timing.js';
import type { Base, IceInput, IceOutput, PairView } from '../../ice/types.js';
import { PLAIN_ARM } from '../../mutation/names.js';
import { ROLES, type Role } from '../../verdict/words.js';
import { FAR, type EventOf, type RecordIndex } from '../record-index.js';
import { firstChange, keyOf, RecordedNetwork } from './recorded-network.js';

/** A path as packets have it: the interfaces of both ends, and the family of their sockets. */
export interface Between {
  readonly client: string;
  readonly server: string;
  readonly family: Family;
}

export interface Replay {
  /** When the client first checked each path; and when a check of its came back. */
  readonly checked: ReadonlyMap<string, Ms>;
  readonly valid: ReadonlyMap<string, Ms>;
  readonly selected: string | null;
  readonly probes: number;
  /** Paths whose checks went where nobody sent in the record. */
  readonly untried: ReadonlySet<string>;
}

export interface ReplayOptions {
  readonly index: RecordIndex;
  /** The arm that the run's checks began in. */
  readonly arm: string;
  readonly firstOnly: boolean;
  /** One way of the control channel. */
  readonly signalMs: Ms;
  /** `null`: there is no such path. */
  readonly pathOf: (between: Between) => string | null;
}

const CHECKS_PER_PAIR = 7;
/** A record is input: what is replayed of it is bounded. */
const MOST = { candidates: 64, events: 20_000, ms: 15_000 } as const;

/** The same candidates, round trips and losses under another policy: two agents, and between them what a record tells. */
export function replay(policy: string, options: ReplayOptions): Replay {
  return new Replaying(policy, options).run();
}

interface Scheduled {
  readonly at: Ms;
  readonly act: () => void;
}

class Replaying {
  readonly #options: ReplayOptions;
  readonly #network: RecordedNetwork;
  readonly #agents: Readonly<Record<Role, IceAgent>>;
  readonly #bases: Readonly<Record<Role, Base[]>> = { client: [], server: [] };
  readonly #queue: Scheduled[] = [];
  /** Where each host's interfaces have sent to: their NATs let in what comes from there. */
  readonly #opened = new Set<string>();
  readonly #done = new Set<Role>();
  readonly #checked = new Map<string, Ms>();
  readonly #valid = new Map<string, Ms>();
  readonly #untried = new Set<string>();
  #selected: string | null = null;
  #probes = 0;
  #now: Ms = 0;

  constructor(policy: string, options: ReplayOptions) {
    this.#options = options;
    this.#network = new RecordedNetwork(options.index, options.arm);
    const { client, server } = { client: credentialsOf('client'), server: credentialsOf('server') };
    const agent = (role: Role): IceAgent =>
      new IceAgent({
        controlling: role === 'client',
        tieBreaker: role === 'client' ? 2n : 1n,
        credentials: role === 'client' ? client : server,
        random: new SeededRandom(`replay ${role}`),
        policy: parsePolicy(policy),
        mode: options.firstOnly ? 'first-only' : 'all',
        servers: [],
        arm: PLAIN_ARM,
        checksPerPair: CHECKS_PER_PAIR,
        timing: options.firstOnly ? UNHURRIED : {},
        admits: (local, remote) =>
          remote.interface === null ||
          options.pathOf(between(role, local.interface, remote.interface, local.address.family)) !== null,
      });
    this.#agents = { client: agent('client'), server: agent('server') };
    const { signalMs } = options;
    this.#at(signalMs, () => {
      this.#feed('server', { type: 'remote-credentials', credentials: client, lite: false });
    });
    this.#at(2 * signalMs, () => {
      this.#feed('client', { type: 'remote-credentials', credentials: server, lite: false });
    });
    for (const role of ROLES) this.#gather(role);
  }

  run(): Replay {
    for (let count = 0; count < MOST.events && this.#now <= MOST.ms; count += 1) {
      const deadlines = ROLES.map((role) => this.#agents[role].deadline());
      const due = Math.min(...deadlines);
      const [next] = this.#queue;
      if (this.#done.size === ROLES.length && (this.#selected !== null || due === Infinity)) break;
      if (next && next.at <= due) {
        this.#queue.shift();
        this.#now = Math.max(this.#now, next.at);
        next.act();
      } else if (due === Infinity) break;
      else {
        this.#now = Math.max(this.#now, due);
        for (const [index, role] of ROLES.entries())
          if ((deadlines[index] ?? Infinity) <= this.#now) this.#feed(role, { type: 'timeout' });
      }
    }
    return {
      checked: this.#checked,
      valid: this.#valid,
      selected: this.#selected,
      probes: this.#probes,
      untried: this.#untried,
    };
  }

  /** Candidates come as and when they came in the run. */
  #gather(role: Role): void {
    const { index, signalMs } = this.#options;
    const interfaces = new Map((index.hosts.get(role)?.interfaces ?? []).map((on) => [on.name, on]));
    const began = index.all('run').find(({ host }) => host === role)?.t ?? 0;
    const until = firstChange(index, role);
    const own = index.all('candidate').filter((event) => event.host === role && event.t <= until && isFirst(event));
    let last = 0;
    const reflected = new Set<string>();
    for (const { t, interface: name, candidate, address } of own.slice(0, MOST.candidates)) {
      const on = interfaces.get(name);
      if (!on || isIP(address.address) === 0) continue;
      const at = Math.max(0, t - began) + (role === 'server' ? signalMs : 0);
      last = Math.max(last, at);
      if (candidate === 'host') {
        const id = `${role} ${name} ${address.address} ${String(address.port)}`;
        const base: Base = { id, address, interface: name, kind: on.kind, label: on.label, gathered: true };
        this.#bases[role].push(base);
        this.#at(at, () => {
          this.#feed(role, { type: 'base', base });
        });
      } else {
        const base = this.#bases[role].find(
          (one) => one.interface === name && one.address.family === address.family && !reflected.has(one.id),
        );
        if (!base) continue;
        reflected.add(base.id);
        this.#at(at, () => {
          this.#feed(role, { type: 'reflexive', base: base.id, mapped: address });
        });
      }
    }
    this.#at(last, () => {
      this.#feed(role, { type: 'bases-end' });
    });
  }

  #at(at: Ms, act: () => void): void {
    let index = this.#queue.length;
    while (index > 0 && (this.#queue[index - 1]?.at ?? 0) > at) index -= 1;
    this.#queue.splice(index, 0, { at, act });
  }

  #feed(role: Role, input: IceInput): void {
    const agent = this.#agents[role];
    agent.handle(input, this.#now);
    for (const output of drain(agent)) this.#output(role, output);
  }

  #output(role: Role, output: IceOutput): void {
    const signal = (input: IceInput): void => {
      this.#at(this.#now + this.#options.signalMs, () => {
        this.#feed(FAR[role], input);
      });
    };
    switch (output.type) {
      case 'candidate':
        signal({ type: 'remote-candidate', candidate: output.candidate });
        break;
      case 'candidates-end':
        signal({ type: 'remote-candidates-end' });
        break;
      case 'send':
        this.#send(role, output);
        break;
      case 'valid': {
        const path = this.#pathOf(role, output.pair);
        if (path !== null && role === 'client' && !this.#valid.has(path)) this.#valid.set(path, this.#now);
        break;
      }
      case 'selected':
        if (role === 'client') this.#selected = this.#pathOf(role, output.pair);
        break;
      case 'checks-done':
        this.#done.add(role);
        break;
      default:
    }
  }

  #send(role: Role, { base: id, to, message, purpose, pair }: Extract<IceOutput, { type: 'send' }>): void {
    const base = this.#bases[role].find((one) => one.id === id);
    if (!base) return;
    const view = pair === null ? null : this.#agents[role].pair(pair);
    const path = view && this.#pathOf(role, view);
    if (purpose === 'check') {
      this.#probes += 1;
      if (path !== null && role === 'client' && !this.#checked.has(path)) this.#checked.set(path, this.#now);
    }
    this.#opened.add(keyOf(role, base.interface, to));
    const link = this.#network.link(role, base.interface, to);
    if (link === undefined && path !== null) this.#untried.add(path);
    if (!link) return;
    const far = this.#arrivesAt(FAR[role], link.interface, to);
    if (!far) return;
    this.#at(this.#now + link.delayMs, () => {
      if (link.gated && !this.#opened.has(keyOf(FAR[role], link.interface, link.from))) return;
      this.#feed(FAR[role], { type: 'datagram', base: far.id, from: link.from, message, arm: PLAIN_ARM });
    });
  }

  #arrivesAt(role: Role, on: string, to: TransportAddress): Base | undefined {
    const own = this.#bases[role].filter((base) => base.interface === on && base.address.family === to.family);
    const known = this.#agents[role].localCandidates().find(({ address }) => sameAddress(address, to));
    return own.find(({ id }) => id === known?.base) ?? own[0];
  }

  #pathOf(role: Role, { local, remote, family }: PairView): string | null {
    if (remote.interface === null) return null;
    return this.#options.pathOf(between(role, local.interface, remote.interface, family));
  }
}

/** Neither of a socket that was opened for a second try, nor a relay: those depend on more than the order. */
function isFirst({ use, candidate, attempt }: EventOf<'candidate'>): boolean {
  return use === 'ice' && attempt === undefined && (candidate === 'host' || candidate === 'srflx');
}

function between(role: Role, near: string, far: string, family: Family): Between {
  return role === 'client' ? { client: near, server: far, family } : { client: far, server: near, family };
}

function credentialsOf(role: Role): { readonly ufrag: string; readonly password: string } {
  return { ufrag: role, password: `${role}/of/a/replay/in/one/process` };
}
