import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import ts from 'typescript';
import { afterAll, afterEach, expect, test } from 'vitest';
import { createLab, destroyLabs, sweepLabs, type Lab } from '../support/lab.js';
import { openSocket, type LabSocket, type SocketOptions } from '../support/lab-socket.js';
import { dualStack, mesh, routed, type Filter, type HostName, type Topology } from '../support/lab-topology.js';
import { describeWith } from '../support/skip.js';

// That the lab's networks do what they claim, without icepath. "Does not arrive" is never a matter of waiting: a packet
// that passes is sent behind the one that must not, on the same wires, which keep their order.

const [A, B] = ['192.0.2.10', '192.0.2.11'] as const;
const PORT = 3478;
const CONTROL = '\x60control of twenty-four b';
const STUN = '\x00\x01\x00\x08\x21\x12\xa4\x42transaction!attribute';
const STUN_40 = `\x40${STUN.slice(1)}`;
const STUN_OTHER_COOKIE = `${STUN.slice(0, 4)}\x99\x99${STUN.slice(6)}`;

const open: { readonly close: () => void }[] = [];

function lab(topology: Topology): Lab {
  const made = createLab(topology);
  open.push({
    close: () => {
      made.destroy();
    },
  });
  return made;
}

async function socket(on: Lab, node: string, options: SocketOptions): Promise<LabSocket> {
  const made = await openSocket(on, node, options);
  open.unshift(made);
  return made;
}

function pinned(on: Lab, host: HostName, device: string, more: Partial<SocketOptions> = {}): Promise<LabSocket> {
  return socket(on, host, { address: on.address(host, device), device, ...more });
}

function reference(on: Lab, address: string = A): Promise<LabSocket> {
  return socket(on, 'R', { address, port: PORT });
}

const bytes = (text: string) => Buffer.from(text, 'latin1');

/** Which of `payloads` arrive, told by the control that follows each. */
async function passing(from: LabSocket, at: LabSocket, to: string, port: number, payloads: readonly string[]) {
  const passed: string[] = [];
  for (const payload of payloads) {
    await from.send(bytes(payload), to, port);
    await from.send(bytes(CONTROL), to, port);
    let { text } = await at.next();
    if (text !== CONTROL) {
      passed.push(text);
      ({ text } = await at.next());
    }
    expect(text).toBe(CONTROL);
  }
  return passed;
}

afterEach(() => {
  for (const { close } of open.splice(0)) close();
});

