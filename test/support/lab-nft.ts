import { SERVERS, type Filter, type Heading, type Uplink, type Wire } from './lab-topology.js';

/**
 * The nft rulesets of a lab. Counters of a carrier: `udp/out`, `udp/in` (at its customer's side of the wire),
 * `stray/out` (UDP of its customer that carries another interface's address: a wrong route), `unsolicited/in`
 * (dropped by the guard), `unsolicited6/in`, and one for each filter and heading, `filter0/out`.
 */
export function carrierRules(uplink: Uplink, inside: Wire): string {
  const guarded = uplink.nat === 'guarded' || uplink.nat === 'symmetric';
  const masquerade = { guarded: 'masquerade', unguarded: 'masquerade', symmetric: 'masquerade random', none: null }[
    uplink.nat
  ];
  const { counters, rules } = filterRules(uplink.filters, 'inside', { out: 'iifname "lan"', in: 'oifname "lan"' });
  return `
table inet carrier {
  ${declarations(['udp/out', 'udp/in', 'stray/out', 'unsolicited/in', 'unsolicited6/in', ...counters])}
  chain from_customer {
    type filter hook prerouting priority -450
    iifname "lan" meta l4proto udp counter name "udp/out"
    iifname "lan" meta l4proto udp ip saddr != ${inside.prefix}/${inside.length} counter name "stray/out"
  }
  chain to_customer {
    type filter hook postrouting priority 450
    oifname "lan" meta l4proto udp counter name "udp/in"
  }
  chain forward {
    type filter hook forward priority 0
    ${uplink.statefulV6 ? 'iifname "wan" meta nfproto ipv6 ct state new counter name "unsolicited6/in" drop' : ''}
    ${rules.join('\n    ')}
  }
  chain input {
    type filter hook input priority 0
    ${guarded ? 'iifname "wan" meta l4proto udp counter name "unsolicited/in" drop' : ''}
  }
}
${masquerade === null ? '' : `table ip nat { chain out { type nat hook postrouting priority srcnat; oifname "wan" ${masquerade}; }\n}`}
`;
}

/** What lies beyond the carriers' NATs: the filters `at: 'outside'`, counted by `LABEL/…` like the carrier's own. */
export function publicRules(uplinks: readonly Uplink[]): string {
  const all = uplinks.map(({ label, filters }) =>
    filterRules(filters, 'outside', { out: `iifname "${label}"`, in: `oifname "${label}"` }, `${label}/`),
  );
  return `
table inet public {
  ${declarations(all.flatMap(({ counters }) => counters))}
  chain forward {
    type filter hook forward priority 0
    ${all.flatMap(({ rules }) => rules).join('\n    ')}
  }
}
`;
}

function declarations(counters: readonly string[]): string {
  return counters.map((counter) => `counter ${counter} { }`).join('\n  ');
}

function filterRules(filters: readonly Filter[], at: 'inside' | 'outside', wire: Record<Heading, string>, prefix = '') {
  const counters: string[] = [];
  const rules: string[] = [];
  for (const [index, filter] of filters.entries()) {
    if ((filter.at ?? 'inside') !== at) continue;
    const headings: readonly Heading[] = filter.heading === undefined ? ['out', 'in'] : [filter.heading];
    for (const heading of headings) {
      const counter = `${prefix}filter${index}/${heading}`;
      counters.push(counter);
      const family = filter.family === undefined ? '' : `meta nfproto ${filter.family} `;
      const action = filter.action === 'admin-prohibited' ? 'reject with icmpx type admin-prohibited' : 'drop';
      for (const match of matches(filter, heading)) {
        rules.push(`${wire[heading]} ${family}meta l4proto udp ${match} counter name "${counter}" ${action}`);
      }
    }
  }
  return { counters, rules };
}

function matches({ match, family }: Filter, heading: Heading): string[] {
  switch (match) {
    case 'stun-cookie':
      return ['@th,96,32 0x2112a442'];
    case 'stun-two-bits':
      return ['@th,64,2 0'];
    case 'udp':
      return [''];
    case 'peer-udp': {
      const remote = heading === 'out' ? 'daddr' : 'saddr';
      const { ipv4, ipv6 } = SERVERS;
      // nft refuses a rule that asks for two families at once.
      return [
        ...(family === 'ipv6' ? [] : [`ip ${remote} != ${ipv4.prefix}/${ipv4.length}`]),
        ...(family === 'ipv4' ? [] : [`ip6 ${remote} != ${ipv6.prefix}/${ipv6.length}`]),
      ];
    }
    case 'loss30':
      return ['numgen random mod 100 < 30'];
  }
}
