import type { Probe, ProbeOutput } from '../../probes/probe.js';
import { sameAddress, transportAddress, type TransportAddress } from '../../src/base/address.js';
import { drain } from '../../src/base/machine.js';
import { fraction, integerBetween, SeededRandom } from '../../src/base/random.js';
import type { Ms } from '../../src/base/time.js';
import {
  buildReferenceRequest,
  recogniseReferenceAnswer,
  recogniseReferenceRequest,
} from '../../src/mutation/reference.js';
import { Reflector } from '../../src/session/reflector.js';
import { type NatBehaviour, SimulatedNat } from './nat.js';

export const REFERENCE = transportAddress('198.51.100.10', 3478);
export const ALTERNATE = transportAddress('203.0.113.20', 3479);
export const INSIDE = '192.168.1.2';
export const OUTSIDE = '192.0.2.77';

export interface NetworkOptions {
  readonly seed: string | number;
  readonly nat: NatBehaviour;
  /** Share of packets lost each way, independently. */
  readonly loss?: number;
  /** Everything is lost in spans of this length, for a quarter of the time. */
  readonly burstMs?: Ms;
  readonly alternate?: TransportAddress | null;
  /** Packets for which it is true are dropped between the host and its NAT, either way. */
  readonly drops?: (bytes: Uint8Array) => boolean;
  /** Addresses of the reference that nobody can reach. */
  readonly dead?: readonly TransportAddress[];
  readonly oneWayMs?: Ms;
  /** Routers up to and including the NAT, which a TTL has to cross; as many again lie between it and the reference. */
  readonly natHop?: number;
  readonly sockets?: 'none';
  /** No probe takes longer. */
  readonly longestMs?: Ms;
}

export interface Run<Result> {
  readonly result: Result;
  readonly elapsedMs: Ms;
  readonly queries: readonly (ProbeOutput<Result> & { type: 'query' })[];
  readonly stillOpen: number;
}

