import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CounterSnapshot, EgressResult, IcmpError, SessionInput } from '../../src/session/io.js';
import { buildTree, firstLine, Netns } from '../support/netns.js';
import type { BuiltTree } from '../support/netns.js';
import { describeWith } from '../support/skip.js';
import type { Outcome, Step } from './child/session.js';

/**
 * A host with three veth links to another: eth0 (default route, metric 100), wwan0 (default route, metric 700), wlan0
 * (an address, no gateway). 192.0.2.9 and 2001:db8:9::9 are behind the other host's links.
 */
describeWith(['linux', 'root', 'ip', 'nft', 'koffi'], 'on a kernel of its own', () => {
  let tree: BuiltTree;
  let near: Netns;
  let far: Netns;

  beforeAll(async () => {
    tree = buildTree('test/net/child');
    near = new Netns('ip-c-near');
    far = new Netns('ip-c-far');
    ['eth0', 'wwan0', 'wlan0'].forEach((device, index) => {
      const net = index + 1;
      near.link(device, far, device);
      near.ip(`addr add 10.77.${String(net)}.1/24 dev ${device}`);
      far.ip(`addr add 10.77.${String(net)}.2/24 dev ${device}`);
      near.ip(`addr add 2001:db8:77:${String(net)}::1/64 dev ${device} nodad`);
      far.ip(`addr add 2001:db8:77:${String(net)}::2/64 dev ${device} nodad`);
    });
    // Every error is sent, not one a second.
    far.sysctl('net.ipv4.icmp_ratelimit', 0);
    far.sysctl('net.ipv6.icmp.ratelimit', 0);
    far.ip('addr add 192.0.2.9/32 dev lo');
    far.ip('addr add 2001:db8:9::9/128 dev lo nodad');
    for (const [device, net, metric] of [
      ['eth0', 1, 100],
      ['wwan0', 2, 700],
    ] as const) {
      near.ip(`route add default via 10.77.${String(net)}.2 dev ${device} metric ${String(metric)}`);
      near.ip(`-6 route add default via 2001:db8:77:${String(net)}::2 dev ${device} metric ${String(metric)}`);
    }
    await firstLine(far.spawn(tree.file('test/net/child/echo.ts'), '192.0.2.9:4000', '[2001:db8:9::9]:4000'));
  });

  afterAll(() => {
    near.remove();
    far.remove();
    tree.remove();
  });

  async function run(...steps: readonly Step[]): Promise<Outcome> {
    return JSON.parse(await near.node(tree.file('test/net/child/session.ts'), JSON.stringify(steps))) as Outcome;
  }

  /** Packets that a rule of the far host's table `count` has counted, by the rule's comment. */
  function counted(): Record<string, number> {
    const listing = far.exec('nft', 'list', 'table', 'inet', 'count');
    const rules = [...listing.matchAll(/counter packets (\d+) .*comment "([^"]+)"/g)];
    return Object.fromEntries(rules.map(([, packets, comment = '']) => [comment, Number(packets)]));
  }

  function count(rules: readonly string[]): void {
    const body = rules.map((rule) => rule.replace(/ as (\w+)$/, ' counter comment "$1"')).join('\n');
    far.nft(`table inet count\ndelete table inet count
      table inet count {\nchain arriving {\ntype filter hook prerouting priority -300;\n${body}\n}\n}`);
  }

  test.each([
    ['ipv4', '10.77.2.1:0', '192.0.2.9:4000'],
    ['ipv6', '[2001:db8:77:2::1]:0', '[2001:db8:9::9]:4000'],
  ])(
    'a pinned %s socket leaves by its device, an unpinned one by the route of lowest metric',
    async (_, address, to) => {
      const rules = ['iifname wwan0 udp dport 4000 as wwan0', 'iifname eth0 udp dport 4000 as eth0'];
      for (const [pin, expected] of [
        [true, { wwan0: 5, eth0: 0 }],
        [false, { wwan0: 0, eth0: 5 }],
      ] as const) {
        count(rules);
        const { inputs } = await run(
          { do: 'open', socket: 's', interface: 'wwan0', address, pin },
          { do: 'send', socket: 's', to, times: 5 },
          { do: 'wait', ms: 100 },
        );
        expect(inputs.find((input) => input.type === 'opened')?.pinned).toBe(pin);
        expect(codesOf(inputs)).toEqual([null, null, null, null, null]);
        expect(counted()).toEqual(expected);
      }
    },
  );

  test('ICMP errors name type, code and sender, and cost no send to a healthy far end', async () => {
    far.nft(`table inet refuse\ndelete table inet refuse
      table inet refuse {\nchain input {\ntype filter hook input priority 0;
      udp dport 4001 reject with icmp type admin-prohibited\n}\n}`);
    const noise = ['192.0.2.9:4001', '192.0.2.9:4002'].map(
      (to) => ({ do: 'send', socket: 's', to, times: 1 }) as const,
    );
    const rounds = Array.from({ length: 20 }, () => [
      ...noise,
      { do: 'send', socket: 's', to: '192.0.2.9:4000', times: 1 } as const,
      { do: 'wait', ms: 5 } as const,
    ]);
    const { inputs, idleCpu } = await run(
      { do: 'open', socket: 's', interface: 'wwan0', address: '10.77.2.1:0', pin: true },
      ...rounds.flat(),
      { do: 'wait', ms: 100 },
      // Nothing is sent after this one: its error has to be taken from the queue all the same.
      ...noise,
      { do: 'idle' },
    );
    expect(codesOf(inputs)).toEqual(Array<null>(62).fill(null));
    expect(inputs.filter((input) => input.type === 'datagram')).toHaveLength(20);
    const errors = inputs.filter((input) => input.type === 'icmp');
    expect(errors).toHaveLength(42);
    const from = (port: number): IcmpError | undefined => errors.find(({ to }) => to.port === port)?.error;
    // RFC 792, RFC 1812 §5.2.7.1: destination unreachable is 3; port 3, communication administratively prohibited 13.
    expect(from(4001)).toEqual({ family: 'ipv4', type: 3, code: 13, from: '192.0.2.9' });
    expect(from(4002)).toEqual({ family: 'ipv4', type: 3, code: 3, from: '192.0.2.9' });
    expect(Buffer.from(Object.values(errors[0]?.quoted ?? {})).toString()).toBe(
      `to 192.0.2.9:${String(errors[0]?.to.port)}`,
    );
    expect(idleCpu).toBeLessThan(0.4);
    far.nft('delete table inet refuse');
  });

  test('ICMPv6 errors are reported, too', async () => {
    const { inputs, idleCpu } = await run(
      { do: 'open', socket: 's', interface: 'wwan0', address: '[2001:db8:77:2::1]:0', pin: true },
      { do: 'send', socket: 's', to: '[2001:db8:9::9]:4002', times: 2 },
      { do: 'send', socket: 's', to: '[2001:db8:9::9]:4000', times: 20 },
      { do: 'wait', ms: 100 },
      { do: 'send', socket: 's', to: '[2001:db8:9::9]:4002', times: 1 },
      { do: 'idle' },
    );
    expect(codesOf(inputs)).toEqual(Array<null>(23).fill(null));
    expect(inputs.filter((input) => input.type === 'datagram')).toHaveLength(20);
    // RFC 4443 §3.1: destination unreachable is 1, port unreachable 4.
    expect(inputs.find((input) => input.type === 'icmp')).toMatchObject({
      to: { address: '2001:db8:9::9', port: 4002 },
      error: { family: 'ipv6', type: 1, code: 4, from: '2001:db8:9::9' },
    });
    expect(idleCpu).toBeLessThan(0.4);
  });

  test.each([
    ['ip ttl', '10.77.2.1:0', '192.0.2.9:4000'],
    ['ip6 hoplimit', '[2001:db8:77:2::1]:0', '[2001:db8:9::9]:4000'],
  ])('a TTL is that of one datagram alone (%s)', async (field, address, to) => {
    count([`udp dport 4000 ${field} 7 as seven`, `udp dport 4000 ${field} 64 as usual`]);
    const { inputs } = await run(
      { do: 'open', socket: 's', interface: 'wwan0', address, pin: true },
      { do: 'send', socket: 's', to, times: 1 },
      { do: 'send', socket: 's', to, times: 1, ttl: 7 },
      { do: 'send', socket: 's', to, times: 2 },
      { do: 'wait', ms: 100 },
    );
    expect(codesOf(inputs)).toEqual([null, null, null, null]);
    expect(counted()).toEqual({ seven: 1, usual: 3 });
  });

  test('time exceeded names the router', async () => {
    const { inputs } = await withRouter(() =>
      run(
        { do: 'open', socket: 's', interface: 'wwan0', address: '10.77.2.1:0', pin: true },
        { do: 'send', socket: 's', to: '198.51.100.7:4000', times: 1, ttl: 1 },
        { do: 'wait', ms: 200 },
      ),
    );
    expect(inputs.find((input) => input.type === 'icmp')?.error).toEqual({
      family: 'ipv4',
      type: 11,
      code: 0,
      from: '10.77.2.2',
    });
  });

  async function withRouter<T>(work: () => Promise<T>): Promise<T> {
    far.sysctl('net.ipv4.ip_forward', 1);
    far.ip('route add 198.51.100.0/24 dev lo');
    try {
      return await work();
    } finally {
      far.ip('route del 198.51.100.0/24 dev lo');
      far.sysctl('net.ipv4.ip_forward', 0);
    }
  }

  test('what the reverse-path filter eats is counted, and its setting is read', async () => {
    near.sysctl('net.ipv4.conf.wwan0.rp_filter', 1);
    const { inputs } = await run(
      { do: 'counters' },
      { do: 'open', socket: 's', interface: 'wwan0', address: '10.77.2.1:0', pin: true },
      { do: 'send', socket: 's', to: '192.0.2.9:4000', times: 5 },
      { do: 'wait', ms: 200 },
      { do: 'counters' },
    );
    near.sysctl('net.ipv4.conf.wwan0.rp_filter', 0);
    const [before, after] = countersOf(inputs);
    expect(inputs.filter((input) => input.type === 'datagram')).toEqual([]);
    expect(moved(before, after, 'TcpExtIPReversePathFilter')).toBe(5);
    expect(after?.rpFilter).toMatchObject({ wwan0: 1, eth0: 0 });
    expect(
      (after?.interfaces.wwan0?.txPackets ?? 0) - (before?.interfaces.wwan0?.txPackets ?? 0),
    ).toBeGreaterThanOrEqual(5);
  });

  test('a firewall rule of this host that drops is counted under its own words', async () => {
    near.nft(`table inet guard {\nchain incoming {\ntype filter hook input priority 0;
      iifname "wwan0" udp sport 4000 counter drop\n}\n}`);
    const { inputs } = await run(
      { do: 'counters' },
      { do: 'open', socket: 's', interface: 'wwan0', address: '10.77.2.1:0', pin: true },
      { do: 'send', socket: 's', to: '192.0.2.9:4000', times: 5 },
      { do: 'wait', ms: 200 },
      { do: 'counters' },
    );
    near.nft('delete table inet guard');
    const [before, after] = countersOf(inputs);
    expect(moved(before, after, 'nft inet guard incoming (input): iifname wwan0 udp sport 4000 drop')).toBe(5);
  });

  test('a send that this host refuses says so', async () => {
    near.nft(
      `table inet guard {\nchain output {\ntype filter hook output priority 0;\nudp dport 4009 counter drop\n}\n}`,
    );
    const { inputs } = await run(
      { do: 'open', socket: 's', interface: 'wwan0', address: '10.77.2.1:0', pin: true },
      { do: 'send', socket: 's', to: '192.0.2.9:4009', times: 1 },
      { do: 'send', socket: 's', to: '[2001:db8:9::9]:4000', times: 1 },
    );
    near.nft('delete table inet guard');
    expect(codesOf(inputs)).toEqual(['EPERM', 'EAFNOSUPPORT']);
  });

  describeEgress(() => run);

  test('TCP of the reference is asked over the pinned interface', async () => {
    count(['iifname wwan0 tcp dport 9 tcp flags & syn == syn as wwan0', 'iifname eth0 tcp dport 9 as eth0']);
    const { inputs } = await run({
      do: 'tcp',
      interface: 'wwan0',
      from: '10.77.2.1',
      to: '192.0.2.9:9',
      timeoutMs: 2000,
    });
    expect(inputs[0]).toMatchObject({ type: 'tcp', code: 'ECONNREFUSED' });
    expect(counted()).toEqual({ wwan0: 1, eth0: 0 });
  });
});

