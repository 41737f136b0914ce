import { sameAddress, type TransportAddress } from '../base/address.js';
import { utf8Bytes } from '../base/bytes.js';
import type { HostInterface } from '../base/interface.js';
import { drain } from '../base/machine.js';
import type { Ms } from '../base/time.js';
import { IceAgent } from '../ice/agent.js';
import type { Candidate, Credentials, IceInput, IceOutput, PairView } from '../ice/types.js';
import type { Policy } from '../ice/policy.js';
import { mutate, undo } from '../mutation/header.js';
import { PLAIN_ARM, type ArmName } from '../mutation/names.js';
import { findArm } from '../mutation/arm.js';
import { parseStrict, transactionKey } from '../stun/message.js';
import type { Host, OpenSocket, SocketOwner } from './host.js';
import { pathId } from './record.js';
import { ReferenceLeg } from './reference-leg.js';

export interface ConnectivityOptions {
  readonly interfaces: readonly HostInterface[];
  readonly pin: boolean;
  readonly references: readonly TransportAddress[];
  readonly controlling: boolean;
  readonly credentials: Credentials;
  readonly policy: Policy;
  readonly firstOnly: boolean;
  readonly arm: ArmName;
  readonly checksPerPair: number;
  readonly signal: {
    candidate(candidate: Candidate): void;
    candidatesEnd(): void;
  };
}

/** When plain STUN has not told a socket its reflexive address by then, it is asked for in other arms. */
const PLAIN_GATHERING_MS: Ms = 600;

/** Paths that are given an arm; a far end may name any. */
const MOST_ARMED = 1024;

/**
 * The ICE agent on this host's sockets: one a local address. Mutation is the last step before a send and undoing it the
 * first after receiving; every packet stands in the record, so that both ends' records join by transaction.
 */
export class Connectivity implements SocketOwner {
  readonly #host: Host;
  readonly #options: ConnectivityOptions;
  readonly #agent: IceAgent;
  readonly #legs = new Map<string, ReferenceLeg>();
  readonly #opening = new Set<string>();
  readonly #localKey: Uint8Array;
  #remoteKey: Uint8Array | null = null;
  readonly #arms = new Map<string, ArmName>();
  /** Paths that came up, with the arm that they came up in. */
  readonly established = new Map<string, ArmName>();
  checksDone = false;