/** One probe on one host, a NAT, loss, and the real reflector machine at the other end, on a virtual clock. */
export function runProbe<Result>(probe: Probe<Result>, options: NetworkOptions): Run<Result> {
  const random = new SeededRandom(options.seed);
  const nat = new SimulatedNat(options.nat, OUTSIDE, random, () => now);
  const alternate = options.alternate === undefined ? ALTERNATE : options.alternate;
  const reflector = new Reflector({ listen: REFERENCE, alternate, ports: [], random });
  const reflectorSockets = new Map<string, TransportAddress>();
  const sockets = new Map<string, TransportAddress>();
  const asked = new Map<string, { socket: string; id: number; arm: string }>();
  const queries: Run<Result>['queries'][number][] = [];
  const events: { at: Ms; run: () => void }[] = [];
  const nonce = random.bytes(8);
  let now = 0;
  let counter = 0;
  const results: Result[] = [];

  let burst = { from: 0, until: 0 };
  const inBurst = (length: Ms): boolean => {
    while (now >= burst.until) {
      const from = burst.until + integerBetween(random, 0, 6 * length);
      burst = { from, until: from + length };
    }
    return now >= burst.from;
  };
  const lost = (): boolean =>
    fraction(random) < (options.loss ?? 0) || (options.burstMs !== undefined && inBurst(options.burstMs));
  const dead = (address: TransportAddress): boolean => (options.dead ?? []).some((one) => sameAddress(one, address));
  const travel = (run: () => void): void => {
    if (lost()) return;
    events.push({ at: now + (options.oneWayMs ?? 20) + integerBetween(random, 0, 5), run });
  };

  const pumpReflector = (): void => {
    for (const output of drain(reflector)) {
      if (output.type === 'open') {
        reflectorSockets.set(output.socket, output.address);
        reflector.handle({ type: 'opened', socket: output.socket, local: output.address, pinned: false }, now);
      } else if (output.type === 'send') {
        const from = reflectorSockets.get(output.socket);
        if (!from || dead(from)) continue;
        travel(() => {
          const to = nat.inbound(from, output.to);
          if (to) receive(from, to, output.bytes);
        });
      }
    }
  };

  const receive = (from: TransportAddress, to: TransportAddress, bytes: Uint8Array): void => {
    if (options.drops?.(bytes)) return;
    const socket = [...sockets].find(([, local]) => sameAddress(local, to))?.[0];
    const answer = recogniseReferenceAnswer(bytes, (id) => asked.get(id)?.arm);
    const query = answer && asked.get(answer.id);
    const looped = asked.get(recogniseReferenceRequest(bytes)?.id ?? '');
    if (socket && looped) probe.handle({ type: 'heard', socket, id: looped.id, from }, now);
    if (!socket || !answer || !query) return;
    const { mapped, origin, other, afterSeconds } = answer;
    probe.handle({ type: 'answer', socket, id: query.id, from, mapped, origin, other, afterSeconds }, now);
  };

  const pumpProbe = (): void => {
    for (let output = probe.poll(); output !== undefined; output = probe.poll()) {
      switch (output.type) {
        case 'open': {
          if (options.sockets === 'none') {
            probe.handle({ type: 'unopened', socket: output.socket }, now);
            break;
          }
          const local = transportAddress(
            INSIDE,
            40_000 + integerBetween(random, 0, 99) * 100 + queries.length + sockets.size,
          );
          sockets.set(output.socket, local);
          probe.handle({ type: 'opened', socket: output.socket, local }, now);
          break;
        }
        case 'close':
          sockets.delete(output.socket);
          break;
        case 'query':
          queries.push(output);
          send(output);
          break;
        case 'result':
          results.push(output.result);
      }
    }
  };

  const send = ({ socket, to, arm, change, id, ttl, afterSeconds }: Run<Result>['queries'][number]): void => {
    const from = sockets.get(socket);
    if (!from) throw new Error(`the probe sends from ${socket}, which is not open`);
    counter += 1;
    const later = afterSeconds === undefined ? {} : { afterSeconds };
    const request = buildReferenceRequest(arm, { counter, random, change, nonce, ...later });
    asked.set(request.id, { socket, id, arm });
    if (options.drops?.(request.bytes)) return;
    if (nat.isOwn(to.address)) {
      const [source, inside] = nat.hairpin(from, to) ?? [];
      if (source && inside) {
        travel(() => {
          receive(source, inside, request.bytes);
        });
      }
      return;
    }
    const { natHop = 1 } = options;
    // A short-lived packet may be lost before the NAT, too.
    if (ttl !== undefined && (ttl <= natHop || lost())) return;
    const outside = nat.outbound(from, to);
    if (dead(to) || (ttl !== undefined && ttl <= 2 * natHop)) return;
    travel(() => {
      const reflectorSocket = [...reflectorSockets].find(([, local]) => sameAddress(local, to))?.[0];
      if (!reflectorSocket) return;
      reflector.handle({ type: 'datagram', socket: reflectorSocket, from: outside, bytes: request.bytes }, now);
      pumpReflector();
    });
  };

  reflector.handle({ type: 'start', startedAt: '', interfaces: [], counters: null }, now);
  pumpReflector();
  probe.handle({ type: 'start' }, now);
  pumpProbe();
  for (let steps = 0; results.length === 0; steps += 1) {
    if (steps > 20_000 || now > (options.longestMs ?? 60_000)) throw new Error(`no result after ${now} ms`);
    events.sort((left, right) => left.at - right.at);
    const next = events[0]?.at ?? Number.POSITIVE_INFINITY;
    now = Math.min(next, probe.deadline(), reflector.deadline());
    if (now === Number.POSITIVE_INFINITY) throw new Error('the probe waits for nothing');
    if (next <= now) events.shift()?.run();
    if (reflector.deadline() <= now) {
      reflector.handle({ type: 'timeout' }, now);
      pumpReflector();
    }
    if (probe.deadline() <= now) probe.handle({ type: 'timeout' }, now);
    pumpProbe();
  }
  return { result: results[0] as Result, elapsedMs: now, queries, stillOpen: sockets.size };
}
