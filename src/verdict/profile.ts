import type { Ms } from '../base/time.js';
import type { PathState, Role } from './words.js';

/** `report.profile`: what somebody else's schedule (`--profile`) found between the same two hosts. Times: since its call began. */
export interface ProfileReport {
  readonly name: string;
  readonly title: string;
  /** Whether a direct path was found, by either end; which, and when it was in use. */
  readonly found: boolean;
  readonly path: string | null;
  readonly firstPathMs: Ms | null;
  /** When a relay was first in use. Reference hosts stand in for relays: they answer, and relay nothing. */
  readonly relayMs: Ms | null;
  readonly standIns: number;
  /** Where no direct path was found: from the first probe to the last, at the end that went on for longer. */
  readonly gaveUpAfterMs: Ms | null;
  readonly paths: readonly ProfilePath[];
  readonly keepalives: Readonly<Record<Role, ProfileCadence>>;
  readonly idle: Readonly<Record<Role, ProfileCadence>>;
  readonly trains: Readonly<Record<Role, ProfileCadence>>;
  /** What each end used from when on: a path, the relay over an interface, or nothing. */
  readonly used: readonly {
    readonly host: Role;
    readonly atMs: Ms;
    readonly on: 'direct' | 'relay' | 'nothing';
    readonly path: string | null;
    readonly interface: string | null;
  }[];
  /** When an end had nothing that it used, after it had something; `untilMs` null: to the end. */
  readonly gaps: readonly { readonly host: Role; readonly fromMs: Ms; readonly untilMs: Ms | null }[];
  /** What it found once an interface of an end was back; none where none came back. */
  readonly again: readonly ProfileAgain[];
  /** The same for people, a sentence each. */
  readonly says: readonly string[];
}

export interface ProfilePath {
  readonly path: string;
  /** Probes of each end, those that came to the other, and those that the other answered. */
  readonly probes: Readonly<Record<Role, number>>;
  readonly heard: Readonly<Record<Role, number>>;
  readonly answered: Readonly<Record<Role, number>>;
}

/**
 * The probes of an end whose interface was back: those that the other end logged since, and those that it answered. A
 * path's words for what that makes (verdicts.md): `unresponsive` where they came and none was answered. Nothing of it says
 * that anybody blocks: an end that sends nothing opens no NAT.
 */
export interface ProfileAgain {
  readonly host: Role;
  readonly interface: string;
  readonly atMs: Ms;
  readonly probes: number;
  readonly heard: number;
  readonly answered: number;
  readonly state: Extract<PathState, 'established' | 'unresponsive' | 'inconclusive' | 'unprobed'>;
}

export interface ProfileCadence {
  readonly sent: number;
  readonly answered: number;
  /** Of keepalives: since the path was in use. */
  readonly firstAfterMs: Ms | null;
  /** The median. */
  readonly everyMs: Ms | null;
}
