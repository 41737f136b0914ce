import dns from 'dns-packet';
import { scopeOf, transportAddress } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import { prefixOfKnown } from '../base/nat64.js';
import type { Ms } from '../base/time.js';
import { IPV4_ONLY } from './dns.js';
import type { Host } from './host.js';
import type { Network } from './network.js';

const PORT = 53;
/** As net/nat64.ts: once, and no longer than this. */
const TIMEOUT_MS: Ms = 1000;
const NAME = Object.keys(IPV4_ONLY)[0] ?? '';

/** RFC 7050, as net/nat64.ts does it on a real host: calls back with the interfaces, at once where there is nobody to ask. */
export function findNat64(host: Host, network: Network, then: (interfaces: readonly HostInterface[]) => void): void {
  const { present } = host;
  const asked = present.filter((on) => isIPv6Only(on) && host.nameserversOf(on.name).length > 0);
  const found = new Map<string, string>();
  let waiting = asked.length;
  const settled = (): void => {
    waiting -= 1;
    if (waiting === 0) then(present.map((on) => withPrefix(on, found.get(on.name))));
  };
  if (waiting === 0) then(present);
  for (const on of asked) {
    askOne(host, network, on, (prefix) => {
      if (prefix !== null) found.set(on.name, prefix);
      settled();
    });
  }
}

function withPrefix(on: HostInterface, prefix: string | undefined): HostInterface {
  return prefix === undefined ? on : { ...on, nat64: { prefix, source: 'dns' } };
}

function isIPv6Only({ addresses }: HostInterface): boolean {
  return (
    addresses.length > 0 && addresses.every(({ address }) => address.includes(':')) && globalOf(addresses) !== null
  );
}

function globalOf(addresses: HostInterface['addresses']): string | null {
  return addresses.find(({ address }) => scopeOf(address) === 'global')?.address ?? null;
}

function askOne(host: Host, network: Network, on: HostInterface, then: (prefix: string | null) => void): void {
  const own = globalOf(on.addresses);
  const server = host.nameserversOf(on.name).find((address) => address.includes(':'));
  let open = true;
  const end = (prefix: string | null): void => {
    if (!open) return;
    open = false;
    if (typeof socket === 'object') host.close(socket);
    then(prefix);
  };
  const socket =
    own !== null && server !== undefined
      ? host.bind(transportAddress(own, 0), on.name, {
          onDatagram: (_from, bytes) => {
            end(prefixIn(bytes));
          },
          onIcmp: () => {
            end(null);
          },
        })
      : 'EDESTADDRREQ';
  if (typeof socket === 'string' || server === undefined) {
    end(null);
    return;
  }
  const query = dns.encode({
    type: 'query',
    id: 1,
    flags: dns.RECURSION_DESIRED,
    questions: [{ type: 'AAAA', name: NAME }],
  });
  host.sendUdp(socket, transportAddress(server, PORT), Uint8Array.from(query));
  network.after(TIMEOUT_MS, () => {
    end(null);
  });
}

function prefixIn(bytes: Uint8Array): string | null {
  try {
    const { answers = [] } = dns.decode(Buffer.from(bytes));
    const told = answers.flatMap((answer) => (answer.type === 'AAAA' ? [prefixOfKnown(answer.data)] : []));
    return told.find((prefix) => prefix !== null) ?? null;
  } catch {
    return null;
  }
}
