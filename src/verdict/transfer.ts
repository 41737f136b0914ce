import type { Ms } from '../base/time.js';
import { type Role, ROLES, type TransferDirection } from './words.js';

/** What one end counted of a QUIC path: bytes of UDP payload, and datagrams. */
export interface PathCount {
  readonly path: string;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly sentDatagrams: number;
  readonly receivedDatagrams: number;
  /** Declared lost by whoever sent them. */
  readonly lostPackets: number;
  readonly smoothedRttMs: Ms;
}

/** Sums since the transfer began. */
export interface Progress {
  readonly second: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly paths: readonly PathCount[];
}

export interface TransferEnd {
  /** `null`: it never came to data. */
  readonly begunAt: Ms | null;
  /** `null`: its record ends before. */
  readonly over: {
    readonly sentBytes: number;
    readonly receivedBytes: number;
    readonly afterMs: Ms;
    readonly longestPauseMs: Ms;
    readonly longestPauseAt: Ms;
    readonly error: string | null;
  } | null;
  readonly seconds: readonly Progress[];
  /** QUIC uses a path from `at` on, `afterMs` after ICE had proved it. */
  readonly joined: readonly { readonly path: string; readonly at: Ms; readonly afterMs: Ms }[];
  readonly left: readonly { readonly path: string; readonly at: Ms; readonly why: string }[];
}

export interface TransferObservation {
  readonly direction: TransferDirection;
  readonly seconds: number;
  readonly rateBps: number | null;
  readonly client: TransferEnd | null;
  readonly server: TransferEnd | null;
}

/** `report.transfer` (design.md): bytes of the application both ways; of paths, bytes of UDP payload that arrived. */
export interface TransferReport {
  readonly direction: TransferDirection;
  readonly seconds: number;
  readonly rateBps: number | null;
  /** Everything that was sent arrived as it was sent, and both ends know it. */
  readonly complete: boolean;
  /** Why it is not, by the end that says so first. */
  readonly error: string | null;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** The longest time for which a receiver had nothing to read, between the first byte and the last; `at`: since the beginning. */
  readonly longestPauseMs: number;
  readonly longestPauseAtMs: number;
  readonly up: TransferWay | null;
  readonly down: TransferWay | null;
  readonly perPath: readonly TransferPath[];
}

export interface TransferWay {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly goodputBps: number;
  readonly longestPauseMs: number;
}

export interface TransferPath {
  readonly path: string;
  readonly bytes: number;
  /** Of all paths' bytes. */
  readonly share: number;
  readonly goodputBps: number;
  /**
   * Datagrams that one end sent and the other did not get; those on their way at the end count as lost. Where only one end
   * counted: what that one declared lost.
   */
  readonly lossRatio: number;
  readonly rttMs: number;
  /** When the client's data could use it, how long after ICE had proved it, and when they left it. */
  readonly joined: readonly { readonly atMs: number; readonly afterMs: number }[];
  readonly left: readonly { readonly atMs: number; readonly why: string }[];
  /** Bytes that arrived in each second. */
  readonly perSecond: readonly number[];
}

export function transferReport({ direction, seconds, rateBps, client, server }: TransferObservation): TransferReport {
  const ends = [client, server].flatMap((end) => (end ? [end] : []));
  const way = (from: TransferEnd | null, to: TransferEnd | null): TransferWay => {
    const received = lastOf(to)?.receivedBytes ?? 0;
    // A sender whose record ends early has sent at least what came.
    const sent = Math.max(lastOf(from)?.sentBytes ?? 0, received);
    const ms = to?.over?.afterMs ?? 0;
    const longestPauseMs = to?.over?.longestPauseMs ?? 0;
    return { bytesSent: sent, bytesReceived: received, goodputBps: rate(received, ms), longestPauseMs };
  };
  const up = direction === 'download' ? null : way(client, server);
  const down = direction === 'upload' ? null : way(server, client);
  const ways = [up, down].flatMap((one) => (one ? [one] : []));
  const sum = (key: 'bytesSent' | 'bytesReceived'): number => ways.reduce((all, one) => all + one[key], 0);
  const pauses = ends.flatMap(({ over }) => (over ? [over] : []));
  const longest = pauses.reduce<(typeof pauses)[number] | null>(
    (most, one) => (most === null || one.longestPauseMs > most.longestPauseMs ? one : most),
    null,
  );
  const error = ends.find(({ over }) => (over?.error ?? null) !== null)?.over?.error ?? missing(client, server);
  const whole = ways.every(({ bytesSent, bytesReceived }) => bytesSent === bytesReceived);
  return {
    direction,
    seconds,
    rateBps,
    complete: error === null && whole,
    error: error ?? (whole ? null : 'not all that was sent was received'),
    bytesSent: sum('bytesSent'),
    bytesReceived: sum('bytesReceived'),
    longestPauseMs: longest?.longestPauseMs ?? 0,
    longestPauseAtMs: longest?.longestPauseAt ?? 0,
    up,
    down,
    perPath: pathsOf(client, server),
  };
}

