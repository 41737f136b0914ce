import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, expect, test, vi } from 'vitest';
import { transportAddress } from '../../src/base/address.js';
import { utf8Bytes } from '../../src/base/bytes.js';
import { Queue } from '../../src/base/machine.js';
import type { Machine } from '../../src/base/machine.js';
import { NEVER } from '../../src/base/time.js';
import type { Ms } from '../../src/base/time.js';
import type { ControlPort } from '../../src/net/control-port.js';
import { Driver, REAL_EFFECTS } from '../../src/net/driver.js';
import type { DriverOptions, Effects, Sink } from '../../src/net/driver.js';
import type { SessionInput, SessionOutput } from '../../src/session/io.js';

/** A machine whose rules a test writes. */
class Scripted implements Machine<SessionInput, SessionOutput> {
  readonly inputs: SessionInput[] = [];
  readonly outputs = new Queue<SessionOutput>();
  wake: Ms = NEVER;
  readonly #rule: (input: SessionInput, machine: Scripted, now: Ms) => void;

  constructor(rule: (input: SessionInput, machine: Scripted, now: Ms) => void) {
    this.#rule = rule;
  }

  handle(input: SessionInput, now: Ms): void {
    this.inputs.push(input);
    this.#rule(input, this, now);
  }

  poll(): SessionOutput | undefined {
    return this.outputs.shift();
  }

  deadline(): Ms {
    return this.wake;
  }
}

class FakePort implements ControlPort {
  readonly peerAddress = '192.0.2.1:7000';
  readonly sent: unknown[] = [];
  readonly closed: string[] = [];
  onMessage: ControlPort['onMessage'] = null;
  onLost: ControlPort['onLost'] = null;

  send(message: Readonly<Record<string, unknown>>): void {
    this.sent.push(message);
  }

  close(reason: string): void {
    this.closed.push(reason);
  }
}

const silent: Sink = { event: () => undefined, log: () => undefined };
const effects: Effects = {
  ...REAL_EFFECTS,
  wallClock: () => '2026-01-02T03:04:05.000Z',
  readCounters: () => Promise.resolve(null),
  checkEgress: () => Promise.resolve([]),
  connectTcp: () => Promise.resolve({ code: 'ETIMEDOUT', afterMs: 1 }),
};

function drive(machine: Scripted, options: Partial<DriverOptions> = {}): Driver {
  return new Driver({ machine, interfaces: [], sink: silent, effects, ...options });
}

const types = (machine: Scripted): string[] => machine.inputs.map(({ type }) => type);

