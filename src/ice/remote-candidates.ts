import { isIP } from 'node:net';
import { formatTransportAddress, scopeOf, type TransportAddress } from '../base/address.js';
import { candidatePriority, localPreferenceOf } from './candidate.js';
import type { Candidate } from './types.js';

/** Far more than two hosts have; a far end that signals more is not believed. */
const MOST_REMOTE = 256;

/** The far end's candidates: signalled, or learnt from its checks. One an address and group. */
export class RemoteCandidates {
  readonly #byAddress = new Map<string, Candidate>();
  readonly #signalled = new Set<Candidate>();

  all(): Candidate[] {
    return [...this.#byAddress.values()];
  }

  find(address: TransportAddress, group?: string): Candidate | undefined {
    return this.#byAddress.get(keyOf(address, group));
  }

  /**
   * A signalled candidate. Returns it where it is news: new, or the signalling of an address that was known as
   * peer-reflexive only, or with a lower priority (RFC 8838 §11.4, RFC 8445 §5.1.3).
   */
  signal(candidate: Candidate): Candidate | null {
    const known = this.find(candidate.address, candidate.group);
    if (!isUsable(candidate.address) || (!known && this.#byAddress.size >= MOST_REMOTE)) return null;
    if (known && this.#signalled.has(known) && known.priority >= candidate.priority) return null;
    this.#byAddress.set(keyOf(candidate.address, candidate.group), candidate);
    if (known) this.#signalled.delete(known);
    this.#signalled.add(candidate);
    return candidate;
  }

  /**
   * A peer-reflexive candidate (RFC 8445 §7.3.1.3) from a check whose PRIORITY was `priority`; `null` where it was
   * stripped. Its interface is that of the signalled host candidate with the same local preference.
   */
  learn(address: TransportAddress, priority: number | null, group?: string): Candidate | null {
    if (!isUsable(address) || this.#byAddress.size >= MOST_REMOTE) return null;
    const owner = priority === null ? undefined : this.#hostWithPreference(localPreferenceOf(priority));
    const candidate: Candidate = {
      type: 'prflx',
      address,
      // Arbitrary, but different from every other (§7.3.1.3): "/" is in no foundation of ours.
      foundation: `prflx/${this.#byAddress.size}`,
      component: 1,
      priority: priority ?? candidatePriority('prflx', 0),
      ...(owner ? { related: owner.address } : {}),
      interface: owner?.interface ?? null,
      kind: owner?.kind ?? null,
      label: owner?.label ?? null,
      ...(group === undefined ? {} : { group }),
    };
    this.#byAddress.set(keyOf(address, group), candidate);
    return candidate;
  }

  /** Peer-reflexive candidates without an interface that now have one, since their host candidate was signalled later. */
  identify(): Candidate[] {
    const identified: Candidate[] = [];
    for (const candidate of this.all()) {
      if (candidate.type !== 'prflx' || candidate.interface !== null) continue;
      const owner = this.#hostWithPreference(localPreferenceOf(candidate.priority));
      if (typeof owner?.interface !== 'string') continue;
      const { interface: name, kind, label, address: related } = owner;
      const known = { ...candidate, interface: name, kind, label, related };
      this.#byAddress.set(keyOf(candidate.address, candidate.group), known);
      identified.push(known);
    }
    return identified;
  }

  #hostWithPreference(preference: number): Candidate | undefined {
    for (const candidate of this.#signalled) {
      if (candidate.type === 'host' && localPreferenceOf(candidate.priority) === preference) return candidate;
    }
    return undefined;
  }
}

function keyOf(address: TransportAddress, group = ''): string {
  return `${group} ${formatTransportAddress(address)}`;
}

function isUsable({ address, port }: TransportAddress): boolean {
  if (isIP(address) === 0 || port === 0) return false;
  const scope = scopeOf(address);
  return scope !== 'multicast' && scope !== 'unspecified';
}
