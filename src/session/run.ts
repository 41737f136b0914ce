import type { HostInterface } from '../base/interface.js';
import { earliest, NEVER, type Ms } from '../base/time.js';
import type { ControlMessage } from '../control/messages.js';
import { findArm } from '../mutation/arm.js';
import { PLAIN_ARM } from '../mutation/names.js';
import { parsePolicy } from '../ice/policy.js';
import type { Candidate, Credentials } from '../ice/types.js';
import { Connectivity } from './connectivity.js';
import { Evidence } from './evidence.js';
import type { Host } from './host.js';
import type { EgressResult, SessionInput } from './io.js';
import { PeerAddresses } from './limits.js';
import { Matrix, type MatrixEnd } from './matrix.js';
import { NatMeasurement } from './nat.js';
import type { Plan } from './plan.js';
import { ReferenceTcp } from './reference-tcp.js';

/** How long after the start the routes are looked up, even if the far end has not named all its candidates yet. */
const EGRESS_AFTER_MS: Ms = 1500;
/** How long closing answers (routes, counters) are waited for. */
const CLOSING_MS: Ms = 3000;

export interface RunOptions {
  readonly host: Host;
  readonly plan: Plan;
  readonly interfaces: readonly HostInterface[];
  readonly pin: boolean;
  /** A block's rounds are over on this host. */
  readonly blockDone: (block: number) => void;
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
  readonly #nats: readonly NatMeasurement[];
  readonly #tcp: ReferenceTcp;
  readonly #peer: PeerAddresses;
  #egressAt: Ms = NEVER;
  /** Without sockets nothing is left to do but to tell the far end. */
  #stopped = false;
  #closing: { readonly then: () => void; waiting: number; readonly until: Ms } | null = null;

  constructor(options: RunOptions) {
    const { host, plan, interfaces, pin } = options;
    this.#options = options;
    this.#host = host;
    this.evidence = new Evidence(host);
    this.#peer = new PeerAddresses(interfaces);
    const credentials = newCredentials(host);
    this.connectivity = new Connectivity(host, {
      interfaces,
      pin,
      references: plan.references,
      controlling: host.role === 'client',
      credentials,
      policy: parsePolicy(plan.policy),
      firstOnly: plan.firstOnly,
      arm: plan.arms.find((name) => findArm(name)?.stun) ?? PLAIN_ARM,
      checksPerPair: plan.checksPerPair,
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
      arms: plan.arms,
      references: plan.references,
      sessionKey: plan.sessionKey,
      pin,
      ready: (block, ends) => {
        host.message({ type: 'sockets', block, ends });
      },
      started: () => {
        this.#tcp.try();
      },
      done: options.blockDone,
    });
    this.#nats = interfaces.flatMap((on) =>
      firstAddresses(on).map((address) => new NatMeasurement(host, on, address, plan.references, pin)),
    );
    this.#tcp = new ReferenceTcp(host, interfaces, plan.references, pin);
  }

  begin(): void {
    for (const on of this.#options.interfaces) {
      if (on.addresses.length > 0) continue;
      const detail = `${on.name} has no usable address`;
      this.#host.record({ type: 'not-gathered', interface: on.name, family: 'ipv4', reason: 'no-address', detail });
    }
    this.#egressAt = this.#host.now + EGRESS_AFTER_MS;
    this.connectivity.begin();
    for (const nat of this.#nats) nat.begin();
    this.#tcp.try();
  }

  get plan(): Plan {
    return this.#options.plan;
  }

  /** Whether this host has nothing of its own left to find out, the matrix aside. */
  get quiet(): boolean {
    return this.connectivity.checksDone && this.#nats.every(({ done }) => done) && this.#tcp.done;
  }

  /** Takes what both roles understand; false for every other message. */
  message(message: ControlMessage): boolean {
    switch (message.type) {
      case 'credentials':
        this.connectivity.credentials(message);
        return true;
      case 'candidate':
        if (this.#peer.admits(message.candidate.address)) {
          this.connectivity.candidate(message.candidate satisfies Candidate);
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
        if (findArm(message.arm)?.stun) this.connectivity.setArm(message.path, message.arm);
        else this.#host.complain('arm.unknown', { arm: message.arm });
        return true;
      case 'events':
        this.evidence.take(message.events);
        return true;
      default:
        return false;
    }
  }

  handle(input: SessionInput): void {
    this.#host.handle(input);
    if (this.#closing && this.#closing.waiting === 0) this.#closed();
  }

  deadline(): Ms {
    if (this.#stopped) return earliest(this.evidence.deadline(), this.#closing?.until ?? NEVER);
    return earliest(
      this.connectivity.deadline(),
      this.matrix.deadline(),
      this.evidence.deadline(),
      this.#egressAt,
      this.#closing?.until ?? NEVER,
      ...this.#nats.map((nat) => nat.deadline()),
    );
  }

  timeout(): void {
    if (!this.#stopped) this.#work();
    this.evidence.timeout();
    if (this.#closing && this.#closing.until <= this.#host.now) this.#closed();
  }

  #work(): void {
    this.connectivity.timeout();
    this.matrix.timeout();
    for (const nat of this.#nats) nat.timeout();
    if (this.#egressAt > this.#host.now) return;
    this.#egressAt = NEVER;
    this.#checkEgress('before', () => undefined);
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
    this.#stopped = true;
    this.matrix.stop();
    this.evidence.flush();
    this.#host.closeAll();
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
    const checks = this.#options.interfaces.flatMap((on) =>
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
    this.#host.record({ type: 'egress', phase, ...result });
    if (result.verdict !== 'mismatch') return;
    this.#host.log('warn', 'egress.mismatch', { interface: result.interface, to: result.to, reason: result.reason });
  }
}

/** One address a family: what the matrix, the NAT model and the reference are tried from. */
function firstAddresses(on: HostInterface): HostInterface['addresses'] {
  return (['ipv4', 'ipv6'] as const).flatMap(
    (family) => on.addresses.find((address) => address.family === family) ?? [],
  );
}

const ICE_CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** RFC 8445 §5.3: a ufrag of 24 random bits at least, a password of 128. */
function newCredentials(host: Host): Credentials {
  const text = (length: number): string =>
    Array.from(host.random.bytes(length), (byte) => ICE_CHARACTERS[byte & 63] ?? 'A').join('');
  return { ufrag: text(8), password: text(24) };
}
