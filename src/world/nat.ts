import { integerBetween, type Random } from '../base/random.js';
import type { Ms } from '../base/time.js';
import { FlowTable, makeRoom, REMEMBERED } from './bounded.js';
import type { Box, Emit, Side } from './box.js';
import {
  type IcmpErrorPacket,
  isIcmpError,
  type Packet,
  type Protocol,
  withDestination,
  withQuoted,
  withSource,
} from './packet.js';

/** A NAT in the words of RFC 4787; "REQ" are its requirements. */
export interface NatOptions {
  /** §4.1: what else a mapping depends on: nothing (REQ-1), the far address, the far address and port. */
  readonly mapping: 'eim' | 'adm' | 'apdm';
  /** §5, REQ-8: who may answer: anybody, addresses that were sent to, addresses and ports that were sent to. */
  readonly filtering: 'eif' | 'adf' | 'apdf';
  /** §4.2.1: the inside port where it is free, the next one, or any. */
  readonly ports: 'preserving' | 'contiguous' | 'random';
  /** The outside addresses. */
  readonly pool: readonly string[];
  /** REQ-2: one outside address for each host inside, or any of the pool for each mapping. */
  readonly pooling?: 'paired' | 'arbitrary';
  /** REQ-5: two minutes at least. */
  readonly lifetimeMs?: Ms;
  /** REQ-6: outbound traffic always refreshes a mapping; does inbound? */
  readonly inboundRefreshes?: boolean;
  /** REQ-9, and what source the packet then shows: `external` is what the RFC asks for. */
  readonly hairpin?: 'none' | 'external' | 'internal';
  /** Mappings; when all are taken, new ones are refused and their packets dropped (RFC 6888 REQ-4). */
  readonly capacity?: number;
}

interface Mapping {
  readonly key: string;
  readonly outsideKey: string;
  readonly inside: string;
  readonly insidePort: number;
  readonly outside: string;
  readonly outsidePort: number;
  /** Whom the inside has sent to, as filtering looks at it; of too many the first is forgotten. */
  readonly contacted: Set<string>;
  expiresAt: Ms;
}

const DEFAULT_LIFETIME_MS: Ms = 120_000;
const LAST_PORT = 0xffff;
const FIRST_PORT = 1024;
/** Half of one address's ports: a free one is then found soon. */
const DEFAULT_CAPACITY = 32_768;

/** A NAPT for IPv4. Inside addresses are opaque to it: NAT64 puts IPv6 ones there. */
export class Nat implements Box {
  readonly #options: NatOptions;
  readonly #random: Random;
  readonly #mappings: FlowTable<Mapping>;
  readonly #byOutside = new Map<string, Mapping>();
  readonly #paired = new Map<string, string>();
  #nextPort: number;

