import type { Ms } from '../base/time.js';
import type { Internet } from './internet.js';
import { encodePacket } from './ip-codec.js';
import type { NetworkNode, Place } from './network.js';
import { enhancedPacket, interfaceDescription, interfaceStatistics, sectionHeader } from './pcapng.js';

/** Where the bytes of a capture go. */
export interface CaptureSink {
  write(bytes: Uint8Array): void;
}

/**
 * Captures what leaves and reaches the interfaces of all hosts from now on: one pcapng file for each host, opened by
 * its name (`client`, `server`, `reference`), with one interface for each of the host's. `startedAtMs`, since 1970, is
 * when the network's clock stood at 0. The function that comes back writes the statistics that end the files.
 */
export function captureInterfaces(
  { network, places }: Internet<NetworkNode>,
  startedAtMs: Ms,
  open: (host: string) => CaptureSink,
): () => void {
  const epochNs = BigInt(Math.round(startedAtMs)) * 1_000_000n;
  const timeOf = (now: Ms): bigint => epochNs + BigInt(Math.round(now * 1e6));
  const beganAt = timeOf(network.now);
  const ends = [...placesByHost(places)].map(([host, interfaces]) => {
    const sink = open(host);
    const packets = interfaces.map(() => 0);
    sink.write(sectionHeader({ hardware: `host ${host} of a simulated world`, application: 'icepath' }));
    for (const { port } of interfaces) sink.write(interfaceDescription(port));
    for (const [id, place] of interfaces.entries()) {
      network.tap(place, (packet, direction, now) => {
        packets[id] = (packets[id] ?? 0) + 1;
        const way = direction === 'sent' ? 'outbound' : 'inbound';
        sink.write(enhancedPacket(id, timeOf(now), encodePacket(packet), way));
      });
    }
    return () => {
      for (const [id, count] of packets.entries())
        sink.write(interfaceStatistics(id, beganAt, timeOf(network.now), count));
    };
  });
  return () => {
    for (const end of ends) end();
  };
}

/** A place is named by its host, and by its interface where the host has several. */
function placesByHost(places: ReadonlyMap<string, Place>): Map<string, Place[]> {
  const hosts = new Map<string, Place[]>();
  for (const [name, place] of places) {
    const [host = name] = name.split('.');
    hosts.set(host, [...(hosts.get(host) ?? []), place]);
  }
  return hosts;
}