describe('the driver', () => {
  test('starts the machine with the interfaces, and ends when it has finished', async () => {
    const machine = new Scripted((_, { outputs }) => {
      outputs.push({ type: 'finished' });
    });
    const interfaces = [{ name: 'eth0', kind: 'ethernet', label: 'lan', addresses: [] } as const];
    await drive(machine, { interfaces }).run();
    expect(machine.inputs).toEqual([
      { type: 'start', startedAt: '2026-01-02T03:04:05.000Z', interfaces, counters: null },
    ]);
  });

  test('start comes first, also where the far end and Ctrl-C were earlier', async () => {
    const machine = new Scripted((input, { outputs }) => {
      if (input.type === 'interrupt') outputs.push({ type: 'finished' });
    });
    const driver = drive(machine);
    driver.connect(new FakePort());
    driver.interrupt();
    await driver.run();
    expect(types(machine)).toEqual(['start', 'peer-connected', 'interrupt']);
  });

  test('never hands over a timeout before its deadline, and hands over each', async () => {
    const early: Ms[] = [];
    let count = 0;
    const machine = new Scripted((input, self, now) => {
      if (input.type === 'timeout') {
        count += 1;
        if (now < self.wake) early.push(self.wake - now);
      }
      self.wake = now + 3.7;
      if (count === 20) self.outputs.push({ type: 'finished' });
    });
    await drive(machine).run();
    expect(early).toEqual([]);
    expect(count).toBe(20);
  });

  test('sockets, and what the session asks of this host', async () => {
    const machine = new Scripted((input, { outputs }) => {
      switch (input.type) {
        case 'start':
          outputs.push({
            type: 'open',
            socket: 'a',
            interface: 'eth0',
            address: transportAddress('127.0.7.1', 0),
            pin: true,
          });
          outputs.push({ type: 'check-egress', token: 1, pin: true, checks: [] }, { type: 'read-counters', token: 2 });
          outputs.push({
            type: 'connect-tcp',
            token: 3,
            interface: 'eth0',
            from: '127.0.0.1',
            to: transportAddress('127.0.0.1', 9),
            pin: true,
            timeoutMs: 10,
          });
          outputs.push({ type: 'yardstick', role: 'client', references: [] });
          return;
        case 'opened':
          outputs.push({ type: 'send', socket: 'a', to: input.local, bytes: utf8Bytes('to myself'), token: 4 });
          return;
        case 'datagram':
          outputs.push({ type: 'close', socket: 'a' }, { type: 'finished' });
          return;
        default:
      }
    });
    await drive(machine).run();
    expect(types(machine).toSorted()).toEqual([
      'counters',
      'datagram',
      'egress',
      'opened',
      'sent',
      'start',
      'tcp',
      'yardstick',
    ]);
    expect(machine.inputs.find(({ type }) => type === 'opened')).toMatchObject({ local: { address: '127.0.7.1' } });
  });

  test.each([
    ['a hung', 'neither send nor hear', { hung: ['usb0'] }, ['eth0']],
    ['a mute', 'hear, but do not send', { mute: ['usb0'] }, ['eth0', 'usb0']],
  ])('on %s interface sockets open, but %s, and connections time out', async (_, __, ailing, hearing) => {
    const peer = createSocket('udp4').bind(0, '127.0.0.1');
    await once(peer, 'listening');
    const heard: string[] = [];
    peer.on('message', (bytes) => heard.push(bytes.toString()));
    const to = transportAddress('127.0.0.1', peer.address().port);
    const any = transportAddress('127.0.0.1', 0);
    const machine = new Scripted((input, { outputs }) => {
      if (input.type === 'start') {
        for (const name of ['usb0', 'eth0'])
          outputs.push({ type: 'open', socket: name, interface: name, address: any, pin: false });
      } else if (input.type === 'opened' && input.socket === 'eth0') {
        // Loopback keeps the order of what one thread sends.
        for (const [token, socket] of ['usb0', 'eth0'].entries())
          outputs.push({ type: 'send', socket, to, bytes: utf8Bytes(socket), token });
        for (const socket of machine.inputs.filter((one) => one.type === 'opened'))
          peer.send(`to ${socket.socket}`, socket.local.port, socket.local.address);
        const check = { from: '127.0.0.1', to, pin: false, timeoutMs: 20 };
        outputs.push({ type: 'connect-tcp', token: 9, interface: 'usb0', ...check });
      } else if (input.type === 'tcp') outputs.push({ type: 'finished' });
    });
    await drive(machine, ailing).run();
    peer.close();
    expect(heard).toEqual(['eth0']);
    const datagrams = machine.inputs.filter((one) => one.type === 'datagram');
    expect(datagrams.map(({ socket }) => socket).toSorted()).toEqual(hearing);
    const others = types(machine).filter((type) => type !== 'datagram');
    expect(others.toSorted()).toEqual(['opened', 'opened', 'sent', 'start', 'tcp']);
    expect(machine.inputs).toContainEqual({ type: 'sent', token: 1, code: null });
    expect(machine.inputs).toContainEqual({ type: 'tcp', token: 9, code: 'ETIMEDOUT', afterMs: 20 });
  });

  test('keeps up with 2000 datagrams a second', async () => {
    const total = 4000;
    let received = 0;
    let to = transportAddress('127.0.0.1', 1);
    const machine = new Scripted((input, { outputs }) => {
      if (input.type === 'start')
        outputs.push({
          type: 'open',
          socket: 'a',
          interface: 'eth0',
          address: transportAddress('127.0.0.1', 0),
          pin: false,
        });
      if (input.type === 'opened') to = input.local;
      if (input.type === 'datagram') {
        received += 1;
        outputs.push({ type: 'send', socket: 'a', to: input.from, bytes: input.bytes, token: received });
        if (received === total) outputs.push({ type: 'finished' });
      }
    });
    const driver = drive(machine);
    const done = driver.run();
    await vi.waitFor(() => {
      expect(to.port).toBeGreaterThan(1);
    });
    // Each answer calls for the next datagram, so that none is lost to a full buffer however slow the machine is.
    const peer = createSocket('udp4').bind(0, '127.0.0.1');
    peer.on('message', (bytes) => {
      peer.send(bytes, to.port, to.address);
    });
    await once(peer, 'listening');
    const used = process.cpuUsage();
    for (let window = 0; window < 32; window += 1) peer.send('x'.repeat(100), to.port, to.address);
    await done;
    const { user, system } = process.cpuUsage(used);
    peer.close();
    expect(machine.inputs.filter(({ type }) => type === 'sent')).toHaveLength(total - 1);
    // Both ends' work for one datagram takes less of a processor than 2000 a second leave for it.
    expect((user + system) / total).toBeLessThan(500);
  });
});

