import { sameAddress, type Family, type TransportAddress } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import { NEVER, type Ms } from '../base/time.js';
import type { ControlMessage } from '../control/messages.js';
import type { Candidate, LocalCandidate } from '../ice/types.js';
import { CONTROL_ARM, type ArmName } from '../mutation/names.js';
import { buildProbe, recogniseProbe } from '../mutation/probe.js';
import type { ArmRegistry } from '../mutation/registry.js';
import type { Way } from '../verdict/words.js';
import type { Host, OpenSocket, SocketOwner } from './host.js';
import { LIMITS, type PeerAddresses } from './limits.js';
import type { PresentInterfaces } from './near-interfaces.js';
import { pathId } from './record.js';
import { ReferenceLeg } from './reference-leg.js';

/** A path, as both ends name it. */
export interface PathName {
  readonly client: string;
  readonly server: string;
  readonly family: Family;
}

/** The ICE agent, as far as sockets that join it later are concerned. */
export interface LateSockets {
  /** The agent has a new base that pairs with nothing but candidates of `group`; its host candidate. */
  adopt(socket: OpenSocket, group: string, arm: ArmName): LocalCandidate | null;
  /** Its reflexive candidate, where it differs from the host's. */
  reflect(socket: OpenSocket, mapped: TransportAddress): LocalCandidate | null;
  /** Its checks begin. */
  candidate(candidate: Candidate): void;
  datagram(socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): void;
  /** What became of the pairs of a group. */
  stateOf(group: string): 'up' | 'checking' | 'failed';
}

export interface RegatheringOptions {
  readonly sockets: LateSockets;
  readonly interfaces: PresentInterfaces;
  readonly arms: ArmRegistry;
  readonly references: readonly TransportAddress[];
  readonly peer: PeerAddresses;
  readonly sessionKey: Uint8Array;
  readonly pin: boolean;
  /** The TTL that crosses this host's own NATs there, where an early packet spoils them; `null`: no opener is needed, or none is known. */
  readonly openerTtl: (on: string, family: Family) => number | null;
}

/** How long the sockets may look for their reflexive addresses. */
const GATHER_MS: Ms = 1500;
/** Sockets of a try: one whose way to the reference is dead would name no address that the far end can reach. */
const MOST_SOCKETS = 3;
/** Openers: so many, so far apart, and how long after the first one all NATs on the way are open (facts.md). */
const OPENERS = 3;
const OPENER_EVERY_MS: Ms = 100;
const OPENED_MS: Ms = 500;
/** How long the far end may take over its half, and the checks over theirs. */
const FAR_PATIENCE_MS: Ms = 5000;
const CHECKS_MS: Ms = 8000;

interface Attempt {
  readonly path: string;
  readonly name: PathName;
  readonly number: number;
  readonly way: Way;
  readonly arm: ArmName;
  readonly interface: HostInterface;
  readonly ttl: number | null;
  socket: OpenSocket | null;
  leg: ReferenceLeg | null;
  /** Opened so far, and the address that they have. */
  sockets: number;
  readonly local: TransportAddress;
  /** Ours, once the far end knows of them. */
  readonly own: LocalCandidate[];
  announced: boolean;
  far: readonly Candidate[] | null;
  openers: number;
  openerAt: Ms;
  opened: boolean;
  farOpened: boolean;
  state: 'gathering' | 'opening' | 'checking' | 'over';
  until: Ms;
}

/**
 * Tries a path again on fresh sockets (RFC 8445 §9 restarts everything; here one path alone gets new candidates, which
 * pair among themselves). For 5-tuples that are burnt: a filter remembers them, a member of an ECMP group is dead, an
 * early packet has moved the mapping. The client begins; both ends open a socket, learn its reflexive address and name
 * it. Where an early packet spoils the own NATs a few packets go out first that die behind them. Nothing that may reach
 * the far end is sent to its new address before it has said that its own NATs are open.
 */
