import { concatBytes } from '../../src/base/bytes.js';
import type { BackEnd } from '../../src/net/quic/back-end.js';
import { encodePacket } from '../../src/world/ip-codec.js';
import { udpPacket } from '../../src/world/packet.js';
import { enhancedPacket, interfaceDescription, sectionHeader } from '../../src/world/pcapng.js';

/** Sees every datagram that sockets of its back ends send, in their order: a capture without root. */
export class DatagramTap {
  readonly #packets: Uint8Array[] = [];

  /** The same back end, looked at. */
  on(real: BackEnd): BackEnd {
    const { sockets } = real;
    return {
      ...real,
      sockets: {
        ...sockets,
        open: async (request, handler) => {
          const socket = await sockets.open(request, handler);
          return {
            local: socket.local,
            pinned: socket.pinned,
            get isFull() {
              return socket.isFull;
            },
            get refused() {
              return socket.refused;
            },
            send: (to, bytes, segmentBytes) => {
              const each = segmentBytes > 0 ? segmentBytes : bytes.length;
              for (let at = 0; at < bytes.length; at += each) {
                this.#packets.push(encodePacket(udpPacket(socket.local, to, bytes.slice(at, at + each))));
              }
              socket.send(to, bytes, segmentBytes);
            },
            close: () => {
              socket.close();
            },
          };
        },
      },
    };
  }

  /** A pcapng of all that was sent so far; times are the order and no more. */
  capture(): Uint8Array {
    return concatBytes(
      sectionHeader({ hardware: 'none', application: 'icepath' }),
      interfaceDescription('tap'),
      ...this.#packets.map((packet, index) => enhancedPacket(0, BigInt(index + 1) * 1_000_000n, packet, 'outbound')),
    );
  }
}
