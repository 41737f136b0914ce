import { type TransportAddress, transportAddress } from '../../src/base/address.js';
import { concatBytes } from '../../src/base/bytes.js';
import { SeededRandom } from '../../src/base/random.js';
import type { Ms } from '../../src/base/time.js';
import { BUILT_IN } from '../../src/mutation/registry.js';
import { mutate } from '../../src/mutation/header.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import { buildProbe } from '../../src/mutation/probe.js';
import {
  buildReferenceAnswer,
  buildReferenceRequest,
  recogniseReferenceRequest,
} from '../../src/mutation/reference.js';
import { iceRole, priority, username, xorMappedAddress } from '../../src/stun/attributes.js';
import { signed } from '../../src/stun/integrity.js';
import { encodePacket } from '../../src/world/ip-codec.js';
import { type Packet, udpPacket } from '../../src/world/packet.js';
import { enhancedPacket, interfaceDescription, sectionHeader } from '../../src/world/pcapng.js';

/** Requests and their answers in turn, beginning with a request: one arm's on one 5-tuple. */
export type Conversation = readonly Uint8Array[];
/** By arm. */
export type Conversations = Readonly<Record<string, Conversation>>;

const TRANSACTIONS = 4;
const STARTED_AT_NS = 1_717_674_360_000_000_000n;
const [CLIENT, SERVER] = ['198.51.100.7', '203.0.113.9'] as const;
const MAPPED = transportAddress(CLIENT, 40000);
const random = new SeededRandom('conversations');
const key = random.bytes(32);

/** What is sent in each arm: probes both ways, a reference host and its answers, ICE's checks (in STUN's arms only). */
export const CONVERSATIONS: Readonly<Record<'probes' | 'reference' | 'checks', Conversations>> = {
  probes: conversations(ARM_NAMES, (arm, counter) =>
    [2 * counter, 2 * counter + 1].map((each) => buildProbe(arm, { key, counter: each, random }).bytes),
  ),
  reference: conversations(ARM_NAMES, (arm, counter) => {
    const { bytes } = buildReferenceRequest(arm, { counter, nonce: random.bytes(8), random });
    const request = recogniseReferenceRequest(bytes);
    if (!request) throw new Error(arm);
    return [bytes, buildReferenceAnswer(request, { mapped: MAPPED, origin: MAPPED, other: MAPPED, random })];
  }),
  checks: conversations(
    ARM_NAMES.filter((arm) => BUILT_IN.find(arm)?.stun),
    (arm) => {
      const transactionId = random.bytes(12);
      const request = [username('wxyz0123:abcd4567'), priority(0x6e7f00ff), iceRole(true, 7n)];
      return [
        check(arm, { class: 'request', transactionId, attributes: request }),
        check(arm, { class: 'success', transactionId, attributes: [xorMappedAddress(MAPPED, transactionId)] }),
      ];
    },
  ),
};

function conversations(arms: readonly string[], transaction: (arm: string, n: number) => Uint8Array[]): Conversations {
  const numbers = Array.from({ length: TRANSACTIONS }, (_, n) => n);
  return Object.fromEntries(arms.map((arm) => [arm, numbers.flatMap((n) => transaction(arm, n))]));
}

function check(name: string, message: Omit<Parameters<typeof signed>[0], 'method'>): Uint8Array {
  const arm = BUILT_IN.find(name);
  if (!arm) throw new Error(name);
  return mutate(arm, signed({ ...message, method: 1 }, { key, fingerprint: true }), key);
}

/** Both ends of an arm's 5-tuple, the client first; the server's port is `port` in all of them. */
export function endsOf(arm: string, port: number): [client: TransportAddress, server: TransportAddress] {
  const index = ARM_NAMES.findIndex((name) => name === arm);
  return [transportAddress(CLIENT, 40_000 + index), transportAddress(SERVER, port)];
}

/** All of them, one 5-tuple an arm. */
export function captureOf(all: Conversations, port: number): Uint8Array {
  const packets = Object.entries(all).flatMap(([arm, payloads]) => {
    const [client, server] = endsOf(arm, port);
    return payloads.map((payload, index) =>
      index % 2 === 0 ? udpPacket(client, server, payload) : udpPacket(server, client, payload),
    );
  });
  return packetCapture(packets.map((packet, index) => ({ packet, at: index * 20 })));
}

/** A pcapng file of one interface. */
export function packetCapture(seen: readonly { readonly packet: Packet; readonly at: Ms }[]): Uint8Array {
  const blocks = seen.map(({ packet, at }) =>
    enhancedPacket(0, STARTED_AT_NS + BigInt(Math.round(at * 1e6)), encodePacket(packet), 'outbound'),
  );
  return concatBytes(
    sectionHeader({ hardware: 'test', application: 'icepath' }),
    interfaceDescription('eth0'),
    ...blocks,
  );
}
