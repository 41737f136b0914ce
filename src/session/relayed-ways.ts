import { formatTransportAddress, type TransportAddress } from '../base/address.js';
import type { Ms } from '../base/time.js';
import type { BaseId, PairView } from '../ice/types.js';
import { datagramKind } from '../quic/endpoint/demultiplex.js';
import type { DataPaths } from './connectivity-options.js';
import type { Host } from './host.js';
import { endsOf } from './pair-summary.js';
import type { Relays } from './relays.js';
import { type DataWay, relayedPath } from './transfer/types.js';

/**
 * The ways by a relay, of either end, that data may take as long as no direct one is there: each path has one at most. They
 * are paths of QUIC's of their own, for backup.
 */
export class RelayedWays {
  readonly #host: Host;
  readonly #relays: Relays;
  readonly #data: DataPaths | null;
  /** By path: the pairs that are valid now, the one that is used first. */
  readonly #pairs = new Map<string, PairView[]>();
  /** Of this end's relays, by the base that they are. */
  readonly #ways = new Map<BaseId, DataWay>();

  constructor(host: Host, relays: Relays, data: DataPaths | null) {
    this.#host = host;
    this.#relays = relays;
    this.#data = data;
  }

  /** A pair on which a relay is answered. */
  valid(path: string, pair: PairView, rttMs: Ms): void {
    this.#relays.bind(pair.base, pair.remote.address);
    this.#host.record({ type: 'relayed', path, rttMs, ...endsOf(pair) });
    const pairs = this.#pairs.get(path) ?? [];
    if (pairs.some(({ id }) => id === pair.id)) return;
    const [used] = pairs;
    const isFirst = used === undefined || this.#relays.isNewer(pair.remote.address, used.remote.address);
    this.#pairs.set(path, isFirst ? [pair, ...pairs] : [...pairs, pair]);
    if (isFirst) this.#carry(path, pair);
  }

  /** It is no longer: its relay is gone, or it was silent for too long. */
  lost({ id }: PairView): void {
    for (const [path, pairs] of this.#pairs) {
      if (!pairs.some((pair) => pair.id === id)) continue;
      const left = pairs.filter((pair) => pair.id !== id);
      this.#pairs.set(path, left);
      if (pairs[0]?.id !== id) continue;
      if (left[0]) this.#carry(path, left[0]);
      else this.#data?.down(relayedPath(path));
    }
  }

  /** Takes what a peer sent to a relay of this end's, where it is data: nothing but QUIC and plain STUN goes by a relay. */
  datagram(base: BaseId, from: TransportAddress, bytes: Uint8Array): boolean {
    const way = this.#wayOf(base);
    return way !== null && datagramKind(bytes) === 'quic' && this.#data?.datagram(way, from, bytes, false) === true;
  }

  /** The data of a path go over this pair. */
  #carry(path: string, { base, remote }: PairView): void {
    const way = this.#relays.owns(base) ? this.#wayOf(base) : this.#host.socket(base);
    if (way) this.#data?.up(relayedPath(path), way, remote.address);
    this.#host.log('debug', 'path.relayed', { path, remote: formatTransportAddress(remote.address) });
  }

  #wayOf(base: BaseId): DataWay | null {
    const known = this.#ways.get(base);
    const local = known?.local ?? this.#relays.addressOf(base);
    if (local === null) return null;
    const way = known ?? {
      local,
      send: (to: TransportAddress, bytes: Uint8Array) => {
        this.#relays.sendData(base, to, bytes);
      },
    };
    this.#ways.set(base, way);
    return way;
  }
}