describeWith(['linux', 'ip', 'nft', 'root', 'koffi'], 'lab networks', () => {
  afterAll(destroyLabs);

  test('no wire leads out of the lab', () => {
    const links = () => execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' });
    const before = links();
    const own = lab(mesh());
    expect(links()).toBe(before);
    for (const node of ['L', 'D', 'R', 'public', 'hhg', 'o2', 'hh2', 'telekom']) {
      const inside = JSON.parse(own.exec(node, 'ip', ['-j', '-d', 'link'])) as {
        ifname: string;
        linkinfo?: { info_kind: string };
      }[];
      for (const { ifname, linkinfo } of inside)
        expect(ifname === 'lo' ? 'lo' : linkinfo?.info_kind).toMatch(/^(lo|veth)$/);
    }
    expect(own.exec('public', 'ip', ['route', 'show', 'default'])).toMatch(/^blackhole default/);
  });

  test('hosts carry the names, kinds of routes and metrics of the matrix', () => {
    const own = lab(mesh());
    const routes = (host: string) => own.exec(host, 'ip', ['route', 'show', 'default']).trim().split(/\s*\n/);
    expect(routes('L')).toEqual([
      'default via 10.10.0.1 dev wlan0 metric 100',
      'default via 10.20.0.1 dev wwan0 metric 700',
    ]);
    expect(routes('D')).toEqual([
      'default via 10.30.0.1 dev wlan0 metric 100',
      'default via 10.40.0.1 dev usb0 metric 700',
    ]);
  });

  test('a pinned socket leaves by its interface, an unpinned one by the lowest metric, with a stray source address', async () => {
    const own = lab(mesh());
    const server = await reference(own);
    for (const [device, label] of [
      ['wlan0', 'hhg'],
      ['wwan0', 'o2'],
    ] as const) {
      const client = await pinned(own, 'L', device);
      await client.send('x', A, PORT);
      expect((await server.next()).from).toBe(`${own.publicAddress(label)}:${client.port}`);
    }
    expect(own.counters()).toMatchObject({ 'o2/udp/out': 1, 'hhg/udp/out': 1, 'hhg/stray/out': 0 });
    const unpinned = await socket(own, 'L', { address: own.address('L', 'wwan0') });
    await unpinned.send('x', A, PORT);
    expect((await server.next()).from).toMatch(new RegExp(`^${own.publicAddress('hhg')}:`));
    expect(own.counters()).toMatchObject({ 'o2/udp/out': 1, 'hhg/udp/out': 2, 'hhg/stray/out': 1 });
  });

  test('the hosts share a LAN', async () => {
    const own = lab(mesh());
    const [near, far] = [await pinned(own, 'L', 'eth0'), await pinned(own, 'D', 'eth0')];
    await near.send('x', '192.168.77.2', far.port);
    expect((await far.next()).from).toBe(`192.168.77.1:${near.port}`);
  });

  test.each([
    ['guarded', true],
    ['unguarded', true],
    ['symmetric', false],
  ] as const)('a %s NAT keeps one external port for two destinations: %s', async (nat, same) => {
    const own = lab(mesh({ o2: { nat } }));
    const servers = [await reference(own, A), await reference(own, B)] as const;
    const client = await pinned(own, 'L', 'wwan0');
    await client.send('x', A, PORT);
    await client.send('x', B, PORT);
    const [first, second] = [await servers[0].next(), await servers[1].next()];
    expect(first.from.startsWith(own.publicAddress('o2'))).toBe(true);
    expect(first.from === second.from).toBe(same);
    await servers[1].send('answer', own.publicAddress('o2'), Number(second.from.split(':')[1]));
    expect(await client.next()).toEqual({ from: `${B}:${PORT}`, text: 'answer' });
  });

  test.each([
    ['guarded', false],
    ['unguarded', true],
  ] as const)('the mapping of a %s NAT moves after an early packet: %s', async (nat, moves) => {
    const own = lab(mesh({ o2: { nat } }));
    const [first, third] = [await reference(own, A), await reference(own, B)];
    const client = await pinned(own, 'L', 'wwan0');
    await client.send('x', A, PORT);
    const before = (await first.next()).from;
    await third.send('early', own.publicAddress('o2'), Number(before.split(':')[1]));
    await client.send('x', B, PORT);
    const after = (await third.next()).from;
    expect(after !== before).toBe(moves);
    expect(client.waiting()).toBe(0);
    expect(own.counters()['o2/unsolicited/in']).toBe(moves ? 0 : 1);
  });

  test('two guarded NATs let both sides through to each other once both have sent', async () => {
    const own = lab(mesh());
    const [near, far] = [await pinned(own, 'L', 'wwan0'), await pinned(own, 'D', 'usb0')];
    await near.send('dies at the guard', own.publicAddress('telekom'), far.port);
    await far.send('first', own.publicAddress('o2'), near.port);
    expect(await near.next()).toEqual({ from: `${own.publicAddress('telekom')}:${far.port}`, text: 'first' });
    await near.send('second', own.publicAddress('telekom'), far.port);
    expect(await far.next()).toEqual({ from: `${own.publicAddress('o2')}:${near.port}`, text: 'second' });
    expect(own.counters()).toMatchObject({ 'telekom/unsolicited/in': 1, 'o2/unsolicited/in': 0 });
  });

  const PAYLOADS = [STUN, STUN_40, STUN_OTHER_COOKIE] as const;
  const contents: readonly (readonly [string, Filter, readonly string[], readonly string[]])[] = [
    ['cookie', { match: 'stun-cookie' }, [STUN_OTHER_COOKIE], [STUN_OTHER_COOKIE]],
    ['two-bit', { match: 'stun-two-bits' }, [STUN_40], [STUN_40]],
    ['cookie, outbound only', { match: 'stun-cookie', heading: 'out' }, [STUN_OTHER_COOKIE], PAYLOADS],
    ['cookie, inbound only', { match: 'stun-cookie', heading: 'in' }, PAYLOADS, [STUN_OTHER_COOKIE]],
    ['cookie, beyond the NAT', { match: 'stun-cookie', at: 'outside' }, [STUN_OTHER_COOKIE], [STUN_OTHER_COOKIE]],
    ['cookie, IPv6 only', { match: 'stun-cookie', family: 'ipv6' }, PAYLOADS, PAYLOADS],
  ];
  test.each(contents)('filter: %s', async (_, filter, out, into) => {
    const own = lab(mesh({ o2: { filters: [filter] } }));
    const server = await reference(own);
    const client = await pinned(own, 'L', 'wwan0');
    expect(await passing(client, server, A, PORT, PAYLOADS)).toEqual(out);
    expect(await passing(server, client, own.publicAddress('o2'), client.port, PAYLOADS)).toEqual(into);
    const hits = Object.entries(own.counters()).filter(([name]) => name.includes('filter0/'));
    const dropped = { out: PAYLOADS.length - out.length, in: PAYLOADS.length - into.length };
    expect(hits.map(([name, packets]) => [name.replace(/^.*\//, ''), packets]).sort()).toEqual(
      (filter.heading === undefined ? (['in', 'out'] as const) : [filter.heading]).map((to) => [to, dropped[to]]),
    );
    // The other carrier is left alone.
    expect(await passing(await pinned(own, 'L', 'wlan0'), server, A, PORT, PAYLOADS)).toEqual(PAYLOADS);
  });

  test('filter: all UDP, while TCP passes', async () => {
    const own = lab(mesh({ o2: { filters: [{ match: 'udp' }] } }));
    const server = await reference(own);
    const client = await pinned(own, 'L', 'wwan0');
    await client.send('x', A, PORT);
    const other = await pinned(own, 'L', 'wlan0');
    await other.send('x', A, PORT);
    expect((await server.next()).from).toMatch(own.publicAddress('hhg'));
    expect(own.counters()).toMatchObject({ 'o2/filter0/out': 1, 'o2/udp/out': 1 });
    own.exec('L', 'ip', ['route', 'del', 'default', 'dev', 'wlan0']);
    const answer = own.spawn('R', process.execPath, [
      '-e',
      `net.createServer(s=>s.end('tcp')).listen(${PORT},'${A}',()=>console.log('up'))`,
    ]);
    await once(answer.stdout, 'data');
    const dial = `net.connect(${PORT},'${A}').on('data',d=>process.stdout.write(d))`;
    expect(own.exec('L', process.execPath, ['-e', dial])).toBe('tcp');
  });

  test('filter: peers only, the reference exempt', async () => {
    const own = lab(mesh({ o2: { filters: [{ match: 'peer-udp' }] } }));
    const server = await reference(own);
    const [near, far, wifi] = [
      await pinned(own, 'L', 'wwan0'),
      await pinned(own, 'D', 'usb0'),
      await pinned(own, 'L', 'wlan0'),
    ];
    await far.send('opens', own.publicAddress('o2'), near.port);
    await far.send('opens', own.publicAddress('hhg'), wifi.port);
    await near.send('dies', own.publicAddress('telekom'), far.port);
    await wifi.send('passes', own.publicAddress('telekom'), far.port);
    expect((await far.next()).text).toBe('passes');
    await near.send('x', A, PORT);
    await server.next();
    await server.send('answer', own.publicAddress('o2'), near.port);
    expect((await near.next()).text).toBe('answer');
    expect(own.counters()).toMatchObject({ 'o2/filter0/out': 1, 'telekom/unsolicited/in': 0 });
  });

  test('filter: peers only and outbound only, beyond the NAT: its mapping opens, so the other direction lives', async () => {
    const filters: Filter[] = [{ match: 'peer-udp', heading: 'out', at: 'outside' }];
    const own = lab(mesh({ telekom: { filters } }));
    const [near, far] = [await pinned(own, 'L', 'wwan0'), await pinned(own, 'D', 'usb0')];
    await far.send('dies', own.publicAddress('o2'), near.port);
    await near.send('passes', own.publicAddress('telekom'), far.port);
    expect((await far.next()).text).toBe('passes');
    expect(near.waiting()).toBe(0);
    expect(own.counters()).toMatchObject({ 'telekom/filter0/out': 1, 'telekom/udp/out': 1 });
  });

  test('filter: reject tells the sender, admin-prohibited, from the carrier', async () => {
    const own = lab(mesh({ o2: { filters: [{ match: 'peer-udp', action: 'admin-prohibited', heading: 'out' }] } }));
    const heard = new Promise<Error>((resolve) => {
      const connect = { address: own.publicAddress('telekom'), port: 9 };
      void pinned(own, 'L', 'wwan0', { connect, onError: resolve }).then((client) => client.send('x', '', 0));
    });
    expect(await heard).toMatchObject({ code: 'EHOSTUNREACH' });
    expect(own.counters()['o2/filter0/out']).toBe(1);
  });

  test('filter: 30 % loss, each way, counted', async () => {
    const own = lab(mesh({ o2: { filters: [{ match: 'loss30' }] } }));
    const server = await reference(own);
    const client = await pinned(own, 'L', 'wwan0');
    const tries = 400;
    // A turn of the event loop after each: a socket's buffer holds some 250 small datagrams.
    const flood = async (from: LabSocket, to: string, port: number) => {
      for (let index = 0; index < tries; index += 1) {
        await from.send('x', to, port);
        await turn();
      }
    };
    await flood(client, A, PORT);
    const lost = own.counters()['o2/filter0/out'] ?? 0;
    for (let index = lost; index < tries; index += 1) await server.next();
    expect(server.waiting()).toBe(0);
    await flood(server, own.publicAddress('o2'), client.port);
    const lostIn = own.counters()['o2/filter0/in'] ?? 0;
    for (let index = lostIn; index < tries; index += 1) await client.next();
    // Binomial(400, 0.3): 120 ± 9.2; six sigma.
    for (const count of [lost, lostIn]) expect(Math.abs(count - 120)).toBeLessThan(56);
  });

  test('rp_filter=1 eats the answers of a pinned socket, and the kernel counts them', async () => {
    const own = lab(mesh({ o2: { rpFilter: 1 } }));
    const server = await reference(own);
    const client = await pinned(own, 'L', 'wwan0');
    await client.send('x', A, PORT);
    await server.next();
    await server.send('eaten', own.publicAddress('o2'), client.port);
    const wifi = await pinned(own, 'L', 'wlan0');
    await wifi.send('x', A, PORT);
    await server.next();
    await server.send('answer', own.publicAddress('hhg'), wifi.port);
    expect((await wifi.next()).text).toBe('answer');
    expect(client.waiting()).toBe(0);
    expect(own.counters()['o2/udp/in']).toBe(1);
    const [names, values] = own
      .exec('L', 'cat', ['/proc/net/netstat'])
      .split('\n')
      .map((line) => line.split(' '));
    expect(values?.[names?.indexOf('IPReversePathFilter') ?? -1]).toBe('1');
  });

  test('an interface without a gateway sends nothing, though the send succeeds', async () => {
    const own = lab(mesh({ o2: { gateway: false } }));
    expect(own.exec('L', 'ip', ['route', 'show', 'default', 'dev', 'wwan0'])).toBe('');
    const client = await pinned(own, 'L', 'wwan0');
    await client.send('x', A, PORT);
    expect(own.counters()['o2/udp/out']).toBe(0);
  });

  test('reference unplugged: it hears nobody, peers hear each other', async () => {
    const own = lab({ ...mesh(), reference: 'unplugged' });
    const [near, far] = [await pinned(own, 'L', 'wlan0'), await pinned(own, 'D', 'wlan0')];
    const server = await reference(own);
    await near.send('x', A, PORT);
    await near.send('opens', own.publicAddress('hh2'), far.port);
    await far.send('passes', own.publicAddress('hhg'), near.port);
    expect((await near.next()).text).toBe('passes');
    expect(server.waiting()).toBe(0);
  });

  test('routed: no shared LAN, eth0 of both hosts reach each other over the public network', async () => {
    const own = lab(routed());
    const [near, far] = [await pinned(own, 'L', 'eth0'), await pinned(own, 'D', 'eth0')];
    await near.send('x', own.address('D', 'eth0'), far.port);
    expect((await far.next()).from).toBe(`${own.address('L', 'eth0')}:${near.port}`);
    expect(own.address('D', 'eth0')).toMatch(/^203\.0\.113\./);
    expect(own.counters()).toMatchObject({ 'office1/udp/out': 1, 'office2/udp/in': 1, 'o2/udp/out': 0 });
  });

  test('dual stack: IPv6 without translation; a stateful firewall lets in only what was asked for', async () => {
    const own = lab(dualStack({ o2: { statefulV6: true } }));
    const server = await socket(own, 'R', { address: '2001:db8:ff::10', port: PORT });
    const other = await socket(own, 'R', { address: '2001:db8:ff::11', port: PORT });
    const address = own.address('L', 'wwan0', 'ipv6');
    const client = await socket(own, 'L', { address, device: 'wwan0' });
    await client.send('x', '2001:db8:ff::10', PORT);
    expect((await server.next()).from).toBe(`[${address}]:${client.port}`);
    await other.send('unsolicited', address, client.port);
    await server.send('answer', address, client.port);
    expect((await client.next()).text).toBe('answer');
    expect(own.counters()['o2/unsolicited6/in']).toBe(1);
    const [near, far] = [await pinned(own, 'L', 'wlan0'), await reference(own)];
    await near.send('x', A, PORT);
    expect((await far.next()).from).toBe(`${own.publicAddress('hhg')}:${near.port}`);
  });

  test('two labs at once keep to themselves', async () => {
    const labs = [lab(mesh()), lab(mesh())] as const;
    const servers = [await reference(labs[0]), await reference(labs[1])] as const;
    const clients = [
      await pinned(labs[0], 'L', 'wwan0', { port: 7000 }),
      await pinned(labs[1], 'L', 'wwan0', { port: 7000 }),
    ] as const;
    await clients[0].send('zero', A, PORT);
    await clients[1].send('one', A, PORT);
    expect([(await servers[0].next()).text, (await servers[1].next()).text]).toEqual(['zero', 'one']);
    expect([servers[0].waiting(), servers[1].waiting()]).toEqual([0, 0]);
  });

  const traces = (of: string) =>
    [...readdirSync('/run/netns'), ...readdirSync(tmpdir())].filter((name) => name.startsWith(of));
  const runs = (pid: number) =>
    existsSync(`/proc/${pid}`) && !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

  test('destroy leaves nothing: no namespace, no process, no file', async () => {
    const own = createLab(mesh());
    const prefix = own.namespace('');
    const sleeper = own.spawn('o2', 'sleep', ['600']);
    expect(traces(prefix).length).toBe(8 + 1);
    own.destroy();
    expect(traces(prefix)).toEqual([]);
    await once(sleeper, 'close');
  });

  test('kill -9 of a lab’s process: the next sweep removes what it left', async () => {
    const directory = mkdtempSync(join(tmpdir(), `ip-g-${process.pid}-test-`));
    try {
      for (const file of ['lab', 'lab-nft', 'lab-topology']) {
        const source = readFileSync(new URL(`../support/${file}.ts`, import.meta.url), 'utf8');
        const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 };
        writeFileSync(
          join(directory, `${file}.js`),
          ts.transpileModule(source, { compilerOptions: options }).outputText,
        );
      }
      copyFileSync(new URL('../../package.json', import.meta.url), join(directory, 'package.json'));
      const script = `
        const { createLab } = await import('./lab.js'); const { mesh } = await import('./lab-topology.js');
        const lab = createLab(mesh()); console.log(lab.spawn('L', 'sleep', ['600']).pid); setInterval(() => {}, 1e9);`;
      const maker = spawn(process.execPath, ['--input-type=module', '-e', script], {
        cwd: directory,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const died = once(maker, 'close').then(() => Promise.reject(new Error('the maker died')));
      const [line] = (await Promise.race([once(maker.stdout, 'data'), died])) as [Buffer];
      died.catch(() => undefined);
      const sleeper = Number(line.toString());
      const prefix = `ip-g-${maker.pid ?? 0}-`;
      maker.kill('SIGKILL');
      await once(maker, 'close');
      expect(traces(prefix).length).toBe(8 + 1);
      expect(runs(sleeper)).toBe(true);
      sweepLabs();
      expect(traces(prefix)).toEqual([]);
      while (runs(sleeper)) await sleep(5);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test('a sweep spares the labs of living processes', () => {
    const own = lab(mesh());
    sweepLabs();
    expect(traces(own.namespace('')).length).toBe(8 + 1);
  });
});