function describeEgress(runner: () => (...steps: readonly Step[]) => Promise<Outcome>): void {
  const addresses = {
    eth0: ['10.77.1.1', '2001:db8:77:1::1'],
    wwan0: ['10.77.2.1', '2001:db8:77:2::1'],
    wlan0: ['10.77.3.1', '2001:db8:77:3::1'],
  };
  test.each([
    ['eth0', false, { verdict: 'verified', routed: true, device: 'eth0' }],
    ['wwan0', false, { verdict: 'mismatch', routed: true, device: 'eth0' }],
    ['wwan0', true, { verdict: 'verified', routed: true, device: 'wwan0' }],
    ['wlan0', true, { verdict: 'unknown', routed: false }],
    ['wlan0', false, { verdict: 'mismatch', routed: false, device: 'eth0' }],
  ] as const)('egress from %s, pinned: %s', async (name, pin, expected) => {
    const [v4, v6] = addresses[name];
    const { inputs } = await runner()(
      { do: 'egress', interface: name, from: v4 ?? '', to: '192.0.2.9', pin },
      { do: 'egress', interface: name, from: v6 ?? '', to: '2001:db8:9::9', pin },
    );
    const results = inputs.flatMap((input): readonly EgressResult[] => (input.type === 'egress' ? input.results : []));
    expect(results).toHaveLength(2);
    for (const result of results) expect(result).toMatchObject(expected);
  });

  test('a far end on the interface’s own network needs no gateway, and must answer there', async () => {
    const { inputs } = await runner()(
      { do: 'egress', interface: 'wlan0', from: '10.77.3.1', to: '10.77.3.2', pin: true },
      { do: 'open', socket: 's', interface: 'wlan0', address: '10.77.3.1:0', pin: true },
      { do: 'send', socket: 's', to: '10.77.3.99:4000', times: 1 },
      { do: 'egress', interface: 'wlan0', from: '10.77.3.1', to: '10.77.3.99', pin: true },
    );
    const results = inputs.flatMap((input): readonly EgressResult[] => (input.type === 'egress' ? input.results : []));
    expect(results).toMatchObject([
      { verdict: 'verified', routed: true, gateway: null },
      { verdict: 'unknown', routed: true, neighbour: 'incomplete' },
    ]);
  });
}

function codesOf(inputs: readonly SessionInput[]): (string | null)[] {
  return inputs.filter((input) => input.type === 'sent').map(({ code }) => code);
}

function countersOf(inputs: readonly SessionInput[]): (CounterSnapshot | null)[] {
  return inputs.filter((input) => input.type === 'counters').map(({ counters }) => counters);
}

function moved(
  before: CounterSnapshot | null | undefined,
  after: CounterSnapshot | null | undefined,
  name: string,
): number {
  return (after?.host[name] ?? 0) - (before?.host[name] ?? 0);
}