function missing(client: TransferEnd | null, server: TransferEnd | null): string | null {
  const ends: Readonly<Record<Role, TransferEnd | null>> = { client, server };
  const silent = ROLES.find((role) => (ends[role]?.over ?? null) === null);
  if (silent === undefined) return null;
  const known = silent === 'server' && ends.client?.over?.error === null;
  const all = ': all that the client sent was acknowledged, and it read all that was sent to it';
  return `the ${silent}'s record ends before the transfer's${known ? all : ''}`;
}

/** What an end said last of its bytes. */
function lastOf(end: TransferEnd | null): { readonly sentBytes: number; readonly receivedBytes: number } | null {
  return end?.over ?? end?.seconds.at(-1) ?? null;
}

function pathsOf(client: TransferEnd | null, server: TransferEnd | null): TransferPath[] {
  const ends = [client, server].flatMap((end) => (end ? [end] : []));
  const last = ends.map((end) => new Map((end.seconds.at(-1)?.paths ?? []).map((count) => [count.path, count])));
  const names = [...new Set(last.flatMap((counts) => [...counts.keys()]))].sort();
  const total = (path: string, key: 'receivedBytes' | 'sentDatagrams' | 'receivedDatagrams' | 'lostPackets'): number =>
    last.reduce((sum, counts) => sum + (counts.get(path)?.[key] ?? 0), 0);
  const all = names.reduce((sum, path) => sum + total(path, 'receivedBytes'), 0);
  const ms = Math.max(0, ...ends.map(({ over }) => over?.afterMs ?? 0));
  return names.map((path) => {
    const bytes = total(path, 'receivedBytes');
    const sent = total(path, 'sentDatagrams');
    const counted = last.length === 2 && last.every((counts) => counts.has(path));
    const lost = counted ? sent - total(path, 'receivedDatagrams') : total(path, 'lostPackets');
    return {
      path,
      bytes,
      share: all === 0 ? 0 : bytes / all,
      goodputBps: rate(bytes, ms),
      lossRatio: sent === 0 ? 0 : Math.max(0, lost / sent),
      rttMs: last[0]?.get(path)?.smoothedRttMs ?? 0,
      joined: (client?.joined ?? [])
        .filter((one) => one.path === path)
        .map(({ at, afterMs }) => ({ atMs: at, afterMs })),
      left: (client?.left ?? []).filter((one) => one.path === path).map(({ at, why }) => ({ atMs: at, why })),
      perSecond: perSecond(ends, path),
    };
  });
}

function perSecond(ends: readonly TransferEnd[], path: string): number[] {
  const seconds = Math.max(0, ...ends.flatMap((end) => end.seconds.map(({ second }) => second)));
  return Array.from({ length: seconds }, (_, index) =>
    ends.reduce((sum, end) => sum + receivedBy(end, path, index + 1) - receivedBy(end, path, index), 0),
  );
}

function receivedBy(end: TransferEnd, path: string, second: number): number {
  const known = end.seconds.findLast((progress) => progress.second <= second);
  return known?.paths.find((count) => count.path === path)?.receivedBytes ?? 0;
}

const rate = (bytes: number, ms: Ms): number => (ms > 0 ? Math.round((bytes * 8000) / ms) : 0);
