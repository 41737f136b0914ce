import { lookup } from 'node:dns/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { transportAddress, type TransportAddress } from '../base/address.js';
import { IcepathError } from '../base/errors.js';
import type { HostPort } from './options.js';

/** A name server that is not there keeps the system's resolver waiting for far longer. */
const PATIENCE_MS = 5000;

async function tooLate(): Promise<never> {
  await delay(PATIENCE_MS, undefined, { ref: false });
  throw new Error('the name server does not answer');
}

/** A host name → its addresses, one a family. Throws `host-unknown`. */
export async function resolveHost({ host, port }: HostPort): Promise<TransportAddress[]> {
  let found: { address: string }[];
  try {
    found = await Promise.race([lookup(host, { all: true }), tooLate()]);
  } catch (cause) {
    throw new IcepathError(
      'host-unknown',
      `the name ${JSON.stringify(host)} does not resolve`,
      'Check the name, or give an IP address.',
      { cause },
    );
  }
  const addresses = found.map(({ address }) => transportAddress(address, port));
  return (['ipv4', 'ipv6'] as const).flatMap((family) => addresses.find((address) => address.family === family) ?? []);
}

export async function resolveAll(hosts: readonly HostPort[]): Promise<TransportAddress[]> {
  return (await Promise.all(hosts.map(resolveHost))).flat();
}
