import type { Ms } from '../../../src/base/time.js';
import type { SentPacket } from '../../../src/quic/recovery/sent-packets.js';
import type { AckFrame, AckRange, EcnCounts } from '../../../src/quic/wire/frames.js';

/** A full packet with data in it, unless said otherwise. */
export function packet(
  packetNumber: number,
  sentAt: Ms,
  changes: Partial<SentPacket<number>> = {},
): SentPacket<number> {
  return {
    packetNumber,
    sentAt,
    bytes: 1200,
    isAckEliciting: true,
    inFlight: true,
    isMarked: false,
    mtuProbe: false,
    content: packetNumber,
    ...changes,
  };
}

/** `ack(5, [0, 3])` acknowledges 5, and 0 to 3: the highest first. */
export function ack(...ranges: readonly (number | readonly [number, number])[]): AckFrame {
  return ackWith(null, ...ranges);
}

export function ackWith(ecn: EcnCounts | null, ...ranges: readonly (number | readonly [number, number])[]): AckFrame {
  const all: AckRange[] = ranges.map((range) =>
    typeof range === 'number' ? { smallest: range, largest: range } : { smallest: range[0], largest: range[1] },
  );
  return { type: 'ack', path: null, delay: 0, ranges: all, ecn };
}

export const numbersOf = (packets: readonly SentPacket[]): number[] => packets.map(({ packetNumber }) => packetNumber);
