import { describe, expect, test } from 'vitest';
import { formatTransportAddress, transportAddress, type TransportAddress } from '../../src/base/address.js';
import { utf8Bytes, utf8Text } from '../../src/base/bytes.js';
import { drain } from '../../src/base/machine.js';
import { TurnRace, type TurnRaceInput, type TurnRaceOptions, type TurnRaceOutput } from '../../src/turn/race.js';
import type { TurnServer } from '../../src/world/turn-server.js';
import { CLIENT, CREDENTIALS, PEER, TurnNetwork, type Logged } from './network.js';

const MINUTE = 60_000;
const addressOf = (n: number): TransportAddress => transportAddress(`203.0.113.${n}`, 3478);
const numberOf = ({ address }: TransportAddress): number => Number(address.split('.')[3]);

/** Servers 1, 2, 3 … at the end of ways of so many milliseconds, and a race over all of them. */
class RaceBench {
  readonly network = new TurnNetwork();
  readonly servers: TurnServer[];
  readonly outputs: Logged<TurnRaceOutput>[] = [];
  readonly race: TurnRace;
  readonly delays: number[];

  constructor(delaysMs: readonly number[], options: Partial<TurnRaceOptions> = {}) {
    this.delays = [...delaysMs];
    this.servers = delaysMs.map((delayMs, index) => this.network.server({ address: addressOf(index + 1), delayMs }));
    this.race = new TurnRace({
      servers: delaysMs.map((_, index) => ({ address: addressOf(index + 1), credentials: CREDENTIALS })),
      family: 'ipv4',
      random: this.network.random(),
      ...options,
    });
    this.network.open(CLIENT, (from, bytes) => {
      this.feed({ type: 'datagram', from, bytes });
    });
    this.network.add({
      deadline: () => this.race.deadline(),
      timeout: () => {
        this.feed({ type: 'timeout' });
      },
    });
  }

  start(): this {
    this.feed({ type: 'start' });
    return this;
  }

  run(time: number): this {
    this.network.run(time);
    return this;
  }

  feed(input: TurnRaceInput): void {
    this.race.handle(input, this.network.now);
    for (const output of drain(this.race)) {
      this.outputs.push({ ...output, at: this.network.now });
      if (output.type === 'send') this.network.send(CLIENT, output.to, output.bytes);
    }
  }

  of<T extends TurnRaceOutput['type']>(type: T): Logged<Extract<TurnRaceOutput, { type: T }>>[] {
    return this.outputs.filter((each): each is Logged<Extract<TurnRaceOutput, { type: T }>> => each.type === type);
  }

  /** The changes of the relay in use: when, to which server, why. */
  chosen(): [number, number, string][] {
    return this.of('chosen').map(({ at, server, because }) => [at, numberOf(server), because]);
  }

  relayed(n: number): TransportAddress {
    const found = this.of('chosen').find(({ server }) => numberOf(server) === n);
    if (!found) throw new Error(`server ${n} was never in use`);
    return found.relayed;
  }

  /** Servers that say nothing from now on. */
  silence(...numbers: readonly number[]): void {
    const silent = new Set(numbers.map((n) => addressOf(n).address));
    this.network.drop = ({ from, to }) => silent.has(from.address) || silent.has(to.address);
  }

  /** Allocations there are, by server. */
  sizes(): number[] {
    return this.servers.map(({ size }) => size);
  }
}

