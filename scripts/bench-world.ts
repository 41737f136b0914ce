import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { transportAddress } from '../src/base/address.js';
import { SeededRandom } from '../src/base/random.js';
import { ARM_NAMES } from '../src/mutation/names.js';
import { BoxChain } from '../src/world/box-chain.js';
import { Filter } from '../src/world/filter.js';
import { Hop } from '../src/world/hop.js';
import { Nat } from '../src/world/nat.js';
import { Network, type NetworkNode, type Plug } from '../src/world/network.js';
import { type Packet, udpPacket } from '../src/world/packet.js';
import type { Scenario } from '../src/world/scenario.js';
import { parseScenario } from '../src/world/scenario-file.js';
import { runVirtual } from '../src/world/virtual-lab.js';
import { firstPairs, IN_TIME, isInTime } from './first-pair.js';

/**
 * `bench-world [RUNS]`: packets a second through NAT and filter, complete runs of ice-02 a minute on all cores and what
 * they leave on the heap, and how soon the first pair of an open mesh is up; each with what is wanted of it.
 */

const PACKETS = 200_000;
const FLOWS = 64;
const FIRST_PAIR_SEEDS = 200;

class Sink implements NetworkNode {
  received = 0;
  plug: Plug | null = null;

  plugIn(_port: string, plug: Plug): void {
    this.plug = plug;
  }

  receive(): void {
    this.received += 1;
  }
}

/** Packets a second from a host through hop, filter and NAT to another, over links with delay, rate and loss. */
function packetsPerSecond(): number {
  const network = new Network(new SeededRandom('bench'));
  const random = new SeededRandom('nat');
  const chain = new BoxChain(
    [
      new Hop({ addresses: { ipv4: '10.0.0.1' } }),
      new Filter([
        { match: { bytes: [{ offset: 4, value: [0x21, 0x12, 0xa4, 0x42] }] }, action: { type: 'drop' } },
        { match: { remoteExcept: ['192.0.2.0/24'] }, action: { type: 'drop' } },
      ]),
      new Nat({ mapping: 'eim', filtering: 'apdf', ports: 'preserving', pool: ['198.51.100.2'] }, random),
    ],
    () => '10.0.0.1',
  );
  const [near, far] = [new Sink(), new Sink()];
  const link = { delayMs: 20, rateBps: 1e9, loss: 0.001 };
  network.connect({ node: near, port: 'eth0' }, { node: chain, port: 'inside' }, link);
  network.connect({ node: chain, port: 'outside' }, { node: far, port: 'eth0' }, link);
  const packets: Packet[] = Array.from({ length: FLOWS }, (_, flow) =>
    udpPacket(
      transportAddress('10.0.0.2', 5000 + flow),
      transportAddress('192.0.2.10', 3478),
      new Uint8Array(1200).fill(0x61),
    ),
  );
  const began = performance.now();
  for (let sent = 0; sent < PACKETS; sent += 1) {
    const packet = packets[sent % FLOWS];
    if (packet) near.plug?.send(packet);
    if (sent % FLOWS === 0) network.runUntil(network.now + 1);
  }
  network.runUntil(network.now + 1000);
  const seconds = (performance.now() - began) / 1000;
  if (far.received < PACKETS * 0.99) throw new Error(`only ${far.received} of ${PACKETS} arrived`);
  return far.received / seconds;
}

type ArmSet = 'its own arms' | 'all arms';

/** Seeds `first`, `first + step`, … below `end`. */
interface Share {
  readonly arms: ArmSet;
  readonly first: number;
  readonly step: number;
  readonly end: number;
}

interface Done {
  readonly outcomes: readonly string[];
  /** On the heap after all runs, compared with before them; nothing that could be collected is counted. */
  readonly grownBytes: number;
}

function ice02(arms: ArmSet): Scenario {
  // From dist/scripts, where this runs.
  const file = new URL('../../scenarios/ice-02.yaml', import.meta.url);
  const scenario = parseScenario(readFileSync(file, 'utf8'), 'ice-02.yaml');
  return arms === 'all arms' ? { ...scenario, run: { ...scenario.run, arms: ARM_NAMES } } : scenario;
}