  constructor(host: Host, options: ConnectivityOptions) {
    this.#host = host;
    this.#options = options;
    this.#localKey = utf8Bytes(options.credentials.password);
    const tieBreaker = host.random.bytes(8).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
    this.#agent = new IceAgent({
      controlling: options.controlling,
      tieBreaker,
      credentials: options.credentials,
      random: host.random,
      policy: options.policy,
      mode: options.firstOnly ? 'first-only' : 'all',
      servers: [...options.references],
      arm: options.arm,
      checksPerPair: options.checksPerPair,
    });
  }

  begin(): void {
    for (const on of this.#options.interfaces) {
      for (const { family, address } of on.addresses) {
        this.#opening.add(this.#host.open(this, on, { family, address, port: 0 }, this.#options.pin));
      }
    }
    this.#endOfBases();
  }

  credentials(credentials: Credentials): void {
    this.#remoteKey = utf8Bytes(credentials.password);
    this.#feed({ type: 'remote-credentials', credentials, lite: false });
  }

  candidate(candidate: Candidate): void {
    this.#feed({ type: 'remote-candidate', candidate });
  }

  candidatesEnd(): void {
    this.#feed({ type: 'remote-candidates-end' });
  }

  /** From now on the checks of a path go out in `arm`; those that had failed begin anew (verdicts.md: "the agent goes on with the least changed arm that passes"). */
  setArm(path: string, arm: ArmName): void {
    if (this.#arms.size >= MOST_ARMED && !this.#arms.has(path)) return;
    this.#arms.set(path, arm);
    for (const pair of this.#agent.pairs()) {
      if (this.pathOf(pair) === path && (pair.arm !== arm || pair.state === 'failed'))
        this.#feed({ type: 'pair-arm', pair: pair.id, arm });
    }
  }

  /** One more check on every pair that came up: is the far end still there? */
  verify(): void {
    for (const pair of this.#agent.pairs()) if (pair.valid) this.#feed({ type: 'verify', pair: pair.id });
  }

  /** Answers that came back so far, by path that came up. */
  heard(): ReadonlyMap<string, number> {
    const heard = new Map<string, number>();
    for (const pair of this.#agent.pairs()) {
      const path = pair.valid ? this.pathOf(pair) : null;
      if (path !== null) heard.set(path, (heard.get(path) ?? 0) + pair.responsesReceived);
    }
    return heard;
  }

  /** The path of a pair; `null` while the far interface is not known. */
  pathOf(pair: PairView): string | null {
    const far = pair.remote.interface;
    if (far === null) return null;
    const near = pair.local.interface;
    return this.#host.role === 'client' ? pathId(near, far, pair.family) : pathId(far, near, pair.family);
  }

  /** Writes what the agent knows of each path at the end of a run. */
  summarise(): void {
    const paths = new Map<string, PairView[]>();
    for (const pair of this.#agent.pairs()) {
      const path = this.pathOf(pair);
      if (path !== null) paths.set(path, [...(paths.get(path) ?? []), pair]);
    }
    for (const [path, pairs] of paths) {
      const priority = pairs.reduce((best, pair) => Math.max(best, Number(pair.priority)), 0);
      const requestsSent = pairs.reduce((sum, pair) => sum + pair.requestsSent, 0);
      this.#host.record({ type: 'pair', path, priority, requestsSent });
      const fastest = pairs
        .flatMap(({ rttMs }) => (rttMs ? [rttMs] : []))
        .sort((left, right) => left.median - right.median)[0];
      if (fastest) this.#host.record({ type: 'rtt', path, ...fastest });
    }
  }

  deadline(): Ms {
    let deadline = this.#agent.deadline();
    for (const leg of this.#legs.values()) deadline = Math.min(deadline, leg.deadline());
    return deadline;
  }

  timeout(): void {
    if (this.#agent.deadline() <= this.#host.now) this.#feed({ type: 'timeout' });
    for (const [id, leg] of this.#legs) {
      const socket = this.#host.socket(id);
      if (socket) leg.gather(socket);
    }
  }

  opened(socket: OpenSocket): void {
    this.#opening.delete(socket.id);
    this.#candidate(socket, 'host', socket.local);
    const reference = this.#options.references.find(({ family }) => family === socket.local.family);
    if (reference) {
      const leg = new ReferenceLeg(this.#host, reference, PLAIN_ARM);
      leg.begin(this.#host.now + PLAIN_GATHERING_MS);
      this.#legs.set(socket.id, leg);
    }
    const { name, kind, label } = socket.interface;
    this.#feed({ type: 'base', base: { id: socket.id, address: socket.local, interface: name, kind, label } });
    this.#endOfBases();
  }

  failed(id: string, code: string, message: string): void {
    this.#opening.delete(id);
    this.#legs.delete(id);
    this.#host.log('warn', 'ice.socket-failed', { socket: id, code, message });
    this.#feed({ type: 'base-lost', base: id });
    this.#endOfBases();
  }

  datagram(socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): void {
    const leg = this.#legs.get(socket.id);
    if (leg?.datagram(socket, from, bytes)) {
      if (leg.mapped) this.#reflexive(socket, leg.mapped);
      return;
    }
    const keys = this.#remoteKey ? [this.#localKey, this.#remoteKey] : [this.#localKey];
    const undone = undo(bytes, keys);
    const message = undone?.message ?? bytes;
    const arm = undone?.arm ?? PLAIN_ARM;
    const parsed = parseStrict(message);
    if (!parsed.ok) return;
    const answer = parsed.message.class === 'success' || parsed.message.class === 'error';
    if (undone) {
      this.#host.record({
        type: 'received',
        leg: 'peer',
        purpose: answer ? 'response' : 'check',
        id: transactionKey(parsed.message.transactionId),
        arm,
        interface: socket.interface.name,
        family: socket.local.family,
        from: { ...from },
      });
    }
    this.#feed({ type: 'datagram', base: socket.id, from, message, arm });
  }

  #endOfBases(): void {
    if (this.#opening.size === 0) this.#feed({ type: 'bases-end' });
  }

  #reflexive(socket: OpenSocket, mapped: TransportAddress): void {
    this.#feed({ type: 'reflexive', base: socket.id, mapped });
  }

  #candidate(socket: OpenSocket, candidate: 'host' | 'srflx' | 'prflx', address: TransportAddress): void {
    this.#host.record({
      type: 'candidate',
      interface: socket.interface.name,
      family: address.family,
      candidate,
      address: { ...address },
      use: 'ice',
    });
  }

  #feed(input: IceInput): void {
    this.#agent.handle(input, this.#host.now);
    for (const output of drain(this.#agent)) this.#output(output);
  }

  #output(output: IceOutput): void {
    switch (output.type) {
      case 'send':
        this.#send(output);
        break;
      case 'candidate': {
        const { base, ...candidate } = output.candidate;
        const socket = this.#host.socket(base);
        if (socket && candidate.type === 'srflx') this.#candidate(socket, 'srflx', candidate.address);
        this.#options.signal.candidate(candidate);
        break;
      }
      case 'candidates-end':
        this.#options.signal.candidatesEnd();
        break;
      case 'reflexive':
        // Plain STUN answered: the other arms need not be tried.
        this.#legs.delete(output.base);
        break;
      case 'pair-state': {
        const arm = this.#arms.get(this.pathOf(output.pair) ?? '');
        if (arm !== undefined && arm !== output.pair.arm) this.#feed({ type: 'pair-arm', pair: output.pair.id, arm });
        break;
      }
      case 'valid':
        this.#valid(output.pair, output.rttMs);
        break;
      case 'selected': {
        const path = this.pathOf(output.pair);
        if (path !== null) this.#host.record({ type: 'selected', path });
        break;
      }
      case 'consent-lost': {
        const path = this.pathOf(output.pair);
        if (path !== null) this.#host.record({ type: 'lost', path, reason: 'consent expired (RFC 7675)' });
        break;
      }
      case 'role-changed':
        this.#host.log('info', 'ice.role-changed', { controlling: output.controlling });
        break;
      case 'checks-done':
        this.checksDone = true;
    }
  }

  #valid(pair: PairView, rttMs: Ms): void {
    const path = this.pathOf(pair);
    if (path === null) return;
    this.established.set(path, pair.arm);
    this.#host.record({
      type: 'valid',
      path,
      arm: pair.arm,
      rttMs,
      local: { ...pair.local.address },
      localType: pair.local.type,
      remote: { ...pair.remote.address },
      remoteType: pair.remote.type,
      priority: Number(pair.priority),
    });
  }

  #send({ base, to, message, arm, purpose, transaction, pair }: Extract<IceOutput, { type: 'send' }>): void {
    const socket = this.#host.socket(base);
    if (!socket) return;
    const armed = findArm(arm);
    const key = purpose === 'response' ? this.#localKey : (this.#remoteKey ?? this.#localKey);
    const bytes = purpose === 'gather' || !armed ? message : mutate(armed, message, key);
    const view = pair === null ? null : this.#agent.pair(pair);
    const towards = view?.remote.interface ?? this.#interfaceOf(to);
    const leg = purpose === 'gather' ? 'reference' : 'peer';
    this.#host.send(socket, to, bytes, { leg, purpose, id: transaction, arm, towards, round: null }, (code) => {
      this.#feed({ type: 'send-failed', transaction, code });
    });
  }

  #interfaceOf(to: TransportAddress): string | null {
    return this.#agent.pairs().find(({ remote }) => sameAddress(remote.address, to))?.remote.interface ?? null;
  }
}
