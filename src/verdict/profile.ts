import type { Ms } from '../base/time.js';
import type { Role } from './words.js';

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

export interface ProfileCadence {
  readonly sent: number;
  readonly answered: number;
  /** Of keepalives: since the path was in use. */
  readonly firstAfterMs: Ms | null;
  /** The median. */
  readonly everyMs: Ms | null;
}
