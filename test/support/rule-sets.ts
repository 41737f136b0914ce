import type { Family } from '../../src/base/address.js';
import { SeededRandom } from '../../src/base/random.js';
import type { Box } from '../../src/world/box.js';
import { Filter, type FilterRule } from '../../src/world/filter.js';
import { Firewall } from '../../src/world/firewall.js';
import { Hop } from '../../src/world/hop.js';
import { LinuxNat } from '../../src/world/linux-nat.js';
import { KernelRouter } from './kernel-router.js';
import { INSIDE, ROUTER } from './packet-script.js';

/** A router twice: as nft's ruleset and sysctls, and as boxes of the model. */
export interface RuleSet {
  readonly name: string;
  readonly family: Family;
  /** Whether it has an address outside that stands for everybody inside. */
  readonly translates: boolean;
  readonly nft: string;
  /** Of conntrack, in seconds. */
  readonly timeouts: Readonly<Record<'udp' | 'udpStream' | 'icmp', number>>;
  readonly boxes: () => Box[];
}

/** Half way between multiples of a tick (800 ms): 2.5 and 7.5 of them. */
const [SHORT_S, LONG_S] = [2, 6];
const hop = (): Hop => new Hop({ addresses: { ipv4: ROUTER.ipv4.gate, ipv6: ROUTER.ipv6.gate } });

function masquerade(randomPorts: boolean, guarded: boolean): RuleSet {
  const guard = 'iifname outside meta l4proto udp ct state != { established, related } drop';
  return {
    name: `masquerade${randomPorts ? ' random' : ''}, ${guarded ? 'guarded' : 'unguarded'}`,
    family: 'ipv4',
    translates: true,
    nft: `
      table ip router {
        chain in {
          type filter hook input priority 0
          ${guarded ? guard : ''}
        }
        chain out {
          type nat hook postrouting priority srcnat
          oifname outside masquerade ${randomPorts ? 'random' : ''}
        }
      }`,
    timeouts: { udp: SHORT_S, udpStream: LONG_S, icmp: SHORT_S },
    boxes: () => [
      hop(),
      new LinuxNat(
        {
          outside: ROUTER.ipv4.box,
          guarded,
          randomPorts,
          lifetimes: { udpMs: SHORT_S * 1000, udpStreamMs: LONG_S * 1000, icmpMs: SHORT_S * 1000 },
        },
        new SeededRandom('masquerade'),
      ),
    ],
  };
}

function statefulV6(rejects: boolean): RuleSet {
  return {
    name: `stateful IPv6 firewall that ${rejects ? 'rejects' : 'drops'}`,
    family: 'ipv6',
    translates: false,
    nft: `
      table ip6 router {
        chain forward {
          type filter hook forward priority 0; policy drop;
          ct state established,related accept
          iifname inside accept
          ${rejects ? 'reject with icmpv6 type admin-prohibited' : ''}
        }
      }`,
    // The model's firewalls have one lifetime.
    timeouts: { udp: LONG_S, udpStream: LONG_S, icmp: LONG_S },
    boxes: () => [
      hop(),
      new Firewall({
        families: ['ipv6'],
        lifetimeMs: LONG_S * 1000,
        ...(rejects ? { rejectFrom: ROUTER.ipv6.gate } : {}),
      }),
    ],
  };
}

function filter(name: string, family: Family, rule: string, { match, action }: FilterRule): RuleSet {
  const heading = (way: 'in' | 'out'): Filter => new Filter([{ match: { ...match, heading: way }, action }]);
  return {
    name,
    family,
    translates: false,
    nft: `
      table inet router {
        chain forward {
          type filter hook forward priority 0
          ${rule}
        }
      }`,
    timeouts: { udp: SHORT_S, udpStream: LONG_S, icmp: SHORT_S },
    // The kernel forwards, and so looks at the TTL, before it filters: in either direction.
    boxes: () => [...(match.heading === 'out' ? [] : [heading('in')]), hop(), heading('out')],
  };
}

const COOKIE = { offset: 4, value: [0x21, 0x12, 0xa4, 0x42] } as const;
const TWO_BITS = { offset: 0, value: [0], mask: [0xc0] } as const;

export const RULE_SETS: readonly RuleSet[] = [
  masquerade(false, true),
  masquerade(false, false),
  masquerade(true, true),
  masquerade(true, false),
  statefulV6(false),
  statefulV6(true),
  // Bits from the UDP header's begin: 8 bytes of it, and 4 of STUN's that are not the cookie.
  filter('cookie filter, IPv4', 'ipv4', 'meta l4proto udp @th,96,32 0x2112a442 drop', {
    match: { bytes: [COOKIE] },
    action: { type: 'drop' },
  }),
  filter('cookie filter, IPv6, outbound', 'ipv6', 'iifname inside meta l4proto udp @th,96,32 0x2112a442 drop', {
    match: { bytes: [COOKIE], heading: 'out' },
    action: { type: 'drop' },
  }),
  filter(
    'filter on the top two bits that rejects, IPv4',
    'ipv4',
    'meta l4proto udp @th,64,2 0 reject with icmp type admin-prohibited',
    {
      match: { bytes: [TWO_BITS] },
      action: { type: 'reject', error: 'admin-prohibited', from: ROUTER.ipv4.gate },
    },
  ),
];

export function kernelRouterOf({ family, translates, nft, timeouts }: RuleSet): KernelRouter {
  const { gate, box } = ROUTER[family];
  const [all, version] = family === 'ipv4' ? [32, '-4'] : [128, '-6'];
  return new KernelRouter({
    ip: [
      `address add ${gate}/${all} dev inside`,
      ...(translates ? [`address add ${box}/${all} dev outside`] : []),
      `${version} route add ${INSIDE[family]} dev inside`,
      `${version} route add default dev outside`,
    ],
    sysctls: {
      // Of all destinations together; the model counts for each.
      'net/ipv4/icmp_msgs_per_sec': 100_000,
      'net/ipv4/icmp_msgs_burst': 100_000,
      'net/netfilter/nf_conntrack_udp_timeout': timeouts.udp,
      'net/netfilter/nf_conntrack_udp_timeout_stream': timeouts.udpStream,
      'net/netfilter/nf_conntrack_icmp_timeout': timeouts.icmp,
      'net/netfilter/nf_conntrack_icmpv6_timeout': timeouts.icmp,
    },
    ruleset: nft,
  });
}
