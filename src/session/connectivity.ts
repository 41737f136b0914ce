import { sameAddress, type TransportAddress } from '../base/address.js';
import { utf8Bytes } from '../base/bytes.js';
import { drain } from '../base/machine.js';
import type { Ms } from '../base/time.js';
import { IceAgent } from '../ice/agent.js';
import { UNHURRIED } from '../ice/timing.js';
import type { Base, BaseId, Candidate, CandidateType, Credentials } from '../ice/types.js';
import type { IceInput, IceOutput, LocalCandidate, PairView } from '../ice/types.js';
import { mutate, undo } from '../mutation/header.js';
import { PLAIN_ARM, type ArmName } from '../mutation/names.js';
import { parseStrict } from '../stun/message.js';
import { noteAlteredCheck, noteReceived } from './altered.js';
import type { Host, OpenSocket, SocketOwner } from './host.js';
import type { ConnectivityOptions } from './connectivity-options.js';
import { LocalAddresses, portsFit } from './local-addresses.js';
import { recordLost, recordValid, summarisePairs, summariseRelayed } from './pair-summary.js';
import { ReferenceLeg } from './reference-leg.js';
import { RelayedWays } from './relayed-ways.js';
import { Relays } from './relays.js';
import { attemptOf, type LateSockets, type PathName } from './regather.js';

/** When plain STUN has not told a socket its reflexive address by then, it is asked for in other arms. */
const PLAIN_GATHERING_MS: Ms = 600;

/** Paths that are given an arm; a far end may name any. */
const MOST_ARMED = 1024;

/**
 * The ICE agent on this host's sockets: one a local address. Mutation is the last step before a send and undoing it the
 * first after receiving; every packet stands in the record, so that both ends' records join by transaction.
 */
export class Connectivity implements SocketOwner, LateSockets {
  readonly #host: Host;
  readonly #options: ConnectivityOptions;
  readonly #agent: IceAgent;
  readonly #legs = new Map<string, ReferenceLeg>();
  readonly #addresses: LocalAddresses;
  readonly #opening = new Set<string>();
  readonly #localKey: Uint8Array;
  #remoteKey: Uint8Array | null = null;
  readonly #arms = new Map<string, ArmName>();
  /** Paths that came up, with the arm that they came up in. */
  readonly established = new Map<string, ArmName>();
  readonly #lost = new Map<string, { readonly path: PathName; readonly arm: ArmName }>();
  checksDone = false;
  readonly #relays: Relays;
  readonly #ways: RelayedWays;

