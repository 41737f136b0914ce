import { sameAddress, type TransportAddress } from '../base/address.js';
import { candidatePriority, Foundations, localPreferenceOf } from './candidate.js';
import { localPreference, type Policy } from './policy.js';
import type { Base, BaseId, LocalCandidate } from './types.js';

/** The low byte of the local preference tells bases apart. */
const MOST_BASES = 256;
/** A symmetric NAT gives one address for every destination. */
const MOST_REFLEXIVE = 1024;

/** The candidates of this agent: a host or relay candidate a base, and the reflexive ones that were learnt for it. */
export class LocalCandidates {
  readonly #policy: Policy;
  readonly #foundations = new Foundations();
  readonly #bases = new Map<BaseId, { readonly base: Base; readonly index: number; readonly host: LocalCandidate }>();
  #reflexive: LocalCandidate[] = [];

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  bases(): Base[] {
    return [...this.#bases.values()].map(({ base }) => base);
  }

  all(): LocalCandidate[] {
    return [...this.hosts(), ...this.#reflexive];
  }

  hosts(): LocalCandidate[] {
    return [...this.#bases.values()].map(({ host }) => host);
  }

  host(base: BaseId): LocalCandidate | undefined {
    return this.#bases.get(base)?.host;
  }

  /** The base's own candidate; `null` when the base is known, or there are too many. */
  add(base: Base): LocalCandidate | null {
    const used = new Set([...this.#bases.values()].map(({ index }) => index));
    if (this.#bases.has(base.id) || used.size >= MOST_BASES) return null;
    let index = 0;
    while (used.has(index)) index += 1;
    const { address, kind, label } = base;
    const preference = localPreference(this.#policy, { family: address.family, kind, label }, index);
    const { relay } = base;
    const type = relay ? 'relay' : 'host';
    const host: LocalCandidate = {
      type,
      address,
      foundation: this.#foundations.of(type, address, relay?.server ?? null),
      component: 1,
      priority: candidatePriority(type, preference),
      ...(relay ? { related: relay.mapped } : {}),
      base: base.id,
      interface: base.interface,
      kind,
      label,
      ...(base.group === undefined ? {} : { group: base.group }),
      ...(base.arm === undefined ? {} : { arm: base.arm }),
    };
    this.#bases.set(base.id, { base, index, host });
    return host;
  }

  remove(base: BaseId): void {
    this.#bases.delete(base);
    this.#reflexive = this.#reflexive.filter((candidate) => candidate.base !== base);
  }

  /** The candidate that `address` is on this base, whatever its type. */
  find(base: BaseId, address: TransportAddress): LocalCandidate | undefined {
    return this.all().find((candidate) => candidate.base === base && sameAddress(candidate.address, address));
  }

  /**
   * A reflexive candidate; `null` where one with this address and base is known, which makes it redundant
   * (RFC 8445 §5.1.3), or there are too many. A peer-reflexive one was never signalled: the server's word replaces it.
   */
  reflect(
    type: 'srflx' | 'prflx',
    base: BaseId,
    mapped: TransportAddress,
    server: TransportAddress | null,
  ): LocalCandidate | null {
    const host = this.host(base);
    const known = this.find(base, mapped);
    if (known && (type === 'prflx' || known.type !== 'prflx')) return null;
    if (known) this.#reflexive = this.#reflexive.filter((other) => other !== known);
    if (host?.address.family !== mapped.family || this.#reflexive.length >= MOST_REFLEXIVE) return null;
    const candidate: LocalCandidate = {
      ...host,
      type,
      address: mapped,
      foundation: this.#foundations.of(type, host.address, server),
      priority: candidatePriority(type, localPreferenceOf(host.priority)),
      related: host.address,
    };
    this.#reflexive.push(candidate);
    return candidate;
  }

  /** The priority that a peer-reflexive candidate of this base would have: what PRIORITY says (RFC 8445 §7.1.1). */
  checkPriority(base: BaseId): number {
    return candidatePriority('prflx', localPreferenceOf(this.host(base)?.priority ?? 0));
  }
}