export class Regathering implements SocketOwner {
  readonly #host: Host;
  readonly #options: RegatheringOptions;
  readonly #attempts = new Map<string, Attempt>();
  readonly #bySocket = new Map<string, Attempt>();
  #counter: number;

  constructor(host: Host, options: RegatheringOptions) {
    this.#host = host;
    this.#options = options;
    // The matrix counts from 0 and from 2^31 under the same key.
    this.#counter = host.role === 'client' ? 0x4000_0000 : 0xc000_0000;
  }

  /** Whether nothing is under way. */
  get quiet(): boolean {
    return [...this.#attempts.values()].every(({ state }) => state === 'over');
  }

  /** How often a path was tried, and whether a try is under way. */
  tried(path: string): { readonly times: number; readonly underWay: boolean } {
    const attempts = [...this.#attempts.values()].filter((attempt) => attempt.path === path);
    return { times: attempts.length, underWay: attempts.some(({ state }) => state !== 'over') };
  }

  /** The client: once more on fresh sockets, with checks in `arm`. False where the path has had its tries. */
  begin(name: PathName, { arm, way }: { readonly arm: ArmName; readonly way: Way }): boolean {
    const { times, underWay } = this.tried(idOf(name));
    const number = times + 1;
    if (underWay || number > LIMITS.regathersPerPath || !this.#start(name, number, way, arm)) return false;
    this.#host.message({ type: 'regather', ...name, attempt: number, way, arm });
    this.#work();
    return true;
  }

  /** Takes what concerns fresh sockets; false for every other message. */
  message(message: ControlMessage): boolean {
    switch (message.type) {
      case 'regather': {
        const { client, server, family, attempt, way, arm } = message;
        const started =
          this.#host.role === 'server' &&
          this.#options.arms.find(arm)?.stun === true &&
          this.#start({ client, server, family }, attempt, way, arm);
        if (!started) this.#host.complain('regather.refused', { client, server, family, attempt });
        break;
      }
      case 'regathered':
        this.#far(message);
        break;
      case 'opened': {
        const attempt = this.#attempts.get(keyOf(message.path, message.attempt));
        if (attempt) attempt.farOpened = true;
        break;
      }
      default:
        return false;
    }
    this.#work();
    return true;
  }

  deadline(): Ms {
    let first = NEVER;
    for (const { state, announced, leg, until, openerAt } of this.#attempts.values()) {
      if (state === 'over') continue;
      first = Math.min(first, until, openerAt, announced ? NEVER : (leg?.deadline() ?? NEVER));
    }
    return first;
  }

  timeout(): void {
    this.#work();
  }

  opened(socket: OpenSocket): void {
    const attempt = this.#bySocket.get(socket.id);
    if (!attempt || attempt.state === 'over') return;
    attempt.socket = socket;
    const host = this.#options.sockets.adopt(socket, keyOf(attempt.path, attempt.number), attempt.arm);
    if (host) attempt.own.push(host);
    attempt.leg?.begin(this.#host.now);
    this.#work();
  }

  failed(id: string, code: string, message: string): void {
    const attempt = this.#bySocket.get(id);
    this.#host.log('warn', 'regather.socket-failed', { path: attempt?.path, code, message });
    if (attempt) this.#over(attempt);
  }

  datagram(socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): void {
    const attempt = this.#bySocket.get(socket.id);
    if (!attempt) return;
    if (attempt.leg?.datagram(socket, from, bytes) === true) {
      this.#mapped(attempt, socket, attempt.leg.mapped);
      this.#work();
      return;
    }
    const opener = recogniseProbe(bytes, this.#options.sessionKey);
    if (opener?.arm === CONTROL_ARM) this.#came(socket, from, opener);
    else this.#options.sockets.datagram(socket, from, bytes);
  }

  /** An opener that was to die on the way got here: it was the early packet itself. */
  #came(socket: OpenSocket, from: TransportAddress, { id, arm }: { readonly id: string; readonly arm: ArmName }): void {
    const { interface: on, local } = socket;
    this.#host.record({
      type: 'received',
      leg: 'peer',
      purpose: 'opener',
      id,
      arm,
      interface: on.name,
      family: local.family,
      from: { ...from },
    });
  }

  #start(name: PathName, number: number, way: Way, arm: ArmName): boolean {
    const path = idOf(name);
    const key = keyOf(path, number);
    const tries = this.tried(path);
    const on = this.#options.interfaces.all.find((one) => one.name === name[this.#host.role]);
    const address = on?.addresses.find(({ family }) => family === name.family)?.address;
    if (!on || address === undefined || this.#attempts.has(key)) return false;
    if (tries.times >= LIMITS.regathersPerPath || this.#attempts.size >= LIMITS.regathers) return false;
    const reference = this.#options.references.find(({ family }) => family === name.family);
    const attempt: Attempt = {
      path,
      name,
      number,
      way,
      arm,
      interface: on,
      ttl: this.#options.openerTtl(on.name, name.family),
      socket: null,
      leg: reference ? new ReferenceLeg(this.#host, reference, arm, this.#options.arms) : null,
      sockets: 1,
      local: { family: name.family, address, port: 0 },
      own: [],
      announced: false,
      far: null,
      openers: 0,
      openerAt: NEVER,
      opened: false,
      farOpened: false,
      state: 'gathering',
      until: this.#host.now + GATHER_MS,
    };
    this.#attempts.set(key, attempt);
    this.#openSocket(attempt);
    return true;
  }

  #openSocket(attempt: Attempt): void {
    const id = this.#host.open(this, attempt.interface, attempt.local, this.#options.pin);
    this.#bySocket.set(id, attempt);
  }

  /** Of parallel ways the one to the reference may be dead: another socket takes another one. Asked with random bytes. */
  #another(attempt: Attempt, { id }: OpenSocket, { reference }: ReferenceLeg): void {
    this.#bySocket.delete(id);
    this.#host.close(id);
    attempt.sockets += 1;
    attempt.socket = null;
    attempt.own.length = 0;
    attempt.leg = new ReferenceLeg(this.#host, reference, CONTROL_ARM, this.#options.arms);
    attempt.until = this.#host.now + GATHER_MS;
    this.#openSocket(attempt);
  }

  #mapped(attempt: Attempt, socket: OpenSocket, mapped: TransportAddress | null): void {
    if (!mapped || attempt.announced || attempt.own.some(({ address }) => sameAddress(address, mapped))) return;
    const reflexive = this.#options.sockets.reflect(socket, mapped);
    if (reflexive) attempt.own.push(reflexive);
  }

  /** The far end's new addresses: those that may be sent to. */
  #far({ path, attempt: number, candidates }: Extract<ControlMessage, { type: 'regathered' }>): void {
    const attempt = this.#attempts.get(keyOf(path, number));
    if (!attempt || attempt.far) return;
    const admitted = candidates.filter(({ address }) => this.#options.peer.admits(address));
    if (admitted.length < candidates.length) this.#host.complain('regather.addresses-refused', { path });
    const far = this.#host.role === 'client' ? attempt.name.server : attempt.name.client;
    const group = keyOf(path, number);
    attempt.far = admitted
      .filter(({ address }) => address.family === attempt.name.family)
      .map((candidate) => ({ ...candidate, interface: far, group }));
  }

  #work(): void {
    for (const attempt of this.#attempts.values()) if (attempt.state !== 'over') this.#advance(attempt);
  }

  /** Each step as soon as it may be taken. */
  #advance(attempt: Attempt): void {
    const { now } = this.#host;
    if (attempt.state === 'gathering') this.#gather(attempt);
    if (attempt.state === 'opening') this.#open(attempt);
    if (attempt.state === 'checking') {
      const state = this.#options.sockets.stateOf(keyOf(attempt.path, attempt.number));
      if (state !== 'checking') this.#over(attempt);
    }
    if (attempt.until <= now) this.#over(attempt);
  }

  /** Until both ends know of each other's new addresses. */
  #gather(attempt: Attempt): void {
    const { socket, leg, path, number } = attempt;
    const { now } = this.#host;
    if (socket && leg && !leg.mapped) leg.gather(socket);
    if (socket && leg && !leg.best && attempt.until <= now && !attempt.announced && attempt.sockets < MOST_SOCKETS) {
      this.#another(attempt, socket, leg);
      return;
    }
    if (!attempt.announced && socket && (!leg || leg.mapped || attempt.until <= now)) {
      this.#mapped(attempt, socket, leg?.best ?? null);
      attempt.announced = true;
      attempt.until = now + FAR_PATIENCE_MS;
      this.#host.message({ type: 'regathered', path, attempt: number, candidates: attempt.own });
    }
    if (!attempt.announced || !attempt.far) return;
    attempt.state = 'opening';
    attempt.until = now + FAR_PATIENCE_MS;
    attempt.openerAt = now;
    const { way, arm, ttl } = attempt;
    this.#host.record({ type: 'way', path, attempt: number, way, arm, ttl });
  }

