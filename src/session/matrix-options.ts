import type { Family, TransportAddress } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import type { ArmName } from '../mutation/names.js';
import type { ArmRegistry } from '../mutation/registry.js';
import type { MatrixDesign } from './matrix-design.js';
import type { PresentInterfaces } from './near-interfaces.js';
import type { PathNames } from './path-names.js';

/** One socket of a block as the far end is told of it. */
export interface MatrixEnd {
  readonly interface: string;
  readonly family: Family;
  readonly arm: ArmName;
  /** Where it can be reached: its own address, and its reflexive one where that differs. */
  readonly addresses: readonly TransportAddress[];
}

export interface MatrixOptions {
  readonly interfaces: PresentInterfaces;
  readonly paths: PathNames;
  readonly arms: readonly ArmName[];
  /** Where those are known by name. */
  readonly registry: ArmRegistry;
  readonly references: readonly TransportAddress[];
  readonly sessionKey: Uint8Array;
  readonly pin: boolean;
  readonly design?: MatrixDesign;
  /** Other ports of the reference host that an interface may ask by now. */
  readonly ports: (on: HostInterface, family: Family) => readonly number[];
  /** The sockets of a block are open and know their reflexive addresses, or some are gone: tell the far end. */
  readonly ready: (block: number, ends: readonly MatrixEnd[]) => void;
  /** The rounds of a block begin. */
  readonly started: () => void;
  /** The rounds of a block are over, late packets included. */
  readonly done: (block: number) => void;
}
