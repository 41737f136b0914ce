import { describe, expect, test } from 'vitest';
import { assignBatch, checkEgress } from '../../src/net/egress.js';
import type { Execute } from '../../src/net/execute.js';
import type { EgressCheck } from '../../src/session/io.js';

// Recorded with iproute2 6.1 on Linux 6.18: eth0 and wwan0 with a gateway each (metric 100 and 700), wlan0 without one.
const LINKS = JSON.stringify([
  { ifindex: 1, ifname: 'lo', flags: ['LOOPBACK', 'UP', 'LOWER_UP'] },
  ...['eth0', 'wwan0', 'wlan0'].map((ifname) => ({ ifname, flags: ['BROADCAST', 'MULTICAST', 'UP', 'LOWER_UP'] })),
  { ifname: 'tun0', flags: ['POINTOPOINT', 'MULTICAST', 'NOARP', 'UP', 'LOWER_UP'] },
]);
const ROUTES =
  '[{"dst":"default","gateway":"10.77.1.2","dev":"eth0","metric":100,"flags":[]},{"dst":"default","gateway":"10.77.2.2","dev":"wwan0","metric":700,"flags":[]},{"dst":"10.77.1.0/24","dev":"eth0","protocol":"kernel","scope":"link","prefsrc":"10.77.1.1","flags":[]},{"dst":"10.77.2.0/24","dev":"wwan0","protocol":"kernel","scope":"link","prefsrc":"10.77.2.1","flags":[]},{"dst":"10.77.3.0/24","dev":"wlan0","protocol":"kernel","scope":"link","prefsrc":"10.77.3.1","flags":[]},{"type":"local","dst":"10.77.1.1","dev":"eth0","table":"local","protocol":"kernel","scope":"host","prefsrc":"10.77.1.1","flags":[]},{"type":"local","dst":"127.0.0.0/8","dev":"lo","table":"local","protocol":"kernel","scope":"host","prefsrc":"127.0.0.1","flags":[]},{"dst":"2001:db8:77:2::/64","dev":"wwan0","protocol":"kernel","metric":256,"flags":[],"pref":"medium"},{"dst":"2001:db8:77:3::/64","dev":"wlan0","protocol":"kernel","metric":256,"flags":[],"pref":"medium"},{"dst":"default","gateway":"2001:db8:77:1::2","dev":"eth0","metric":100,"flags":[],"pref":"medium"},{"dst":"default","gateway":"2001:db8:77:2::2","dev":"wwan0","metric":700,"flags":[],"pref":"medium"},{"type":"multicast","dst":"ff00::/8","dev":"wlan0","table":"local","protocol":"kernel","metric":256,"flags":[],"pref":"medium"}]';
const NEIGHBOURS =
  '[{"dst":"10.77.3.99","dev":"wlan0","state":["FAILED"]},{"dst":"10.77.1.2","dev":"eth0","lladdr":"46:f9:47:76:73:8a","state":["REACHABLE"]},{"dst":"10.77.2.2","dev":"wwan0","state":["STALE"]}]';

