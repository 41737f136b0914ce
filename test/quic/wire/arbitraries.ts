import fc from 'fast-check';
import type { AckRange, Frame } from '../../../src/quic/wire/frames.js';
import type { TransportParameters } from '../../../src/quic/wire/transport-parameters.js';

export const bytesOf = (minLength: number, maxLength = minLength) => fc.uint8Array({ minLength, maxLength });

/** Every length of a variable-length integer as often as the others. */
export const varints = fc.oneof(
  fc.nat({ max: 0x3f }),
  fc.nat({ max: 0x3fff }),
  fc.nat({ max: 0x3fff_ffff }),
  fc.maxSafeNat(),
  fc.constantFrom(0x3f, 0x40, 0x3fff, 0x4000, 0x3fff_ffff, 0x4000_0000, Number.MAX_SAFE_INTEGER),
);
const offsets = fc.oneof(fc.nat({ max: 0x4000_0000 }), fc.constant(0));
const paths = fc.oneof(fc.constant(null), varints);

/** From the highest down, with gaps of at least one packet. */
const ranges = fc
  .record({
    lowest: fc.nat({ max: 2 ** 40 }),
    steps: fc.array(fc.record({ gap: fc.nat({ max: 100_000 }), length: fc.nat({ max: 100_000 }) }), {
      minLength: 1,
      maxLength: 20,
    }),
  })
  .map(({ lowest, steps }) => {
    const upwards: AckRange[] = [];
    let smallest = lowest;
    for (const { gap, length } of steps) {
      upwards.push({ smallest, largest: smallest + length });
      smallest += length + gap + 2;
    }
    return upwards.reverse();
  });

const direction = fc.constantFrom('bidi' as const, 'uni' as const);
const status = fc.constantFrom('available' as const, 'backup' as const);
const is = <T extends string>(type: T) => fc.constant(type);

/** Every kind of frame that does not reach to the end of its packet by itself. */
export const frames: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ type: is('ping') }),
  fc.record({
    type: is('ack'),
    path: paths,
    delay: varints,
    ranges,
    ecn: fc.oneof(fc.constant(null), fc.record({ ect0: varints, ect1: varints, ce: varints })),
  }),
  fc.record({ type: is('reset-stream'), stream: varints, errorCode: varints, finalSize: varints }),
  fc.record({ type: is('stop-sending'), stream: varints, errorCode: varints }),
  fc.record({ type: is('crypto'), offset: varints, data: bytesOf(0, 100) }),
  fc.record({ type: is('new-token'), token: bytesOf(1, 100) }),
  fc.record({
    type: is('stream'),
    stream: varints,
    offset: offsets,
    data: bytesOf(0, 100),
    fin: fc.boolean(),
    hasLength: fc.constant(true),
  }),
  fc.record({ type: is('max-data'), maximum: varints }),
  fc.record({ type: is('max-stream-data'), stream: varints, maximum: varints }),
  fc.record({ type: is('max-streams'), direction, maximum: varints }),
  fc.record({ type: is('data-blocked'), limit: varints }),
  fc.record({ type: is('stream-data-blocked'), stream: varints, limit: varints }),
  fc.record({ type: is('streams-blocked'), direction, limit: varints }),
  fc
    .record({
      type: is('new-connection-id'),
      path: paths,
      sequence: varints,
      retirePriorTo: varints,
      id: bytesOf(1, 20),
      resetToken: bytesOf(16),
    })
    .map((frame) => ({ ...frame, retirePriorTo: Math.min(frame.retirePriorTo, frame.sequence) })),
  fc.record({ type: is('retire-connection-id'), path: paths, sequence: varints }),
  fc.record({ type: is('path-challenge'), data: bytesOf(8) }),
  fc.record({ type: is('path-response'), data: bytesOf(8) }),
  fc.record({
    type: is('connection-close'),
    by: fc.constant('transport' as const),
    errorCode: varints,
    frameType: varints,
    reason: bytesOf(0, 60),
  }),
  fc.record({
    type: is('connection-close'),
    by: fc.constant('application' as const),
    errorCode: varints,
    frameType: fc.constant(0),
    reason: bytesOf(0, 60),
  }),
  fc.record({ type: is('handshake-done') }),
  fc.record({ type: is('datagram'), data: bytesOf(0, 100), hasLength: fc.constant(true) }),
  fc.record({ type: is('path-abandon'), path: varints, errorCode: varints }),
  fc.record({ type: is('path-status'), path: varints, status, sequence: varints }),
  fc.record({ type: is('max-path-id'), maximum: varints }),
  fc.record({ type: is('paths-blocked'), maximum: varints }),
  fc.record({ type: is('path-cids-blocked'), path: varints, nextSequence: varints }),
);

/** Those that have to stand last. */
export const lastFrames: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({
    type: is('stream'),
    stream: varints,
    offset: offsets,
    data: bytesOf(0, 100),
    fin: fc.boolean(),
    hasLength: fc.constant(false),
  }),
  fc.record({ type: is('datagram'), data: bytesOf(0, 100), hasLength: fc.constant(false) }),
  fc.record({ type: is('padding'), length: fc.integer({ min: 1, max: 1200 }) }),
);

const maybe = <T>(value: fc.Arbitrary<T>) => fc.oneof(fc.constant(null), value);

export const parameters: fc.Arbitrary<TransportParameters> = fc.record({
  originalDestinationConnectionId: maybe(bytesOf(0, 20)),
  maxIdleTimeoutMs: varints,
  statelessResetToken: maybe(bytesOf(16)),
  maxUdpPayloadBytes: fc.integer({ min: 1200, max: 2 ** 40 }),
  initialMaxData: varints,
  initialMaxStreamDataBidiLocal: varints,
  initialMaxStreamDataBidiRemote: varints,
  initialMaxStreamDataUni: varints,
  initialMaxStreamsBidi: varints,
  initialMaxStreamsUni: varints,
  ackDelayExponent: fc.nat({ max: 20 }),
  maxAckDelayMs: fc.nat({ max: 2 ** 14 - 1 }),
  disableActiveMigration: fc.boolean(),
  preferredAddress: maybe(
    fc.record({
      ipv4: bytesOf(4),
      ipv4Port: fc.nat({ max: 0xffff }),
      ipv6: bytesOf(16),
      ipv6Port: fc.nat({ max: 0xffff }),
      connectionId: bytesOf(1, 20),
      statelessResetToken: bytesOf(16),
    }),
  ),
  activeConnectionIdLimit: fc.integer({ min: 2, max: 2 ** 40 }),
  initialSourceConnectionId: maybe(bytesOf(0, 20)),
  retrySourceConnectionId: maybe(bytesOf(0, 20)),
  maxDatagramFrameBytes: varints,
  initialMaxPathId: maybe(fc.nat({ max: 2 ** 31 - 1 })),
});
