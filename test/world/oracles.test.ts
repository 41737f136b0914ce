import { expect, test } from 'vitest';
import { transportAddress } from '../../src/base/address.js';
import { toHex } from '../../src/base/bytes.js';
import type { Ms } from '../../src/base/time.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import type { Packet } from '../../src/world/packet.js';
import { runVirtual } from '../../src/world/virtual-lab.js';
import { packetCapture } from '../support/conversation.js';
import { expectVersion, ndpiReader } from '../support/ndpi-reader.js';
import { describeWith } from '../support/skip.js';
import { present } from './packets.js';
import { scenario } from './scenario-files.js';

const MODEM = 'client.wwan0';
/** ndpiReader 4.2 calls all of it STUN. */
const STUN_PORT = 3478;

interface Run {
  /** UDP of the client's modem, both ways. */
  readonly seen: readonly { readonly packet: Packet; readonly at: Ms }[];
  /** What it sent of the arms, by arm. */
  readonly sent: ReadonlyMap<string, readonly Packet[]>;
  /** Payloads that reached another host. */
  readonly arrived: ReadonlySet<string>;
}

function modemIn(name: string): Run {
  const seen: { packet: Packet; at: Ms }[] = [];
  const outbound: Packet[] = [];
  const arrived = new Set<string>();
  const { events } = runVirtual(scenario(name), {
    seed: 1,
    version: 'test',
    onWired: ({ network, places }) => {
      for (const [place, at] of places) {
        network.tap(at, (packet, direction, now) => {
          if (packet.protocol !== 'udp') return;
          if (place === MODEM) seen.push({ packet, at: now });
          if (place === MODEM && direction === 'sent') outbound.push(packet);
          if (place !== MODEM && direction === 'received') arrived.add(toHex(packet.payload));
        });
      }
    },
  });
  const probes = events.flatMap((event) => (event.type === 'sent' && event.purpose === 'arm' ? [event] : []));
  const armOf = new Map(probes.map(({ id, arm }) => [id, arm]));
  const sent = new Map<string, Packet[]>(ARM_NAMES.map((arm) => [arm, []]));
  for (const packet of outbound) {
    // The id is the transaction's, and in the same place of the control; DTLS has it in the client's random, QUIC in the connection id.
    const ids = [8, 27, 6].map((at) => toHex(packet.payload.subarray(at, at + 12)));
    const arm = ids.map((id) => armOf.get(id)).find((found) => found !== undefined);
    if (arm !== undefined) sent.get(arm)?.push(packet);
  }
  return { seen, sent, arrived };
}

describeWith(['ndpiReader'], 'matrix-ndpi shown to ndpiReader 4.2', () => {
  test('the carrier drops the arms that it calls STUN, but for the one that only 4.2 takes for it', (context) => {
    const { seen, sent, arrived } = modemIn('matrix-ndpi');
    const answer = ndpiReader(packetCapture(seen));
    const callArm = (arm: string): string => {
      const names = present(sent.get(arm))
        .filter(({ destinationPort }) => destinationPort !== STUN_PORT)
        .map(({ source, sourcePort, destination, destinationPort }) =>
          answer.called(transportAddress(source, sourcePort), transportAddress(destination, destinationPort)),
        );
      return [...new Set(names)].join();
    };
    const says = Object.fromEntries(ARM_NAMES.map((arm) => [arm, callArm(arm)]));
    expectVersion(context, answer, says);

    const passes = (arm: string): boolean => present(sent.get(arm)).some(({ payload }) => arrived.has(toHex(payload)));
    const calledStun = ARM_NAMES.filter((arm) => says[arm] === 'STUN');
    expect(calledStun.filter(passes)).toEqual(['stun~40~cookie']);
    const rest = ARM_NAMES.filter((arm) => !calledStun.includes(arm));
    expect(rest.map((arm) => [arm, says[arm], passes(arm)])).toEqual([
      ['random', 'Unknown', true],
      ['stun~length', 'Unknown', true],
      ['stun~type', 'Unknown', true],
      ['dtls', 'DTLS', true],
      ['quic', 'QUIC', true],
    ]);
  });
});