const GETS: Record<string, string> = {
  'route get 192.0.2.9 from 10.77.1.1':
    '[{"dst":"192.0.2.9","from":"10.77.1.1","gateway":"10.77.1.2","dev":"eth0","flags":[],"uid":0,"cache":[]}]',
  'route get 192.0.2.9 from 10.77.2.1':
    '[{"dst":"192.0.2.9","from":"10.77.2.1","gateway":"10.77.1.2","dev":"eth0","flags":[],"uid":0,"cache":[]}]',
  'route get 192.0.2.9 from 10.77.2.1 oif wwan0':
    '[{"dst":"192.0.2.9","from":"10.77.2.1","gateway":"10.77.2.2","dev":"wwan0","flags":[],"uid":0,"cache":[]}]',
  'route get 192.0.2.9 from 10.77.3.1 oif wlan0':
    '[{"dst":"192.0.2.9","from":"10.77.3.1","dev":"wlan0","flags":[],"uid":0,"cache":[]}]',
  'route get 192.0.2.9 from 10.8.0.2 oif tun0':
    '[{"dst":"192.0.2.9","from":"10.8.0.2","dev":"tun0","flags":[],"uid":0,"cache":[]}]',
  'route get 10.77.3.2 from 10.77.3.1 oif wlan0':
    '[{"dst":"10.77.3.2","from":"10.77.3.1","dev":"wlan0","flags":[],"uid":0,"cache":[]}]',
  'route get 10.77.3.99 from 10.77.3.1 oif wlan0':
    '[{"dst":"10.77.3.99","from":"10.77.3.1","dev":"wlan0","flags":[],"uid":0,"cache":[]}]',
  'route get 10.77.1.1 from 10.77.2.1':
    '[{"type":"local","dst":"10.77.1.1","from":"10.77.2.1","dev":"lo","flags":[],"uid":0,"cache":["local"]}]',
  'route get 127.0.0.6 from 127.0.1.1':
    '[{"type":"local","dst":"127.0.0.6","from":"127.0.1.1","dev":"lo","flags":[],"uid":0,"cache":["local"]}]',
  'route get 2001:db8:9::9 from 2001:db8:77:2::1 oif wwan0':
    '[{"dst":"2001:db8:9::9","from":"2001:db8:77:2::1","gateway":"2001:db8:77:1::2","dev":"eth0","prefsrc":"2001:db8:77:1::1","metric":100,"flags":[],"pref":"medium"}]',
  'route get 2001:db8:9::9 oif wwan0':
    '[{"dst":"2001:db8:9::9","from":"::","gateway":"2001:db8:77:2::2","dev":"wwan0","prefsrc":"2001:db8:77:2::1","metric":700,"flags":[],"pref":"medium"}]',
  'route get 2001:db8:9::9 from 2001:db8:77:3::1 oif wlan0':
    '[{"dst":"2001:db8:9::9","from":"2001:db8:77:3::1","gateway":"2001:db8:77:1::2","dev":"eth0","prefsrc":"2001:db8:77:1::1","metric":100,"flags":[],"pref":"medium"}]',
};

/** Answers a batch as `ip -force -batch -` does: a line for what it knows, "Command failed" for the rest. */
function recorded(calls: string[][] = []): Execute {
  const known: Record<string, string> = {
    'link show': LINKS,
    'route show table all': ROUTES,
    'neigh show': NEIGHBOURS,
    ...GETS,
  };
  return (_program, _args, input = '') => {
    const commands = input.trim().split('\n');
    calls.push(commands);
    const failed = commands.flatMap((command, index) =>
      command in known ? [] : [`Command failed -:${String(index + 1)}\n`],
    );
    const stdout = commands.flatMap((command) => (command in known ? [`${known[command] ?? ''}\n`] : [])).join('');
    return Promise.resolve({ stdout, stderr: failed.join('') });
  };
}

async function judge(check: EgressCheck, pin: boolean) {
  const [result] = await checkEgress([check], pin, recorded());
  if (!result) throw new Error('no result');
  return result;
}

const far = '192.0.2.9';