describe('five servers at once', () => {
  const DELAYS = [40, 15, 60, 25, 90];

  test('the fastest is used as soon as it has answered: two round trips after the start, and nothing later', () => {
    const bench = new RaceBench(DELAYS).start().run(10_000);
    expect(bench.chosen()).toEqual([[4 * 15, 2, 'first']]);
    expect(bench.of('chosen')[0]).toMatchObject({ rttMs: 30, before: null, mapped: CLIENT });
  });

  test('carries data within one round trip of its answer', () => {
    const bench = new RaceBench(DELAYS);
    const peer = bench.network.peer();
    bench.feed({ type: 'permit', peer: PEER });
    bench.start().run(60);
    bench.feed({ type: 'data', peer: PEER, data: utf8Bytes('hello') });
    bench.run(1000);
    // One way to the server with CreatePermission, one back, then the data: to the server, and on to the peer.
    expect(peer.said).toEqual([{ from: bench.relayed(2), text: 'hello', at: 60 + 30 + 15 + 15 }]);
  });

  test('the two shortest others are kept, the rest is given back after three seconds', () => {
    const bench = new RaceBench(DELAYS).start().run(3000);
    expect(bench.sizes()).toEqual([1, 1, 1, 1, 1]);
    bench.run(10_000);
    expect(bench.sizes()).toEqual([1, 1, 0, 1, 0]);
    expect(
      bench
        .of('released')
        .map(({ server }) => numberOf(server))
        .sort(),
    ).toEqual([3, 5]);
  });

  test('two die in turn: the best spare takes over within 2.5 s, said each time', () => {
    const bench = new RaceBench(DELAYS).start().run(10_000);
    bench.silence(2);
    bench.run(20_000);
    bench.silence(2, 4);
    bench.run(30_000);
    const [, second, third] = bench.chosen();
    expect([second?.[1], second?.[2]]).toEqual([4, 'unanswered']);
    expect([third?.[1], third?.[2]]).toEqual([1, 'unanswered']);
    // A measurement each second, and 1.25 s until it counts as unanswered.
    expect(second?.[0]).toBeLessThanOrEqual(10_000 + 1000 + 1250 + 60);
    expect(third?.[0]).toBeLessThanOrEqual(20_000 + 1000 + 1250 + 60);
    expect(bench.of('chosen').map(({ before }) => before && numberOf(before))).toEqual([null, 2, 4]);
    // Those that were given back are asked again, so that there are spares.
    expect(bench.sizes().filter((_, index) => index === 2 || index === 4)).toEqual([1, 1]);
  });

  test('both die at once: the third takes over', () => {
    const bench = new RaceBench(DELAYS).start().run(10_000);
    bench.silence(2, 4);
    bench.run(20_000);
    expect(bench.chosen().at(-1)?.slice(1)).toEqual([1, 'unanswered']);
    expect(bench.chosen().at(-1)?.[0]).toBeLessThanOrEqual(10_000 + 1000 + 1250 + 100);
  });

  test('a restarted server is told as lost, and taken again half a minute later', () => {
    const bench = new RaceBench(DELAYS).start().run(10_000);
    bench.servers[1]?.forgetAll();
    bench.run(MINUTE);
    const [, second, third] = bench.chosen();
    expect([second?.[1], second?.[2]]).toEqual([4, 'lost']);
    expect([third?.[1], third?.[2]]).toEqual([2, 'shorter']);
    expect(third?.[0]).toBeGreaterThan(40_000);
  });

  test('peers are let through by all that are kept, so that what they send to either relay comes', () => {
    const bench = new RaceBench(DELAYS);
    const peer = bench.network.peer();
    bench.feed({ type: 'bind', peer: PEER });
    bench.start().run(10_000);
    bench.silence(2);
    bench.run(20_000);
    bench.silence();
    for (const n of [2, 4]) peer.say(bench.relayed(n), `by ${n}`);
    bench.run(21_000);
    const heard = bench
      .of('relay')
      .flatMap(({ server, output }) => (output.type === 'data' ? [[numberOf(server), utf8Text(output.data)]] : []));
    expect(heard.sort()).toEqual([
      [2, 'by 2'],
      [4, 'by 4'],
    ]);
  });

  test('at the end every allocation is given back', () => {
    const bench = new RaceBench(DELAYS).start().run(10_000);
    bench.feed({ type: 'close' });
    bench.run(20_000);
    expect(bench.sizes()).toEqual([0, 0, 0, 0, 0]);
    expect(bench.of('closed')).toHaveLength(1);
    expect(bench.race.deadline()).toBe(Infinity);
  });
});

describe('a way that becomes shorter', () => {
  test('is taken, and one that is a little shorter is not', () => {
    const bench = new RaceBench([20, 30, 32]).start().run(10_000);
    bench.network.delay(addressOf(2).address, 18);
    bench.run(MINUTE);
    expect(bench.chosen()).toEqual([[80, 1, 'first']]);
    bench.network.delay(addressOf(2).address, 5);
    bench.run(2 * MINUTE);
    expect(bench.chosen()[1]?.slice(1)).toEqual([2, 'shorter']);
    expect(bench.of('chosen')[1]).toMatchObject({ rttMs: 10, before: addressOf(1) });
    expect(bench.chosen()).toHaveLength(2);
  });

  test('one that swings is not run after', () => {
    const bench = new RaceBench([20, 20, 20]).start();
    for (let second = 1; second < 120; second += 1) {
      bench.run(second * 1000);
      for (const n of [1, 2, 3]) bench.network.delay(addressOf(n).address, second % 2 === n % 2 ? 20 : 12);
    }
    expect(bench.chosen().length).toBeLessThanOrEqual(3);
  });
});

describe('servers that do not serve', () => {
  test('wrong credentials at all: told with each one’s reason, and nobody is asked again', () => {
    const servers = [1, 2].map((n) => ({
      address: addressOf(n),
      credentials: { ...CREDENTIALS, password: 'wrong' },
    }));
    const bench = new RaceBench([10, 20], { servers }).start().run(5 * MINUTE);
    expect(bench.of('without')).toMatchObject([
      { errors: [{ error: { code: 'turn-credentials' } }, { error: { code: 'turn-credentials' } }] },
    ]);
    expect(bench.race.deadline()).toBe(Infinity);
  });

  test('silent ones are told after 39.5 s, and asked again until one answers', () => {
    const bench = new RaceBench([10, 20]);
    bench.silence(1, 2);
    bench.start().run(MINUTE);
    expect(bench.of('without').map(({ at }) => at)).toEqual([39_500]);
    bench.silence();
    bench.run(2 * MINUTE);
    expect(bench.chosen().map(([, server]) => server)).toEqual([1]);
  });

  test('one good among bad ones is enough', () => {
    const bench = new RaceBench([10, 20, 30]);
    bench.silence(1);
    bench.servers[1]?.credentials.expireNonce();
    bench.start().run(MINUTE);
    expect(bench.chosen()[0]?.[1]).toBe(2);
    expect(bench.of('without')).toEqual([]);
  });

  test('of two with one address the first is asked; none at all is told', () => {
    const twice = [CREDENTIALS, { ...CREDENTIALS, password: 'wrong' }].map((credentials) => ({
      address: addressOf(1),
      credentials,
    }));
    const bench = new RaceBench([10], { servers: twice }).start().run(1000);
    expect(bench.sizes()).toEqual([1]);
    const none = new RaceBench([], { servers: [] }).start().run(1000);
    expect(none.of('without')).toMatchObject([{ errors: [] }]);
  });
});

test('everything comes from one socket, as WhatsApp has it (requirements.md O1)', () => {
  const bench = new RaceBench([40, 15, 60]).start().run(5000);
  const sources = bench.network.packets.filter(({ from }) => from.address === CLIENT.address).map(({ from }) => from);
  expect(new Set(sources.map(formatTransportAddress)).size).toBe(1);
});
