import type { TransportAddress } from '../base/address.js';
import type { Policy } from '../ice/policy.js';
import type { Candidate, Credentials } from '../ice/types.js';
import type { ArmName } from '../mutation/names.js';
import type { ArmRegistry } from '../mutation/registry.js';
import type { TurnServer } from '../turn/types.js';
import type { OpenSocket } from './host.js';
import type { PresentInterfaces } from './near-interfaces.js';
import type { PathNames } from './path-names.js';
import type { DataWay } from './transfer/types.js';

/** Data over the paths that are up, on the sockets of their pairs. */
export interface DataPaths {
  up(path: string, way: OpenSocket | DataWay, remote: TransportAddress): void;
  down(path: string): void;
  socketGone(socket: OpenSocket): void;
  /** Whether a datagram is its own: `known` asks for what is so at first sight. */
  datagram(way: OpenSocket | DataWay, from: TransportAddress, bytes: Uint8Array, known: boolean): boolean;
}

/** What a run gives its ICE agent. */
export interface ConnectivityOptions {
  readonly interfaces: PresentInterfaces;
  readonly paths: PathNames;
  readonly pin: boolean;
  /** Ports that sockets have beside any others: what a filter of ports may let through. */
  readonly ports: readonly number[];
  readonly references: readonly TransportAddress[];
  /** This host's user's, raced on every socket. */
  readonly turn: readonly TurnServer[];
  readonly controlling: boolean;
  readonly credentials: Credentials;
  readonly policy: Policy;
  readonly firstOnly: boolean;
  /** All that may come. */
  readonly arms: ArmRegistry;
  readonly arm: ArmName;
  readonly checksPerPair: number;
  /** Who takes the data that share the sockets (RFC 9443), and is told which paths there are for it. */
  readonly data: DataPaths | null;
  readonly signal: {
    candidate(candidate: Candidate): void;
    candidatesEnd(): void;
  };
}
