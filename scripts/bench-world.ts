import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { transportAddress } from '../src/base/address.js';
import { SeededRandom } from '../src/base/random.js';
import { ARM_NAMES } from '../src/mutation/names.js';
import { BoxChain } from '../src/world/box-chain.js';
import { CARRIERS } from '../src/world/carriers.js';
import { Filter } from '../src/world/filter.js';
import { Hop } from '../src/world/hop.js';
import { buildInternet, REFERENCE_ADDRESSES } from '../src/world/internet.js';
import { Nat } from '../src/world/nat.js';
import { Network, type NetworkNode, type Plug } from '../src/world/network.js';
import { type Packet, udpPacket } from '../src/world/packet.js';
import { REFERENCE_PORTS, VirtualRun } from '../src/world/virtual-run.js';

/** `bench-world [RUNS]`: packets a second through NAT and filter, complete runs of ice-02 a minute on all cores. */

const PACKETS = 200_000;
const FLOWS = 64;

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

function ice02(seed: number): string {
  const mobile = { kind: 'cellular', metric: 700 } as const;
  const internet = buildInternet({
    seed,
    uplinks: [
      { ...mobile, host: 'client', interface: 'wwan0', label: 'o2', carrier: CARRIERS.o2 },
      { ...mobile, host: 'server', interface: 'usb0', label: 'telekom', carrier: CARRIERS.telekom },
    ],
  });
  const plan = {
    policy: 'cellular,wifi,ethernet',
    arms: ARM_NAMES,
    firstOnly: false,
    wanted: [{ client: 'wwan0', server: 'usb0' }],
    pin: true,
    references: [transportAddress(REFERENCE_ADDRESSES.ipv4[0], REFERENCE_PORTS[0])],
    checksPerPair: 7,
    webrtc: false,
  };
  const report = new VirtualRun({ internet, seed, version: 'bench', plan }).run();
  const path = report.paths.find(({ id }) => id === 'wwan0-usb0-v4');
  return `${path?.state ?? 'missing'} / ${path?.cause ?? '–'}`;
}

/** Runs and what they said; seeds `first`, `first + step`, … below `end`. */
function runSome({ first, step, end }: Share): string[] {
  const outcomes: string[] = [];
  for (let seed = first; seed < end; seed += step) outcomes.push(ice02(seed));
  return outcomes;
}

interface Share {
  readonly first: number;
  readonly step: number;
  readonly end: number;
}

/** The compiler has seen everything by then. */
const WARM_UP: Share = { first: 0, step: 1, end: 10 };

async function bench(runs: number): Promise<void> {
  packetsPerSecond();
  process.stdout.write(`NAT and filter: ${Math.round(packetsPerSecond())} packets/s (at least 20000 wanted)\n`);
  const cores = availableParallelism();
  const workers = Array.from({ length: cores }, (_, first) => {
    const workerData: Share = { first, step: cores, end: runs };
    return new Worker(new URL(import.meta.url), { workerData });
  });
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  const [began, before] = [performance.now(), process.cpuUsage()];
  const results = workers.map((worker) => once(worker, 'message') as Promise<[string[]]>);
  for (const worker of workers) worker.postMessage('go');
  const outcomes = (await Promise.all(results)).flatMap(([some]) => some);
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(before);
  const told = [...new Set(outcomes)].map((one) => `${outcomes.filter((other) => other === one).length} × ${one}`);
  const cpuMs = Math.round((user + system) / 1000 / runs);
  const perMinute = Math.round((runs * 60) / seconds);
  process.stdout.write(
    `ice-02: ${perMinute} complete runs a minute on ${cores} cores, ${cpuMs} ms of one core each (${told.join(', ')})\n`,
  );
}

if (isMainThread) await bench(Number(process.argv[2] ?? 100));
else {
  runSome(WARM_UP);
  parentPort?.once('message', () => parentPort?.postMessage(runSome(workerData as Share)));
  parentPort?.postMessage('ready');
}