function runShare({ arms, first, step, end }: Share): Done {
  const scenario = ice02(arms);
  const before = heapBytes();
  const outcomes: string[] = [];
  for (let seed = first; seed < end; seed += step) {
    const { report } = runVirtual(scenario, { seed, version: 'bench' });
    outcomes.push(
      ...report.paths.filter(({ wanted }) => wanted).map(({ state, cause }) => `${state} / ${cause ?? '–'}`),
    );
  }
  return { outcomes, grownBytes: heapBytes() - before };
}

/** Of this thread. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().heapUsed;
}

/** The compiler has seen everything by then. */
const WARM_UP: Share = { arms: 'its own arms', first: 0, step: 1, end: 20 };

async function runsPerMinute(arms: ArmSet, runs: number, wanted: string): Promise<void> {
  const cores = availableParallelism();
  const workers = Array.from({ length: cores }, (_, first) => {
    const workerData: Share = { arms, first, step: cores, end: runs };
    return new Worker(new URL(import.meta.url), { workerData });
  });
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  const [began, before] = [performance.now(), process.cpuUsage()];
  const results = workers.map((worker) => once(worker, 'message') as Promise<[Done]>);
  for (const worker of workers) worker.postMessage('go');
  const done = (await Promise.all(results)).map(([one]) => one);
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(before);
  const outcomes = done.flatMap((one) => one.outcomes);
  const told = [...new Set(outcomes)].map((one) => `${outcomes.filter((other) => other === one).length} × ${one}`);
  const cpuMs = (user + system) / 1000 / runs;
  const grown = Math.max(...done.map(({ grownBytes }) => grownBytes)) / 1e6;
  print(
    `ice-02, ${arms}`,
    `${Math.round((runs * 60) / seconds)} complete runs a minute on ${cores} cores, ${cpuMs.toFixed(0)} ms of a core each`,
    wanted,
  );
  print('', told.join(', '), 'all blocked / peer-udp-blocked');
  print('', `the heap grew by ${grown.toFixed(1)} MB over ${Math.ceil(runs / cores)} runs`, 'less than 5 MB');
}

function firstPairTable(): void {
  const found = Array.from({ length: FIRST_PAIR_SEEDS }, (_, seed) => firstPairs(seed));
  for (const [which, name] of [
    ['any', 'on the LAN'],
    ['carriers', 'across carriers'],
  ] as const) {
    const pairs = found.map(({ [which]: pair }) => pair);
    const times = pairs.map(({ afterMs }) => afterMs).sort((left, right) => left - right);
    const at = (share: number): string => (times[Math.ceil(share * times.length) - 1] ?? NaN).toFixed(0);
    const inTime = (pairs.filter(isInTime).length / pairs.length) * 100;
    print(
      `first pair ${name}`,
      `${inTime.toFixed(1)} % of ${pairs.length} seeds in time; half by ${at(0.5)} ms, 95 % by ${at(0.95)} ms`,
      `${IN_TIME * 100} % within 2 round trips + 100 ms`,
    );
  }
}

function print(what: string, found: string, wanted: string): void {
  process.stdout.write(`${what.padEnd(27)}${found} (wanted: ${wanted})\n`);
}

/** What the figures below are to be read beside: the same machine is several times slower in one hour than in another. */
function machine(): string {
  const key = new Uint8Array(32);
  const text = new Uint8Array(100);
  const macs = perSecond(20_000, () => createHmac('sha256', key).update(text).digest());
  let sum = 0;
  const additions = perSecond(200, () => {
    for (let index = 0; index < 1e6; index += 1) sum = (sum * 31 + index) | 0;
  });
  return `${Math.round(macs / 1000)} k HMAC-SHA-256 and ${Math.round(additions)} M multiplications a second on one core`;
}

function perSecond(times: number, work: () => void): number {
  const began = performance.now();
  for (let time = 0; time < times; time += 1) work();
  return (times * 1000) / (performance.now() - began);
}

async function bench(runs: number): Promise<void> {
  print('this machine', machine(), 'to be known');
  packetsPerSecond();
  print('NAT and filter', `${Math.round(packetsPerSecond())} packets/s`, 'at least 20000');
  await runsPerMinute('its own arms', runs, 'at least 1000 on two');
  await runsPerMinute('all arms', Math.ceil(runs / 5), 'to be known');
  firstPairTable();
}

if (isMainThread) await bench(Number(process.argv[2] ?? 1000));
else {
  runShare(WARM_UP);
  parentPort?.once('message', () => parentPort?.postMessage(runShare(workerData as Share)));
  parentPort?.postMessage('ready');
}