describe('the far end', () => {
  test('is told, heard and lost', async () => {
    const port = new FakePort();
    const machine = new Scripted((input, { outputs }) => {
      if (input.type === 'peer-connected') outputs.push({ type: 'message', message: { type: 'hello' } });
      if (input.type === 'peer-lost') outputs.push({ type: 'finished' });
    });
    const driver = drive(machine);
    driver.connect(port);
    const done = driver.run();
    await vi.waitFor(() => {
      expect(port.sent).toEqual([{ type: 'hello' }]);
    });
    port.onMessage?.({ type: 'answer' });
    port.onLost?.('it fell silent');
    await done;
    expect(machine.inputs.slice(1)).toEqual([
      { type: 'peer-connected', address: '192.0.2.1:7000' },
      { type: 'message', message: { type: 'answer' } },
      { type: 'peer-lost', reason: 'it fell silent' },
    ]);
    expect(port.closed).toEqual([]);
  });

  test('is let go with the machine’s own reason, and otherwise when the run ends', async () => {
    const ports = [new FakePort(), new FakePort()];
    for (const [index, port] of ports.entries()) {
      const machine = new Scripted((input, { outputs }) => {
        if (input.type !== 'peer-connected') return;
        if (index === 0) outputs.push({ type: 'disconnect', reason: 'done' });
        outputs.push({ type: 'finished' });
      });
      const driver = drive(machine);
      driver.connect(port);
      await driver.run();
    }
    expect(ports.map(({ closed }) => closed)).toEqual([['done'], ['the run is over']]);
  });

  test('yardstick messages go around the machine, also those that came early', async () => {
    const port = new FakePort();
    const machine = new Scripted((input, { outputs }) => {
      if (input.type === 'interrupt') outputs.push({ type: 'yardstick', role: 'server', references: [] });
      if (input.type === 'yardstick') outputs.push({ type: 'finished' });
    });
    const driver = drive(machine, {
      yardstick: (role, _, channel) =>
        new Promise((resolve) => {
          channel.send({ type: 'yardstick', offer: 1 });
          const heard: unknown[] = [role];
          channel.onMessage = (message) => {
            heard.push(message);
            if (heard.length === 3) resolve(heard);
          };
        }),
    });
    driver.connect(port);
    const done = driver.run();
    port.onMessage?.({ type: 'yardstick', early: true });
    driver.interrupt();
    await vi.waitFor(() => {
      expect(port.sent).toEqual([{ type: 'yardstick', offer: 1 }]);
    });
    port.onMessage?.({ type: 'yardstick', early: false });
    await done;
    expect(machine.inputs.at(-1)).toEqual({
      type: 'yardstick',
      results: ['server', { type: 'yardstick', early: true }, { type: 'yardstick', early: false }],
    });
    expect(types(machine)).not.toContain('message');
  });

  test('a yardstick is told that the run is over', async () => {
    let over: AbortSignal | undefined;
    const machine = new Scripted((input, { outputs }) => {
      if (input.type === 'start') outputs.push({ type: 'yardstick', role: 'server', references: [] });
      else outputs.push({ type: 'finished' });
    });
    const driver = drive(machine, {
      yardstick: (_role, _references, _channel, signal) => {
        over = signal;
        return new Promise(() => undefined);
      },
    });
    const done = driver.run();
    await vi.waitFor(() => {
      expect(over?.aborted).toBe(false);
    });
    driver.interrupt();
    await done;
    expect(over?.aborted).toBe(true);
  });

  test('a yardstick that fails costs its results, not the run', async () => {
    const logged: string[] = [];
    const machine = new Scripted((input, { outputs }) => {
      if (input.type === 'start') outputs.push({ type: 'yardstick', role: 'client', references: [] });
      else outputs.push({ type: 'finished' });
    });
    const sink = { ...silent, log: (_: string, name: string) => logged.push(name) };
    await drive(machine, { sink, yardstick: () => Promise.reject(new Error('no wrtc here')) }).run();
    expect(machine.inputs.at(-1)).toEqual({ type: 'yardstick', results: [] });
    expect(logged).toEqual(['yardstick.failed']);
  });
});

describe('whatever happens, nothing stays open', () => {
  const opening = (fault: (input: SessionInput, outputs: Queue<SessionOutput>) => void) =>
    new Scripted((input, { outputs }) => {
      if (input.type === 'start')
        outputs.push({
          type: 'open',
          socket: 'a',
          interface: 'eth0',
          address: transportAddress('127.0.0.1', 0),
          pin: false,
        });
      if (input.type === 'opened') fault(input, outputs);
    });

  async function expectClosed(machine: Scripted): Promise<void> {
    const opened = machine.inputs.find((input) => input.type === 'opened');
    const again = createSocket('udp4').bind(opened?.local.port, '127.0.0.1');
    await once(again, 'listening');
    again.close();
  }

  test('a machine that throws', async () => {
    const port = new FakePort();
    const machine = opening(() => {
      throw new Error('a bug');
    });
    const driver = drive(machine);
    driver.connect(port);
    await expect(driver.run()).rejects.toThrow('a bug');
    await expectClosed(machine);
    expect(port.closed).toHaveLength(1);
  });

  test('a record that cannot be written', async () => {
    const machine = opening((_, outputs) => {
      outputs.push({ type: 'event', event: { type: 'end', host: 'client', t: 0 } });
    });
    const sink: Sink = {
      ...silent,
      event: () => {
        throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      },
    };
    await expect(drive(machine, { sink }).run()).rejects.toMatchObject({ code: 'ENOSPC' });
    await expectClosed(machine);
  });

  test('a driver that is stopped', async () => {
    const machine: Scripted = opening(() => {
      driver.stop();
    });
    const driver = drive(machine);
    await driver.run();
    await expectClosed(machine);
    const late = new FakePort();
    driver.connect(late);
    expect(late.closed).toHaveLength(1);
  });
});
