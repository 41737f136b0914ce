import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { addressBytes } from '../../src/base/address.js';
import { inNetworkNamespace } from '../../src/os/namespace.js';
import { openTun, pollTuns } from '../../src/os/tun.js';
import { describeWith } from '../support/skip.js';

const code = (code: string): unknown => expect.objectContaining({ code });

describeWith(['linux', 'root', 'ip', 'koffi'], 'TUN devices', () => {
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo; cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const namespace = `/proc/${holder.pid ?? 0}/ns/net`;
  const ip = (...words: string[]): string =>
    execFileSync('nsenter', [`--net=${namespace}`, 'ip', ...words], { encoding: 'utf8' });
  beforeAll(async () => {
    await once(holder.stdout, 'data');
  });
  afterAll(async () => {
    holder.stdin.end();
    await once(holder, 'close');
  });

  test('a device is made in the namespace, carries a ping and its answer, and goes when it is closed', async () => {
    const links = execFileSync('ip', ['link'], { encoding: 'utf8' });
    const tun = openTun('wwan0', namespace);
    try {
      expect(execFileSync('ip', ['link'], { encoding: 'utf8' }), 'nothing in our own namespace').toBe(links);
      expect(tun.write(new Uint8Array(20).fill(0x45)), 'it is down').toBe(false);
      ip('address', 'add', '192.0.2.1/24', 'dev', 'wwan0');
      ip('link', 'set', 'wwan0', 'up');
      const ping = spawn('nsenter', [`--net=${namespace}`, 'ping', '-c', '1', '-W', '5', '192.0.2.9'], {
        stdio: 'ignore',
      });
      const over = once(ping, 'close');
      const request = await readUntil(tun, (packet) => packet[9] === 1);
      expect(request.subarray(12, 20)).toEqual(
        Uint8Array.of(...addressBytes('192.0.2.1'), ...addressBytes('192.0.2.9')),
      );
      // Source and destination change places, which leaves the IP checksum as it was; type 8 becomes 0 (RFC 792).
      const reply = request.slice();
      reply.set(request.subarray(12, 16), 16);
      reply.set(request.subarray(16, 20), 12);
      reply[20] = 0;
      const sum = ((request[22] ?? 0) << 8) + (request[23] ?? 0) + 0x0800;
      const carried = (sum & 0xffff) + (sum >>> 16);
      reply.set([carried >>> 8, carried & 0xff], 22);
      expect(tun.write(reply)).toBe(true);
      expect((await over)[0], 'ping’s exit code').toBe(0);
    } finally {
      tun.close();
    }
    expect(ip('link')).not.toContain('wwan0');
    expect([tun.read(), tun.write(new Uint8Array(20))]).toEqual([null, false]);
  });

  test('a name that is taken, and names that no device can have', () => {
    const tun = openTun('usb0', namespace);
    try {
      expect(() => openTun('usb0', namespace)).toThrow(code('tun-name-taken'));
      expect(() => openTun('lo', namespace)).toThrow(code('tun-name-taken'));
      for (const name of ['', '..', 'a/b', 'tun%d', 'wwan 0', 'sixteen-letters-', 'eth0:1'])
        expect(() => openTun(name, namespace), name).toThrow(code('tun-name'));
    } finally {
      tun.close();
    }
  });

  test('whatever happens there, this thread comes back to its own namespace', () => {
    const own = readlinkSync('/proc/thread-self/ns/net');
    const there = inNetworkNamespace(namespace, () => readlinkSync('/proc/thread-self/ns/net'));
    expect(there).toBe(readlinkSync(namespace));
    expect(there).not.toBe(own);
    expect(() =>
      inNetworkNamespace(namespace, () => {
        throw new Error('on the way');
      }),
    ).toThrow('on the way');
    expect(() => inNetworkNamespace('/proc/0/ns/net', () => 0)).toThrow(code('ENOENT'));
    expect(readlinkSync('/proc/thread-self/ns/net')).toBe(own);
  });
});

async function readUntil(
  tun: ReturnType<typeof openTun>,
  wanted: (packet: Uint8Array) => boolean,
): Promise<Uint8Array> {
  for (let turn = 0; turn < 1000; turn += 1) {
    for (const one of pollTuns([tun], 5)) {
      const packet = one.read();
      if (packet && wanted(packet)) return packet;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error('no such packet came');
}
