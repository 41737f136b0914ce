import { Resolver } from 'node:dns/promises';
import { scopeOf } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import { prefixOfKnown } from '../base/nat64.js';

/** RFC 7050 §2.2: a name with two IPv4 addresses and no other; a DNS64 makes others of them. */
const NAME = 'ipv4only.arpa';
/** Once: who does not answer in this time is not waited for before a run. */
const TIMEOUT_MS = 1000;

/** The AAAA records of a name, asked from a local IPv6 address; rejects where there are none. */
export type AskIPv6 = (name: string, from: string) => Promise<readonly string[]>;

async function askConfigured(name: string, from: string): Promise<readonly string[]> {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: 1 });
  resolver.setLocalAddress(undefined, from);
  return resolver.resolve6(name);
}

/**
 * The interfaces, those that have IPv6 alone with the NAT64 prefix that the host's resolvers tell of (RFC 7050). They
 * are asked from the interface's own address; what they say is a hint, which an answer of the reference has to prove.
 */
export async function withNat64(
  interfaces: readonly HostInterface[],
  ask: AskIPv6 = askConfigured,
): Promise<readonly HostInterface[]> {
  return Promise.all(
    interfaces.map(async (on) => {
      const own = on.addresses.find(({ address }) => address.includes(':') && scopeOf(address) === 'global');
      if (!own || on.addresses.some(({ family }) => family === 'ipv4')) return on;
      const told = await ask(NAME, own.address).catch(() => []);
      const prefix = told.map(prefixOfKnown).find((one) => one !== null);
      return prefix === undefined ? on : { ...on, nat64: { prefix, source: 'dns' as const } };
    }),
  );
}
