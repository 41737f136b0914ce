import { addressBytes, scopeOf, type TransportAddress } from '../base/address.js';
import { IcepathError } from '../base/errors.js';
import type { HostInterface } from '../base/interface.js';
import type { Ms } from '../base/time.js';
import { parsePolicy } from '../ice/policy.js';
import { mistakesIn } from '../mutation/own-arms.js';
import { armsWith } from '../mutation/registry.js';
import type { Plan } from './plan.js';
import { profileOfPlan } from './profile-play.js';

/** What a far end that has the invite can make this host do, at most: docs/decisions/abuse.md. */
export const LIMITS = {
  /** Distinct IP addresses that a whole run sends to. */
  addresses: 64,
  /** Packets of one round to one IP address, and in all. */
  sendsPerAddress: 256,
  sendsPerRound: 2048,
  /** Of one block. */
  rounds: 64,
  shortestIntervalMs: 200,
  longestIntervalMs: 4000,
  /** Blocks of one run, and those whose sockets are open at the same time. */
  blocks: 32,
  openBlocks: 3,
  checksPerPair: 50,
  /** Packets that came altered, of the matrix and of checks: a record of each. */
  altered: 4096,
  /** Tries of a path on fresh sockets, one at each end, and those of all paths. */
  regathersPerPath: 8,
  regathers: 48,
  /** Guessing ports, where this host's user asked for it: sockets, ports of one address, packets a second, paths of a run. */
  guessSockets: 256,
  guesses: 1024,
  guessesPerSecond: 200,
  guessedPaths: 2,
  /** Experiments: flows of a run and those open at once, batches under way at once, packets of a run and of a second. */
  flows: 4096,
  openFlows: 256,
  openBatches: 16,
  trialPackets: 60_000,
  trialPacketsPerSecond: 600,
  /** Shots of both ends that a run hears of; packets and bytes of UDP payload a second to one IP address, bytes of a run. */
  shots: 160_000,
  trialPacketsPerAddress: 1200,
  trialBytesPerAddress: 200_000,
  trialBytes: 24_000_000,
  /** A server waits no longer for a plan, and no longer for the end of a run. */
  planMs: 10_000 satisfies Ms,
  runMs: 300_000 satisfies Ms,
  deepRunMs: 480_000 satisfies Ms,
} as const;

/** RFC 4787 REQ-3: a NAT maps no port from 1024 up to one below, and icepath's sockets have none below. */
const LEAST_PEER_PORT = 1024;

/** A unicast address; loopback only for a host whose own interfaces are. */
function isHost(address: string, interfaces: readonly HostInterface[]): boolean {
  const scope = scopeOf(address);
  if (scope === 'loopback') {
    return interfaces.some((on) => on.addresses.some((own) => scopeOf(own.address) === 'loopback'));
  }
  const bytes = addressBytes(address);
  const reserved = bytes.length === 4 && (bytes[0] ?? 0) >= 240;
  return scope !== 'multicast' && scope !== 'unspecified' && !reserved;
}

export function isReferenceHost({ address, port }: TransportAddress, interfaces: readonly HostInterface[]): boolean {
  return port > 0 && isHost(address, interfaces);
}

/** The addresses of a far end that this host is ready to send to: few, and none that only a third party can have. */
export class PeerAddresses {
  readonly #interfaces: readonly HostInterface[];
  readonly #ports: readonly number[];
  readonly #known = new Set<string>();

  /** `ports`: those below the least that this host's own user named. */
  constructor(interfaces: readonly HostInterface[], ports: readonly number[] = []) {
    this.#interfaces = interfaces;
    this.#ports = ports;
  }

  /** IP addresses. */
  get all(): readonly string[] {
    return [...this.#known];
  }

  /** For connectivity checks, at their own pace: also at the ports that this host's user named. */
  admitsCandidate(address: TransportAddress): boolean {
    return this.#ports.includes(address.port) ? this.#admitsHost(address) : this.admits(address);
  }

  admits(address: TransportAddress): boolean {
    return address.port >= LEAST_PEER_PORT && this.#admitsHost(address);
  }

  #admitsHost({ address }: TransportAddress): boolean {
    if (!isHost(address, this.#interfaces)) return false;
    if (this.#known.size >= LIMITS.addresses && !this.#known.has(address)) return false;
    this.#known.add(address);
    return true;
  }
}

/** Why this host does not do as the plan says: a sentence; `null` where it does. */
export function refusalOf(plan: Plan, interfaces: readonly HostInterface[]): string | null {
  const [mistake] = mistakesIn(plan.ownArms);
  if (mistake) {
    const name = JSON.stringify(plan.ownArms[mistake.index]?.name);
    return `the arm ${name} cannot be used: its ${mistake.field} ${mistake.what}`;
  }
  const known = armsWith(plan.ownArms);
  const unknown = plan.arms.find((arm) => !known.find(arm));
  if (unknown !== undefined) return `the server does not know the arm ${JSON.stringify(unknown)}`;
  if (new Set(plan.arms).size < plan.arms.length) return 'the plan names an arm twice';
  if (plan.checksPerPair > LIMITS.checksPerPair) {
    return `${String(plan.checksPerPair)} checks a pair are too many, ${String(LIMITS.checksPerPair)} are the most`;
  }
  if (plan.profile && !profileOfPlan(plan.profile)) return 'the plan has a behaviour profile that cannot be read';
  const reference = plan.references.find((one) => !isReferenceHost(one, interfaces));
  if (reference) return `${reference.address} port ${String(reference.port)} cannot be a reference host`;
  try {
    parsePolicy(plan.policy);
  } catch (error) {
    return error instanceof IcepathError ? error.message : 'the policy cannot be read';
  }
  return null;
}
