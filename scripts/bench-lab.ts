import { SeededRandom } from '../src/base/random.js';
import { BoxChain } from '../src/world/box-chain.js';
import { Filter } from '../src/world/filter.js';
import { Hop } from '../src/world/hop.js';
import { Nat } from '../src/world/nat.js';
import { FAR, iperf, onLink, ping } from '../test/support/link-measurements.js';

// bench-lab: what ping and iperf3 measure between two kernels with the world in the middle, beside what was asked of
// it. Needs root, ip, ping and iperf3.

const SECONDS = 5;
const PAYLOAD_BYTES = 200;

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

function natAndFilter(): BoxChain {
  return new BoxChain(
    [
      new Hop({ addresses: { ipv4: '10.0.0.1' } }),
      new Filter([
        { match: { bytes: [{ offset: 4, value: [0x21, 0x12, 0xa4, 0x42] }] }, action: { type: 'drop' } },
        { match: { remoteExcept: [`${FAR}/24`] }, action: { type: 'drop' } },
      ]),
      new Nat(
        { mapping: 'eim', filtering: 'apdf', ports: 'preserving', pool: ['198.51.100.2'] },
        new SeededRandom('bench'),
      ),
    ],
    () => '10.0.0.1',
  );
}

for (const delayMs of [0, 20, 100]) {
  const { medianMs } = await onLink({ delayMs }, { delayMs }, (link) => ping(link, 50, 20));
  print(`delay: ${2 * delayMs} ms asked, ${medianMs} ms measured (ping, median of 50)`);
}
for (const rateBps of [10e6, 100e6]) {
  const { receivedBps } = await onLink({ rateBps, delayMs: 5 }, { delayMs: 5 }, (link) =>
    iperf(link, '--time', String(SECONDS), '--omit', '1'),
  );
  const wanted = (rateBps * 1448) / 1500;
  print(`rate: ${(wanted / 1e6).toFixed(1)} Mbit/s of TCP payload asked, ${(receivedBps / 1e6).toFixed(1)} measured`);
}
for (const loss of [0.01, 0.2]) {
  const { sent, received } = await onLink({ loss }, {}, (link) => ping(link, 2000, 2));
  print(`loss: ${100 * loss} % asked, ${(100 * (1 - received / sent)).toFixed(1)} % of ${sent} measured`);
}
const offered = ['--udp', '--length', String(PAYLOAD_BYTES), '--time', String(SECONDS), '--bitrate'];
for (const perSecond of [20_000, 30_000, 40_000, 60_000]) {
  const bps = String(perSecond * PAYLOAD_BYTES * 8);
  const { packets, lost } = await onLink({}, {}, (link) => iperf(link, ...offered, bps), natAndFilter());
  const [sent, arrived] = [packets / SECONDS, (packets - lost) / SECONDS];
  print(
    `packets through NAT and filter: ${sent.toFixed(0)} a second offered, ${arrived.toFixed(0)} arrived (${((100 * lost) / packets).toFixed(2)} % lost)`,
  );
}
