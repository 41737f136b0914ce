import type { HostInterface } from '../base/interface.js';
import { earliest, NEVER, type Ms } from '../base/time.js';
import type { ControlMessage } from '../control/messages.js';
import { PLAIN_ARM } from '../mutation/names.js';
import { type ArmRegistry, armsWith } from '../mutation/registry.js';
import { parsePolicy } from '../ice/policy.js';
import type { Candidate, Credentials } from '../ice/types.js';
import type { TurnServer } from '../turn/types.js';
import { Connectivity } from './connectivity.js';
import { Evidence } from './evidence.js';
import { Flows } from './experiments/flows.js';
import { PortGuessing } from './guessing.js';
import type { Host } from './host.js';
import type { EgressResult, SessionInput } from './io.js';
import { PeerAddresses } from './limits.js';
import type { MatrixDesign } from './matrix-design.js';
import type { MatrixEnd } from './matrix-options.js';
import { Matrix } from './matrix.js';
import { Nats } from './nats.js';
import { firstAddresses, NearInterfaces } from './near-interfaces.js';
import type { PathNames } from './path-names.js';
import type { Plan } from './plan.js';
import { profileOfPlan, ProfilePlay } from './profile-play.js';
import { ReferenceTcp } from './reference-tcp.js';
import { Regathering } from './regather.js';
import { Transfer } from './transfer/transfer.js';
import type { TransferOptions } from './transfer/types.js';

/** How long after the start the routes are looked up, even if the far end has not named all its candidates yet. */
const EGRESS_AFTER_MS: Ms = 1500;
/** How long closing answers (routes, counters) are waited for. */
const CLOSING_MS: Ms = 3000;

export interface RunOptions {
  readonly host: Host;
  readonly plan: Plan;
  readonly interfaces: readonly HostInterface[];
  readonly paths: PathNames;
  readonly pin: boolean;
  /** Ports that this host's user lets its sockets have, and those of the far end be. */
  readonly ports: readonly number[];
  /** Of the matrix, where it is not the usual one. */
  readonly design: MatrixDesign | undefined;
  /** TURN servers of this host's user. */
  readonly turn: readonly TurnServer[];
  /** This host's user allows the guessing of ports. */
  readonly guessPorts: boolean;
  /** What QUIC needs here, and the far end's certificate; `null`: one of the two ends has none. */
  readonly quic: Pick<TransferOptions, 'means' | 'farFingerprint'> | null;
  /** A block's rounds are over on this host. */
  readonly blockDone: (block: number) => void;
  /** This host has sent, and told of, everything of a batch of shots; or would not. */
  readonly batchDone: (batch: number, ok: boolean) => void;
}

/**
 * What client and server do alike once the plan is agreed: gather, check, measure the NATs, run the arm matrix, look up
 * routes, keep the evidence. Who decides what comes next is the client (`client.ts`).
 */
export class Run {
  readonly #options: RunOptions;
  readonly #host: Host;
  readonly evidence: Evidence;
  readonly connectivity: Connectivity;
  readonly matrix: Matrix;
  /** Fresh sockets for paths whose first ones got nowhere. */
  readonly regathering: Regathering;
  /** The port that a NAT draws for every destination, guessed. */
  readonly guessing: PortGuessing;
  /** What experiments send. */
  readonly flows: Flows;
  /** Data over the paths that work, where the client wants them and both ends can. */
  readonly transfer: Transfer | null;
  /** Somebody else's schedule, where the client asks for one. */
  readonly profile: ProfilePlay | null;
  readonly #near: NearInterfaces;
  readonly #nats: Nats;
  readonly #tcp: ReferenceTcp;
  readonly #peer: PeerAddresses;
  readonly #arms: ArmRegistry;
  #egressAt: Ms = NEVER;
  /** How many of the far end's addresses there were when routes were looked up last. */
  #lookedUp = 0;
  /** Without sockets nothing is left to do but to tell the far end. */
  #stopped = false;
  #onlyNats = false;
  #closing: { readonly then: () => void; waiting: number; readonly until: Ms } | null = null;