  constructor(host: Host, options: ConnectivityOptions) {
    this.#host = host;
    this.#options = options;
    this.#addresses = new LocalAddresses(host, this, options);
    this.#relays = new Relays(host, options.turn, {
      base: (base, socket) => {
        this.#candidate(socket, 'relay', base.address);
        this.#feed({ type: 'base', base });
      },
      lost: (base) => {
        this.#feed({ type: 'base-lost', base });
      },
      datagram: (base, socket, from, bytes) => {
        if (!this.#ways.datagram(base, from, bytes)) this.#arrived(base, socket, from, bytes);
      },
      settled: () => {
        this.#endOfBases();
      },
    });
    this.#ways = new RelayedWays(host, this.#relays, options.data);
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
      timing: options.firstOnly ? UNHURRIED : {},
      admits: (local, remote) =>
        portsFit(options.ports, local.address.port, remote.address.port) &&
        (remote.interface === null ||
          options.paths.idOf(local.interface, remote.interface, local.address.family) !== null),
    });
  }

  begin(): void {
    this.change();
  }

  /** The addresses that this host has now: sockets of those that are gone are closed, new ones are gathered on. */
  change(): void {
    const { opened, gone } = this.#addresses.change(this.#options.interfaces.all);
    for (const id of gone) {
      const socket = this.#host.socket(id);
      this.#host.close(id);
      this.#forget(id);
      if (socket) this.#options.data?.socketGone(socket);
    }
    for (const id of opened) this.#opening.add(id);
    this.#endOfBases();
  }

  credentials(credentials: Credentials): void {
    this.#remoteKey = utf8Bytes(credentials.password);
    this.#feed({ type: 'remote-credentials', credentials, lite: false });
  }

  candidate(candidate: Candidate): void {
    this.#relays.heardOf(candidate);
    this.#feed({ type: 'remote-candidate', candidate });
  }

  candidatesEnd(): void {
    this.#feed({ type: 'remote-candidates-end' });
  }

  /** From now on the checks of a path go out in `arm`; those that had failed begin anew (verdicts.md: "the agent goes on with the least changed arm that passes"). */
  setArm(path: string, arm: ArmName): void {
    if (this.#arms.size >= MOST_ARMED && !this.#arms.has(path)) return;
    this.#arms.set(path, arm);
    for (const pair of this.#direct()) {
      if (this.pathOf(pair) === path && (pair.arm !== arm || pair.state === 'failed'))
        this.#feed({ type: 'pair-arm', pair: pair.id, arm });
    }
  }

  adopt(socket: OpenSocket, group: string, arm: ArmName): LocalCandidate | null {
    this.#candidate(socket, 'host', socket.local, group);
    this.#feed({ type: 'base', base: { ...baseOf(socket), group, arm, gathered: true } });
    return this.#local(socket, 'host');
  }

  reflect(socket: OpenSocket, mapped: TransportAddress): LocalCandidate | null {
    this.#reflexive(socket, mapped);
    return this.#local(socket, 'srflx');
  }

  stateOf(group: string): 'up' | 'checking' | 'failed' {
    const pairs = this.#agent.pairs().filter(({ local }) => local.group === group);
    if (pairs.some(({ valid }) => valid)) return 'up';
    return pairs.every(({ state }) => state === 'failed') ? 'failed' : 'checking';
  }

  /** Paths that were up and whose consent expired since: with the arm that they came up in. */
  get lost(): ReadonlyMap<string, { readonly path: PathName; readonly arm: ArmName }> {
    return this.#lost;
  }

  /** One more check on every pair that came up: is the far end still there? */
  verify(): void {
    for (const pair of this.#agent.pairs()) if (pair.valid) this.#feed({ type: 'verify', pair: pair.id });
  }

  /** Answers that came back so far, by path that came up. */
  heard(): ReadonlyMap<string, number> {
    const heard = new Map<string, number>();
    for (const pair of this.#direct()) {
      const path = pair.valid ? this.pathOf(pair) : null;
      if (path !== null) heard.set(path, (heard.get(path) ?? 0) + pair.responsesReceived);
    }
    return heard;
  }

  /** The path of a pair; `null` while the far interface is not known. */
  pathOf(pair: PairView): string | null {
    const far = pair.remote.interface;
    if (far === null) return null;
    return this.#options.paths.idOf(pair.local.interface, far, pair.family);
  }

  summarise(): void {
    const pathOf = (pair: PairView): string | null => this.pathOf(pair);
    const relayed = this.#agent.pairs().filter((pair) => this.#relays.carries(pair));
    summarisePairs(this.#host, this.#direct(), pathOf);
    summariseRelayed(this.#host, relayed, pathOf);
  }

  /** What was asked for at others is given back, while the sockets are still there. */
  stop(): void {
    this.#relays.stop();
  }

  deadline(): Ms {
    let deadline = Math.min(this.#agent.deadline(), this.#relays.deadline());
    for (const leg of this.#legs.values()) deadline = Math.min(deadline, leg.deadline());
    return deadline;
  }

  timeout(): void {
    if (this.#agent.deadline() <= this.#host.now) this.#feed({ type: 'timeout' });
    this.#relays.timeout();
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
      const leg = new ReferenceLeg(this.#host, reference, PLAIN_ARM, this.#options.arms);
      leg.begin(this.#host.now + PLAIN_GATHERING_MS);
      this.#legs.set(socket.id, leg);
    }
    this.#feed({ type: 'base', base: baseOf(socket) });
    if (!this.#options.ports.includes(socket.local.port)) this.#relays.open(socket);
    this.#endOfBases();
  }

  failed(id: string, code: string, message: string): void {
    this.#host.log('warn', 'ice.socket-failed', { socket: id, code, message });
    this.#forget(id);
    this.#endOfBases();
  }

  #forget(id: string): void {
    this.#opening.delete(id);
    this.#legs.delete(id);
    this.#relays.close(id);
    this.#feed({ type: 'base-lost', base: id });
  }

  datagram(socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): void {
    const { data } = this.#options;
    if (data?.datagram(socket, from, bytes, true)) return;
    if (this.#relays.datagram(socket, from, bytes)) return;
    const leg = this.#legs.get(socket.id);
    if (leg?.datagram(socket, from, bytes)) {
      if (leg.mapped) {
        this.#legs.delete(socket.id);
        this.#reflexive(socket, leg.mapped);
      }
      return;
    }
    this.#arrived(socket.id, socket, from, bytes);
  }

  /** From a peer, by the socket itself or by a relay on it. */
  #arrived(base: BaseId, socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): void {
    const keys = this.#remoteKey ? [this.#localKey, this.#remoteKey] : [this.#localKey];
    const undone = undo(bytes, keys, this.#options.arms.arms);
    if (!undone && base === socket.id && this.#options.data?.datagram(socket, from, bytes, false)) return;
    if (!undone && this.#remoteKey && base === socket.id) noteAlteredCheck(this.#host, socket, from, bytes);
    if (!undone && !parseStrict(bytes).ok) return;
    const arm = undone?.arm ?? PLAIN_ARM;
    if (undone)
      noteReceived(this.#host, socket, from, { leg: this.#relays.legOf(base, from), arm, message: undone.message });
    this.#feed({ type: 'datagram', base, from, message: undone?.message.raw ?? bytes, arm });
  }

  #local(socket: OpenSocket, type: 'host' | 'srflx'): LocalCandidate | null {
    return this.#agent.localCandidates().find((own) => own.base === socket.id && own.type === type) ?? null;
  }

  #endOfBases(): void {
    if (this.#opening.size === 0 && !this.#relays.pending) this.#feed({ type: 'bases-end' });
  }

  #reflexive(socket: OpenSocket, mapped: TransportAddress): void {
    this.#feed({ type: 'reflexive', base: socket.id, mapped });
  }

  #candidate(socket: OpenSocket, candidate: CandidateType, address: TransportAddress, group?: string): void {
    this.#host.record({
      type: 'candidate',
      interface: socket.interface.name,
      family: address.family,
      candidate,
      address: { ...address },
      use: 'ice',
      ...attemptOf(group),
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
        if (socket && candidate.type === 'srflx') this.#candidate(socket, 'srflx', candidate.address, candidate.group);
        // A late socket's candidates are named by who opened it, once both ends are ready.
        if (candidate.group === undefined) this.#options.signal.candidate(candidate);
        break;
      }
      case 'candidates-end':
        this.#options.signal.candidatesEnd();
        break;
      case 'reflexive':
        // Plain STUN answered: the other arms need not be tried. But nobody signed that.
        this.#legs.get(output.base)?.doubt(output.mapped);
        break;
      case 'pair-state': {
        const arm = this.#arms.get(this.pathOf(output.pair) ?? '');
        if (arm !== undefined && arm !== output.pair.arm && !this.#relays.carries(output.pair))
          this.#feed({ type: 'pair-arm', pair: output.pair.id, arm });
        break;
      }
      case 'valid':
        this.#valid(output.pair, output.rttMs);
        break;
      case 'selected': {
        const path = this.pathOf(output.pair);
        if (path !== null && !this.#relays.carries(output.pair)) this.#host.record({ type: 'selected', path });
        break;
      }
      case 'consent-lost': {
        if (this.#relays.carries(output.pair)) this.#ways.lost(output.pair);
        else this.#lose(output.pair, output.reason);
        // RFC 7675 sends each request for consent once: loss alone lets it expire. Ordinary checks, with their
        // retransmissions, ask whether the path is dead.
        if (output.reason === 'expired') this.#feed({ type: 'pair-arm', pair: output.pair.id, arm: output.pair.arm });
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
    if (this.#relays.carries(pair)) {
      this.#ways.valid(path, pair, rttMs);
      return;
    }
    this.established.set(path, pair.arm);
    this.#lost.delete(path);
    this.#carry(path, pair);
    recordValid(this.#host, path, pair, rttMs);
  }

  /** The path's data go over this pair. */
  #carry(path: string, { base, remote }: PairView): void {
    const socket = this.#host.socket(base);
    if (socket) this.#options.data?.up(path, socket, remote.address);
  }

  #lose(pair: PairView, why: 'expired' | 'base-lost'): void {
    const path = this.pathOf(pair);
    const far = pair.remote.interface;
    if (path === null || far === null) return;
    const other = this.#direct().find((one) => one.valid && this.pathOf(one) === path);
    if (other) {
      this.#carry(path, other);
      return;
    }
    this.#options.data?.down(path);
    recordLost(this.#host, path, why);
    // Fresh sockets would need the address.
    if (why === 'base-lost') return;
    const near = pair.local.interface;
    const [client, server] = this.#host.role === 'client' ? [near, far] : [far, near];
    this.#lost.set(path, { path: { client, server, family: pair.family }, arm: pair.arm });
  }

  #send({ base, to, message, arm, purpose, transaction, pair }: Extract<IceOutput, { type: 'send' }>): void {
    const socket = this.#host.socket(base);
    if (this.#relays.owns(base)) this.#relays.send(base, to, message);
    if (!socket) return;
    const armed = this.#options.arms.find(arm);
    const key = purpose === 'response' ? this.#localKey : (this.#remoteKey ?? this.#localKey);
    const bytes = purpose === 'gather' || !armed ? message : mutate(armed, message, key);
    const view = pair === null ? null : this.#agent.pair(pair);
    const towards = view?.remote.interface ?? this.#interfaceOf(to);
    const leg = purpose === 'gather' ? 'reference' : this.#relays.legOf(base, to);
    const refused = (code: string): void => {
      this.#feed({ type: 'send-failed', transaction, code });
    };
    this.#host.send(socket, to, bytes, { leg, purpose, id: transaction, arm, towards, round: null }, { refused });
  }

  #direct(): PairView[] {
    return this.#agent.pairs().filter((pair) => !this.#relays.carries(pair));
  }

  #interfaceOf(to: TransportAddress): string | null {
    return this.#agent.pairs().find(({ remote }) => sameAddress(remote.address, to))?.remote.interface ?? null;
  }
}

function baseOf({ id, local, interface: { name, kind, label } }: OpenSocket): Base {
  return { id, address: local, interface: name, kind, label };
}
