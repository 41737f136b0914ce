import type { Family, TransportAddress } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import type { Ms } from '../base/time.js';
import type { ArmName } from '../mutation/names.js';
import { REFERENCE_BYTES } from '../mutation/reference.js';
import type { OpenSocket } from './host.js';
import type { MatrixEnd } from './matrix-options.js';
import type { ReferenceLeg } from './reference-leg.js';

/** A packet counts once in what bounds a round, a long one as so many. */
export function weightOf(lengthBytes = REFERENCE_BYTES): number {
  return Math.max(1, Math.ceil(lengthBytes / REFERENCE_BYTES));
}

/** Of a far socket. */
export function keyOf({ interface: on, arm }: MatrixEnd, { address, port }: TransportAddress): string {
  return `${on} ${arm} ${address} ${String(port)}`;
}

/** What an arm has of a block at an address of this host. */
export interface Slot {
  readonly interface: HostInterface;
  readonly family: Family;
  readonly address: string;
  readonly arm: ArmName;
  socket: OpenSocket | null;
  failed: boolean;
  readonly leg: ReferenceLeg | null;
}

export interface Block {
  readonly number: number;
  slots: Slot[];
  remote: readonly MatrixEnd[] | null;
  /** Far sockets that are still there, where the far end has said of some that they are not: as {@link keyOf} has them. */
  left: ReadonlySet<string> | null;
  announced: boolean;
  gatherUntil: Ms;
  /** The planned sends of all rounds, soonest first, and how many of them are done. */
  readonly plan: { readonly at: Ms; readonly send: () => void }[];
  sent: number;
  endsAt: Ms;
}