  constructor(options: RunOptions) {
    const { host, plan, paths, pin, ports } = options;
    const interfaces = new NearInterfaces(host, options.interfaces, paths);
    this.#options = options;
    this.#host = host;
    this.#near = interfaces;
    this.evidence = new Evidence(host);
    this.#peer = new PeerAddresses(options.interfaces, ports);
    this.#arms = armsWith(plan.ownArms);
    const credentials = newCredentials(host);
    this.transfer = plan.transfer && options.quic ? new Transfer(host, { plan: plan.transfer, ...options.quic }) : null;
    this.connectivity = new Connectivity(host, {
      interfaces,
      paths,
      pin,
      ports,
      references: plan.references,
      turn: options.turn,
      controlling: host.role === 'client',
      credentials,
      policy: parsePolicy(plan.policy),
      firstOnly: plan.firstOnly,
      arms: this.#arms,
      arm: plan.arms.find((name) => this.#arms.find(name)?.stun) ?? PLAIN_ARM,
      checksPerPair: plan.checksPerPair,
      data: this.transfer,
      signal: {
        candidate: (candidate) => {
          host.message({ type: 'candidate', candidate });
        },
        candidatesEnd: () => {
          host.message({ type: 'candidates-end' });
        },
      },
    });
    host.message({ type: 'credentials', ...credentials });
    this.matrix = new Matrix(host, {
      interfaces,
      paths,
      arms: plan.arms,
      registry: this.#arms,
      references: plan.references,
      sessionKey: plan.sessionKey,
      pin,
      ...(options.design && { design: options.design }),
      ports: (on, family) => this.#nats.portsOf(on, family),
      ready: (block, ends) => {
        host.message({ type: 'sockets', block, ends });
      },
      started: () => {
        this.#tcp.try();
      },
      done: options.blockDone,
    });
    this.#nats = new Nats(host, { interfaces, references: plan.references, pin, deep: plan.deep });
    this.regathering = new Regathering(host, {
      sockets: this.connectivity,
      interfaces,
      arms: this.#arms,
      references: plan.references,
      peer: this.#peer,
      sessionKey: plan.sessionKey,
      pin,
      openerTtl: (on, family) => this.#nats.openerTtl(on, family),
    });
    this.guessing = new PortGuessing(host, {
      sockets: this.connectivity,
      interfaces,
      arms: this.#arms,
      references: plan.references,
      peer: this.#peer,
      sessionKey: plan.sessionKey,
      pin,
      allowed: options.guessPorts,
    });
    this.flows = new Flows(host, {
      interfaces,
      references: plan.references,
      peer: this.#peer,
      sessionKey: plan.sessionKey,
      arms: this.#arms,
      pin,
      done: options.batchDone,
    });
    this.#tcp = new ReferenceTcp(host, interfaces, plan.references, pin);
    const profile = plan.profile ? profileOfPlan(plan.profile) : null;
    const { references, sessionKey } = plan;
    const played = { interfaces, references, peer: this.#peer, sessionKey, pin };
    this.profile =
      plan.profile && profile ? new ProfilePlay(host, { name: plan.profile.name, profile, ...played }) : null;
  }

  begin(): void {
    this.#near.begin();
    this.#egressAt = this.#host.now + EGRESS_AFTER_MS;
    this.connectivity.begin();
    this.#nats.change();
    this.#tcp.try();
    this.profile?.begin();
  }

  /** Addresses came or went, or an interface that was not there is. */
  interfacesChanged(now: readonly HostInterface[]): void {
    if (this.#stopped || this.#onlyNats || this.#closing || !this.#near.change(now)) return;
    this.connectivity.change();
    this.profile?.change();
    this.matrix.change();
    this.#nats.change();
    // By then a network manager has given new addresses their routes, and both ends have told of them.
    this.#egressAt = Math.min(this.#egressAt, this.#host.now + EGRESS_AFTER_MS);
  }

  get plan(): Plan {
    return this.#options.plan;
  }

  /** Whether this host has nothing of its own left to find out, the matrix aside. */
  get quiet(): boolean {
    const measured = this.#nats.done && this.#tcp.done;
    return this.connectivity.checksDone && measured && this.regathering.quiet && this.guessing.quiet;
  }

  /** Takes what both roles understand; false for every other message. */
  message(message: ControlMessage): boolean {
    switch (message.type) {
      case 'interface':
        if (this.#options.paths.learn('far', message.interface) === 'refused')
          this.#host.complain('interface.refused', { interface: message.interface.name });
        return true;
      case 'credentials':
        this.connectivity.credentials(message);
        return true;
      case 'candidate':
        if (this.#peer.admitsCandidate(message.candidate.address)) {
          this.connectivity.candidate(message.candidate satisfies Candidate);
          this.#looksUpLater();
        } else this.#host.complain('candidate.refused', message.candidate.address);
        return true;
      case 'candidates-end':
        this.#egressAt = Math.min(this.#egressAt, this.#host.now);
        this.connectivity.candidatesEnd();
        return true;
      case 'sockets':
        this.matrix.prepare(message.block);
        this.matrix.remote(message.block, this.#admitted(message.ends));
        return true;
      case 'arm':
        if (this.#arms.find(message.arm)?.stun) this.connectivity.setArm(message.path, message.arm);
        else this.#host.complain('arm.unknown', { arm: message.arm });
        return true;
      case 'events':
        this.evidence.take(message.events);
        return true;
      default:
        return (
          this.regathering.message(message) ||
          this.guessing.message(message) ||
          this.flows.message(message) ||
          this.profile?.message(message) === true
        );
    }
  }

  handle(input: SessionInput): void {
    this.#host.handle(input);
    if (this.#closing && this.#closing.waiting === 0) this.#closed();
  }

  deadline(): Ms {
    const ending = earliest(this.evidence.deadline(), this.#closing?.until ?? NEVER);
    if (this.#stopped) return ending;
    if (this.#onlyNats) return earliest(ending, this.#nats.deadline());
    const parts = earliest(this.connectivity.deadline(), this.matrix.deadline(), this.evidence.deadline());
    const own = earliest(this.#egressAt, this.#closing?.until ?? NEVER);
    const data = this.transfer?.deadline() ?? NEVER;
    return earliest(
      parts,
      own,
      data,
      this.regathering.deadline(),
      this.guessing.deadline(),
      this.flows.deadline(),
      this.profile?.deadline() ?? NEVER,
      this.#nats.deadline(),
    );
  }

  timeout(): void {
    if (!this.#stopped) this.#work();
    this.evidence.timeout();
    if (this.#closing && this.#closing.until <= this.#host.now) this.#closed();
  }

  #work(): void {
    this.#nats.timeout();
    if (this.#onlyNats) return;
    this.connectivity.timeout();
    this.matrix.timeout();
    this.regathering.timeout();
    this.guessing.timeout();
    this.flows.timeout();
    this.transfer?.timeout();
    this.profile?.timeout();
    if (this.#egressAt > this.#host.now) return;
    this.#egressAt = NEVER;
    this.#checkEgress('before', () => undefined);
  }

  /** The far end has closed its sockets: paths are over, and what falls silent now is not lost. */
  measureOnly(): void {
    this.#onlyNats = true;
  }

  /** Looks up routes and counters once more, writes what the agent knows, and calls back when all is in the record. */
  close(then: () => void): void {
    if (this.#closing) return;
    this.connectivity.summarise();
    this.#closing = { then, waiting: 2, until: this.#host.now + CLOSING_MS };
    const arrived = (): void => {
      if (this.#closing) this.#closing.waiting -= 1;
    };
    this.#checkEgress('after', arrived);
    this.#host.readCounters((counters) => {
      if (counters) this.#host.record({ type: 'counters', phase: 'after', counters });
      arrived();
    });
  }

  /** Ends now: what is known goes into the record, nothing is waited for. */
  abandon(): void {
    this.connectivity.summarise();
    this.stop();
  }

  stop(): void {
    if (!this.#stopped) {
      this.connectivity.stop();
      this.profile?.stop();
    }
    this.#stopped = true;
    this.transfer?.stop();
    this.matrix.stop();
    this.flows.stop();
    this.evidence.flush();
    this.#host.closeAll();
  }

  /** Where the far end has an address that it had not when routes were looked up: with all that may come with it. */
  #looksUpLater(): void {
    if (this.#egressAt < NEVER || this.#peer.all.length <= this.#lookedUp) return;
    this.#egressAt = this.#host.now + EGRESS_AFTER_MS;
  }

  /** The far sockets that may be sent to. */
  #admitted(ends: readonly MatrixEnd[]): MatrixEnd[] {
    return ends.map((end) => {
      const addresses = end.addresses.filter((address) => this.#peer.admits(address));
      if (addresses.length < end.addresses.length) this.#host.complain('sockets.refused', { interface: end.interface });
      return { ...end, addresses };
    });
  }

  #closed(): void {
    const closing = this.#closing;
    this.#closing = null;
    this.stop();
    closing?.then();
  }

  #checkEgress(phase: 'before' | 'after', then: () => void): void {
    const references = this.#options.plan.references.map(({ address }) => address);
    const destinations = [...new Set([...this.#peer.all, ...references])];
    this.#lookedUp = this.#peer.all.length;
    const checks = this.#near.all.flatMap((on) =>
      firstAddresses(on).flatMap(({ family, address }) =>
        destinations
          .filter((to) => to.includes(':') === (family === 'ipv6'))
          .map((to) => ({ interface: on.name, from: address, to })),
      ),
    );
    this.#host.checkEgress(checks, this.#options.pin, (results) => {
      for (const result of results) this.#egress(phase, result);
      then();
    });
  }

  #egress(phase: 'before' | 'after', result: EgressResult): void {
    // Its address went meanwhile: that this one has no route any more says nothing of where the packets went.
    if (!this.#near.has(result.interface, result.from)) return;
    this.#host.record({ type: 'egress', phase, ...result });
    if (result.verdict !== 'mismatch') return;
    this.#host.log('warn', 'egress.mismatch', { interface: result.interface, to: result.to, reason: result.reason });
  }
}

const ICE_CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** RFC 8445 §5.3: a ufrag of 24 random bits at least, a password of 128. */
function newCredentials(host: Host): Credentials {
  const text = (length: number): string =>
    Array.from(host.random.bytes(length), (byte) => ICE_CHARACTERS[byte & 63] ?? 'A').join('');
  return { ufrag: text(8), password: text(24) };
}
