import { describe, expect, test } from 'vitest';
import { parseDevices, parseNameValues, parseProtocolTable, readCounters } from '../../src/net/counters.js';
import { iptablesDrops, nftDrops } from '../../src/net/firewall.js';
import { testWith } from '../support/skip.js';

describe('the kernel’s tables', () => {
  test('/proc/net/dev', () => {
    const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    3937      41    0    0    0     0          0         0     3937      41    0    0    0     0       0          0
 wwan0: 112     2    0    3    0     0          0         0     900      5    0    1    0     0       0          0
eth0:251211694 7 0 0 0 0 0 0 608674 8 0 0 0 0 0 0
`;
    expect(parseDevices(text)).toEqual({
      lo: { rxPackets: 41, txPackets: 41, rxDropped: 0, txDropped: 0 },
      wwan0: { rxPackets: 2, txPackets: 5, rxDropped: 3, txDropped: 1 },
      eth0: { rxPackets: 7, txPackets: 8, rxDropped: 0, txDropped: 0 },
    });
  });

  test('/proc/net/snmp, netstat and snmp6 have the names that nstat prints', () => {
    const snmp =
      'Udp: InDatagrams NoPorts InErrors\nUdp: 125 3 1\nTcpExt: SyncookiesSent IPReversePathFilter\nTcpExt: 0 5\n';
    expect(parseProtocolTable(snmp)).toEqual({
      UdpInDatagrams: 125,
      UdpNoPorts: 3,
      UdpInErrors: 1,
      TcpExtSyncookiesSent: 0,
      TcpExtIPReversePathFilter: 5,
    });
    expect(parseNameValues('Udp6InErrors                    \t4\nIp6InNoRoutes \t0\n')).toEqual({
      Udp6InErrors: 4,
      Ip6InNoRoutes: 0,
    });
  });

  test('where there is no procfs there are no counters', async () => {
    expect(await readCounters('/nonexistent', () => Promise.resolve(null))).toBeNull();
  });

  testWith(['linux'], 'this host has them, also without nft and iptables', async () => {
    const counters = await readCounters('/proc', () => Promise.resolve(null));
    expect(counters?.interfaces.lo?.rxPackets).toBeTypeOf('number');
    expect(counters?.host).toHaveProperty('TcpExtIPReversePathFilter');
    expect(counters?.host).toHaveProperty('UdpRcvbufErrors');
    expect(counters?.rpFilter.lo).toBeTypeOf('number');
  });
});

describe('firewall rules', () => {
  // Recorded with nft 1.0.6.
  const NFT =
    '{"nftables": [{"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}}, {"table": {"family": "inet", "name": "guard", "handle": 1}}, {"chain": {"family": "inet", "table": "guard", "name": "incoming", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}}, {"chain": {"family": "inet", "table": "guard", "name": "more", "handle": 2}}, {"chain": {"family": "inet", "table": "guard", "name": "output", "handle": 3, "type": "filter", "hook": "output", "prio": 0, "policy": "accept"}}, {"chain": {"family": "inet", "table": "guard", "name": "onward", "handle": 4, "type": "filter", "hook": "forward", "prio": 0, "policy": "accept"}}, {"rule": {"family": "inet", "table": "guard", "chain": "incoming", "handle": 5, "expr": [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "wwan0"}}, {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 3478}}, {"counter": {"packets": 7, "bytes": 0}}, {"drop": null}]}}, {"rule": {"family": "inet", "table": "guard", "chain": "incoming", "handle": 6, "comment": "strange", "expr": [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "invalid"}}, {"counter": {"packets": 2, "bytes": 0}}, {"reject": {"type": "icmpx", "expr": "admin-prohibited"}}]}}, {"rule": {"family": "inet", "table": "guard", "chain": "incoming", "handle": 7, "expr": [{"jump": {"target": "more"}}]}}, {"rule": {"family": "inet", "table": "guard", "chain": "incoming", "handle": 8, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}, {"drop": null}]}}, {"rule": {"family": "inet", "table": "guard", "chain": "more", "handle": 9, "expr": [{"match": {"op": ">", "left": {"payload": {"protocol": "udp", "field": "length"}}, "right": 1000}}, {"counter": {"packets": 1, "bytes": 0}}, {"drop": null}]}}, {"rule": {"family": "inet", "table": "guard", "chain": "output", "handle": 10, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": {"prefix": {"addr": "192.0.2.0", "len": 24}}}}, {"match": {"op": "==", "left": {"payload": {"base": "th", "offset": 96, "len": 32}}, "right": 554869826}}, {"counter": {"packets": 4, "bytes": 0}}, {"drop": null}]}}, {"rule": {"family": "inet", "table": "guard", "chain": "onward", "handle": 11, "expr": [{"counter": {"packets": 9, "bytes": 0}}, {"drop": null}]}}]}';

  test('nft: what drops or rejects, counts, and is reached from input or output', () => {
    expect(nftDrops(NFT)).toEqual({
      'nft inet guard incoming (input): iifname wwan0 udp dport 3478 drop': 7,
      'nft inet guard incoming (input): ct state invalid reject "strange"': 2,
      'nft inet guard more (input): udp length > 1000 drop': 1,
      'nft inet guard output: ip daddr 192.0.2.0/24 @th,96,32 554869826 drop': 4,
    });
  });

  test('nft: two rules with the same words keep a counter each; chains that call each other end', () => {
    const rule = (chain: string, handle: number, expr: unknown[]) => ({
      rule: { family: 'ip', table: 't', chain, handle, expr },
    });
    const drop = [{ counter: { packets: 1, bytes: 0 } }, { drop: null }];
    const nftables = [
      { chain: { family: 'ip', table: 't', name: 'input', hook: 'input' } },
      rule('input', 1, drop),
      rule('input', 2, drop),
      rule('input', 3, [{ jump: { target: 'loop' } }]),
      rule('loop', 4, [{ goto: { target: 'input' } }]),
    ];
    expect(nftDrops(JSON.stringify({ nftables }))).toEqual({ 'nft ip t input: drop': 1, 'nft ip t input: drop #2': 1 });
  });

  test.each(['', 'not json', '[]', '{"nftables": 3}'])('nft: %j says nothing', (text) => {
    expect(nftDrops(text)).toEqual({});
  });

  test('iptables: rules, chains that they jump to, and policies', () => {
    // Laid out as iptables(8) prints it with -nvxL.
    const text = `Chain INPUT (policy DROP 12 packets, 3400 bytes)
    pkts      bytes target     prot opt in     out     source               destination
      40     3000 ACCEPT     all  --  lo     *       0.0.0.0/0            0.0.0.0/0
       5      400 guard      udp  --  *      *       0.0.0.0/0            0.0.0.0/0

Chain FORWARD (policy DROP 3 packets, 100 bytes)
    pkts      bytes target     prot opt in     out     source               destination

Chain OUTPUT (policy ACCEPT 900 packets, 80000 bytes)
    pkts      bytes target     prot opt in     out     source               destination
       6      500 REJECT     udp  --  *      wwan0   0.0.0.0/0            0.0.0.0/0            udp dpt:3478 reject-with icmp-port-unreachable

Chain guard (1 references)
    pkts      bytes target     prot opt in     out     source               destination
       5      400 DROP       udp  --  *      *       0.0.0.0/0            0.0.0.0/0            u32 "0x0>>0x16"
`;
    expect(iptablesDrops('iptables', text)).toEqual({
      'iptables INPUT: policy DROP': 12,
      'iptables guard (input): DROP udp -- * * 0.0.0.0/0 0.0.0.0/0 u32 "0x0>>0x16"': 5,
      'iptables OUTPUT: REJECT udp -- * wwan0 0.0.0.0/0 0.0.0.0/0 udp dpt:3478 reject-with icmp-port-unreachable': 6,
    });
    expect(iptablesDrops('iptables', '')).toEqual({});
  });
});