  /** Until the NATs of both ends are open for the other. */
  #open(attempt: Attempt): void {
    const { socket, far, path, number, ttl } = attempt;
    const { now } = this.#host;
    if (!socket || !far) return;
    if (!attempt.opened && ttl === null) this.#told(attempt);
    while (!attempt.opened && attempt.openerAt <= now && ttl !== null) {
      if (attempt.openers === OPENERS) this.#told(attempt);
      else {
        for (const { address } of far) this.#opener(attempt, socket, address, ttl);
        attempt.openers += 1;
        const wait = attempt.openers < OPENERS ? OPENER_EVERY_MS : OPENED_MS - (OPENERS - 1) * OPENER_EVERY_MS;
        attempt.openerAt += wait;
      }
    }
    if (!attempt.opened || !attempt.farOpened) return;
    attempt.state = 'checking';
    attempt.until = now + CHECKS_MS;
    this.#host.log('debug', 'regather.checking', { path, attempt: number });
    for (const candidate of far) this.#options.sockets.candidate(candidate);
  }

  #told(attempt: Attempt): void {
    attempt.opened = true;
    attempt.openerAt = NEVER;
    this.#host.message({ type: 'opened', path: attempt.path, attempt: attempt.number });
  }

  /** Random bytes: what is to die behind the own NATs need not look like anything. */
  #opener({ name, number: round }: Attempt, socket: OpenSocket, to: TransportAddress, ttl: number): void {
    this.#counter += 1;
    const { sessionKey: key } = this.#options;
    const { id, bytes } = buildProbe(CONTROL_ARM, { key, counter: this.#counter, random: this.#host.random });
    const towards = this.#host.role === 'client' ? name.server : name.client;
    this.#host.send(
      socket,
      to,
      bytes,
      { leg: 'peer', purpose: 'opener', id, arm: CONTROL_ARM, towards, round },
      { ttl },
    );
  }

  #over(attempt: Attempt): void {
    attempt.state = 'over';
    attempt.openerAt = NEVER;
  }
}

function idOf({ client, server, family }: PathName): string {
  return pathId(client, server, family);
}

/** Names one attempt at both ends: the group of its candidates. */
function keyOf(path: string, attempt: number): string {
  return `${path}#${String(attempt)}`;
}

/** The number of the attempt that a group belongs to, for the record. */
export function attemptOf(group: string | undefined): { readonly attempt?: number } {
  return group === undefined ? {} : { attempt: Number(group.slice(group.lastIndexOf('#') + 1)) };
}