  constructor(options: NatOptions, random: Random) {
    if (options.pool.length === 0) throw new RangeError('a NAT needs an outside address');
    this.#options = options;
    this.#random = random;
    this.#mappings = new FlowTable(options.capacity ?? DEFAULT_CAPACITY, (mapping) => {
      this.#byOutside.delete(mapping.outsideKey);
    });
    this.#nextPort = integerBetween(random, FIRST_PORT, LAST_PORT);
  }

  handle(packet: Packet, from: Side, now: Ms, emit: Emit): void {
    if (packet.family !== 'ipv4') emit(packet, from === 'inside' ? 'outside' : 'inside');
    else if (from === 'inside') this.#outbound(packet, now, emit);
    else this.#inbound(packet, now, emit);
  }

  restart(): void {
    this.#mappings.clear();
  }

  #outbound(packet: Packet, now: Ms, emit: Emit): void {
    const translated = isIcmpError(packet) ? this.#outboundError(packet, now) : this.#outboundPlain(packet, now);
    if (!translated) return;
    if (!this.#options.pool.includes(packet.destination)) emit(translated, 'outside');
    else if (this.#options.hairpin === 'external') this.#inbound(translated, now, emit);
    else if (this.#options.hairpin === 'internal') {
      this.#inbound(translated, now, (looped, to) => {
        emit(withSource(looped, packet.source, packet.sourcePort), to);
      });
    }
  }

  #outboundPlain(packet: Packet, now: Ms): Packet | null {
    const { source, sourcePort, destination, destinationPort, protocol } = packet;
    const mapping =
      this.#mappingOf(protocol, source, sourcePort, destination, destinationPort, now) ?? this.#map(packet, now);
    if (!mapping) return null;
    const permission = this.#permission(destination, destinationPort);
    if (!mapping.contacted.has(permission)) makeRoom(mapping.contacted, REMEMBERED);
    mapping.contacted.add(permission);
    mapping.expiresAt = now + (this.#options.lifetimeMs ?? DEFAULT_LIFETIME_MS);
    return withSource(packet, mapping.outside, mapping.outsidePort);
  }

  /** RFC 5508 §4.2: what the inside quotes as sent to itself was sent to the mapping. */
  #outboundError(error: IcmpErrorPacket, now: Ms): Packet | null {
    const { quoted } = error.icmp;
    const { protocol, source, sourcePort, destination, destinationPort } = quoted;
    const mapping = this.#mappingOf(protocol, destination, destinationPort, source, sourcePort, now);
    if (!mapping) return null;
    const { outside, outsidePort } = mapping;
    return withQuoted({ ...error, source: outside }, withDestination(quoted, outside, outsidePort));
  }

  #inbound(packet: Packet, now: Ms, emit: Emit): void {
    if (isIcmpError(packet)) {
      this.#inboundError(packet, now, emit);
      return;
    }
    const mapping = this.#at(packet.protocol, packet.destination, packet.destinationPort, now);
    if (!mapping || !this.#admits(mapping, packet)) return;
    if (this.#options.inboundRefreshes === true)
      mapping.expiresAt = now + (this.#options.lifetimeMs ?? DEFAULT_LIFETIME_MS);
    emit(withDestination(packet, mapping.inside, mapping.insidePort), 'inside');
  }

  /** REQ-10, RFC 5508 §4.1: an error goes to whom the quoted packet came from, and ends no mapping. */
  #inboundError(error: IcmpErrorPacket, now: Ms, emit: Emit): void {
    const { quoted } = error.icmp;
    const mapping = this.#at(quoted.protocol, quoted.source, quoted.sourcePort, now);
    if (!mapping) return;
    const { inside, insidePort } = mapping;
    emit(withQuoted({ ...error, destination: inside }, withSource(quoted, inside, insidePort)), 'inside');
  }

  #admits(mapping: Mapping, { source, sourcePort }: Packet): boolean {
    return this.#options.filtering === 'eif' || mapping.contacted.has(this.#permission(source, sourcePort));
  }

  #permission(address: string, port: number): string {
    switch (this.#options.filtering) {
      case 'eif':
        return '';
      case 'adf':
        return address;
      case 'apdf':
        return `${address} ${port}`;
    }
  }

  #insideKey(protocol: Protocol, inside: string, port: number, remote: string, remotePort: number): string {
    switch (this.#options.mapping) {
      case 'eim':
        return `${protocol} ${inside} ${port}`;
      case 'adm':
        return `${protocol} ${inside} ${port} ${remote}`;
      case 'apdm':
        return `${protocol} ${inside} ${port} ${remote} ${remotePort}`;
    }
  }

  #mappingOf(
    protocol: Protocol,
    inside: string,
    port: number,
    remote: string,
    remotePort: number,
    now: Ms,
  ): Mapping | null {
    return this.#mappings.get(this.#insideKey(protocol, inside, port, remote, remotePort), now);
  }

  #at(protocol: Protocol, outside: string, port: number, now: Ms): Mapping | null {
    return this.#mappings.alive(this.#byOutside.get(outsideKey(protocol, outside, port)), now);
  }

  #map({ protocol, source, sourcePort, destination, destinationPort }: Packet, now: Ms): Mapping | null {
    if (!this.#mappings.hasRoom(now)) return null;
    const outside = this.#poolAddress(source);
    const outsidePort = this.#freePort(protocol, outside, sourcePort, now);
    if (outsidePort === null) return null;
    const mapping: Mapping = {
      key: this.#insideKey(protocol, source, sourcePort, destination, destinationPort),
      outsideKey: outsideKey(protocol, outside, outsidePort),
      inside: source,
      insidePort: sourcePort,
      outside,
      outsidePort,
      contacted: new Set(),
      expiresAt: now,
    };
    this.#mappings.add(mapping, now);
    this.#byOutside.set(mapping.outsideKey, mapping);
    return mapping;
  }

  #poolAddress(inside: string): string {
    const { pool, pooling = 'paired' } = this.#options;
    const drawn = pool[pool.length === 1 ? 0 : integerBetween(this.#random, 0, pool.length - 1)] ?? '';
    if (pooling === 'arbitrary') return drawn;
    const paired = this.#paired.get(inside);
    if (paired !== undefined) return paired;
    makeRoom(this.#paired, DEFAULT_CAPACITY);
    this.#paired.set(inside, drawn);
    return drawn;
  }

  /** REQ-3: no two mappings share an outside port, one below 1024 gets one below 1024; `null`: all are taken. */
  #freePort(protocol: Protocol, outside: string, wanted: number, now: Ms): number | null {
    const [low, high] = wanted < FIRST_PORT ? [1, FIRST_PORT - 1] : [FIRST_PORT, LAST_PORT];
    const isFree = (port: number): boolean => this.#at(protocol, outside, port, now) === null;
    if (this.#options.ports === 'preserving' && isFree(wanted)) return wanted;
    const isNext = this.#options.ports === 'contiguous' && this.#nextPort >= low && this.#nextPort <= high;
    const start = isNext ? this.#nextPort : integerBetween(this.#random, low, high);
    const span = high - low + 1;
    for (let tried = 0; tried < span; tried += 1) {
      const port = low + ((start - low + tried) % span);
      if (!isFree(port)) continue;
      this.#nextPort = port + 1;
      return port;
    }
    return null;
  }
}

function outsideKey(protocol: Protocol, outside: string, port: number): string {
  return `${protocol} ${outside} ${port}`;
}