describe('where packets leave', () => {
  test.each([
    [
      'by the default route',
      'eth0',
      '10.77.1.1',
      far,
      false,
      { verdict: 'verified', routed: true, device: 'eth0', gateway: '10.77.1.2', neighbour: 'reachable' },
    ],
    [
      'unpinned from the second interface',
      'wwan0',
      '10.77.2.1',
      far,
      false,
      { verdict: 'mismatch', routed: true, device: 'eth0' },
    ],
    [
      'pinned to the second interface',
      'wwan0',
      '10.77.2.1',
      far,
      true,
      { verdict: 'verified', routed: true, gateway: '10.77.2.2', neighbour: 'stale' },
    ],
    [
      'pinned where there is no gateway',
      'wlan0',
      '10.77.3.1',
      far,
      true,
      { verdict: 'unknown', routed: false, device: 'wlan0' },
    ],
    [
      'pinned to a tunnel without a route: nobody has to answer there',
      'tun0',
      '10.8.0.2',
      far,
      true,
      { verdict: 'verified', routed: true },
    ],
    [
      'on the interface’s own network',
      'wlan0',
      '10.77.3.1',
      '10.77.3.2',
      true,
      { verdict: 'verified', routed: true, gateway: null },
    ],
    [
      'on the own network, but nobody answers',
      'wlan0',
      '10.77.3.1',
      '10.77.3.99',
      true,
      { verdict: 'unknown', routed: true, neighbour: 'failed' },
    ],
    [
      'pinned, IPv6',
      'wwan0',
      '2001:db8:77:2::1',
      '2001:db8:9::9',
      true,
      { verdict: 'verified', routed: true, gateway: '2001:db8:77:2::2' },
    ],
    [
      'pinned, IPv6, no gateway',
      'wlan0',
      '2001:db8:77:3::1',
      '2001:db8:9::9',
      true,
      { verdict: 'unknown', routed: false, device: null },
    ],
    [
      'to another address of this host',
      'wwan0',
      '10.77.2.1',
      '10.77.1.1',
      false,
      { verdict: 'verified', routed: true, device: 'lo' },
    ],
    [
      'between loopback stand-ins, pinned or not',
      'wwan0',
      '127.0.1.1',
      '127.0.0.6',
      true,
      { verdict: 'verified', routed: true, device: 'lo' },
    ],
  ] as const)('%s', async (_, name, from, to, pin, expected) => {
    expect(await judge({ interface: name, from, to }, pin)).toMatchObject(expected);
  });

  test('the reason is a sentence for people', async () => {
    const unpinned = await judge({ interface: 'wwan0', from: '10.77.2.1', to: far }, false);
    expect(unpinned.reason).toBe('packets from 10.77.2.1 to 192.0.2.9 leave by eth0 via 10.77.1.2, not by wwan0');
    const stranded = await judge({ interface: 'wlan0', from: '10.77.3.1', to: far }, true);
    expect(stranded.reason).toContain('wlan0 has no route to 192.0.2.9');
  });

  test('any number of checks takes two runs of ip', async () => {
    const calls: string[][] = [];
    const checks = Array.from({ length: 40 }, () => ({ interface: 'eth0', from: '10.77.1.1', to: far }));
    const results = await checkEgress(checks, true, recorded(calls));
    expect(results).toHaveLength(40);
    expect(calls).toHaveLength(2);
  });

  test('one question that fails does not shift the answers to the others', async () => {
    const checks = [
      { interface: 'eth0', from: '10.77.1.1', to: '203.0.113.1' },
      { interface: 'wwan0', from: '10.77.2.1', to: far },
    ];
    const results = await checkEgress(checks, false, recorded());
    expect(results.map(({ verdict, device }) => [verdict, device])).toEqual([
      ['unknown', null],
      ['mismatch', 'eth0'],
    ]);
  });
});

describe('what cannot be told is unknown', () => {
  const check = { interface: 'eth0', from: '10.77.1.1', to: far };

  test.each([
    ['there is no ip', null],
    ['ip knows no -json', { stdout: '', stderr: 'Option "-json" is unknown, try "ip -help".' }],
    ['ip writes something else', { stdout: '1\n{"a":2}\nnonsense\n', stderr: '' }],
  ])('%s', async (_, execution) => {
    const [result] = await checkEgress([check], true, () => Promise.resolve(execution));
    expect(result).toMatchObject({ verdict: 'unknown', routed: null, device: null });
  });

  test.each(['1.1.1.1\nlink delete eth0', '-batch', '', '2001:db8::1'])(
    '%j never reaches ip as a destination',
    async (to) => {
      const calls: string[][] = [];
      const [result] = await checkEgress([{ ...check, to }], true, recorded(calls));
      expect(result).toMatchObject({ verdict: 'unknown' });
      expect(calls.flat().filter((line) => line.startsWith('route get') || line.includes('delete'))).toEqual([]);
    },
  );
});

test('a batch is taken apart by the lines that failed', () => {
  expect(assignBatch(3, '[1]\n[3]\n', 'RTNETLINK answers: Network is unreachable\nCommand failed -:2\n')).toEqual([
    '[1]',
    undefined,
    '[3]',
  ]);
  expect(assignBatch(2, '[1]\n', '')).toBeNull();
});
