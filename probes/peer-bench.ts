import type { Family } from '../src/base/address.js';
import type { Random } from '../src/base/random.js';
import type { Ms } from '../src/base/time.js';
import type { PacketSpec } from '../src/mutation/trial-packet.js';
import type { Trial } from '../src/verdict/trial.js';
import type { Role } from '../src/verdict/words.js';
import type { Experiment } from './probe.js';

/**
 * What an experiment between the two ends works with. It runs at the client, which decides for both; the far end opens
 * the sockets and sends the packets that it is told to, and both records come together again. An experiment is written
 * as it is told: it opens flows, fires shots, looks at what became of them, and goes on.
 */
export interface PeerBench {
  readonly now: Ms;
  readonly random: Random;
  /** The path under test. */
  readonly family: Family;
  /**
   * Fresh 5-tuples: a socket at each end, which has learned its reflexive address and told it to the other. Nothing
   * has been sent from the one to the other yet, so the first shot is the first packet that a box on the way sees of
   * it. Flows that could not be opened are left out.
   */
  open(count: number, options?: FlowOptions): Experiment<readonly Flow[]>;
  /**
   * Both ends send their shots when these are due, counted from a moment that the two agree on within one way of the
   * control channel. Ends `waitMs` after the last one, when both ends' records are here, with the trials of these
   * shots in the order given.
   */
  fire(shots: readonly Shot[], waitMs?: Ms): Experiment<readonly Trial[]>;
  close(flow: Flow): void;
  /** It takes so much longer from now on, which is known only now. */
  extend(spanMs: Ms): void;
  /** A condition that becomes true after `spanMs`. */
  pause(spanMs: Ms): () => boolean;
}

export interface FlowOptions {
  /** The local port to bind at an end; any by default. */
  readonly ports?: Partial<Readonly<Record<Role, number>>>;
}

export interface Flow {
  readonly number: number;
}

export interface Shot {
  readonly flow: Flow;
  readonly from: Role;
  /** The far end by default. */
  readonly to?: 'peer' | 'reference';
  /** After the shots begin. */
  readonly afterMs: Ms;
  /** By default the control arm, of its own length and TTL. */
  readonly packet?: Partial<PacketSpec>;
}

/** The arm's own packet with what a shot changes. */
export function packetOf(shot: Shot): PacketSpec {
  return { arm: 'random', lengthBytes: null, graft: null, ttl: null, ...shot.packet };
}

/**
 * Opens the NATs and firewalls of both ends for a flow: some control packets from each, crossing in flight. Shots that
 * come after `openedMs` find the way open in both directions.
 */
export function openers(flow: Flow, count = 3, everyMs: Ms = 60): Shot[] {
  return Array.from({ length: count }, (_, index) =>
    (['client', 'server'] as const).map((from): Shot => ({ flow, from, afterMs: index * everyMs })),
  ).flat();
}
