import type { Family, TransportAddress } from '../base/address.js';
import type { InterfaceKind } from '../base/interface.js';
import type { Ms } from '../base/time.js';
import type { ArmName } from '../mutation/names.js';

/** Names a local socket: one per local address. Everything a driver hands to the agent names the socket it came by. */
export type BaseId = string;

/** RFC 8445 §5.1.1. */
export type CandidateType = 'host' | 'srflx' | 'prflx' | 'relay';

/** A local address that the agent may send from: one socket. */
export interface Base {
  readonly id: BaseId;
  readonly address: TransportAddress;
  /** The name, kind and label of the interface that the socket is pinned to. */
  readonly interface: string;
  readonly kind: InterfaceKind;
  readonly label: string;
  /** A base that joined later, for one path alone: it pairs with candidates of this name only. */
  readonly group?: string;
  /** The arm of its checks from the first on; the agent's own where nothing is said. */
  readonly arm?: ArmName;
  /** Its reflexive address is asked for by others: no STUN server hears of it from the agent. */
  readonly gathered?: true;
  /** It is a TURN allocation and `address` the relayed one; what is sent from it goes through the server. */
  readonly relay?: {
    readonly server: TransportAddress;
    /** What the server saw of the socket that the allocation was made from: `raddr` (RFC 8445 §5.1.1.2). */
    readonly mapped: TransportAddress;
  };
}

/** A candidate as both ends know it (RFC 8839 §5.1), with the interface that it belongs to. */
export interface Candidate {
  readonly type: CandidateType;
  readonly address: TransportAddress;
  readonly foundation: string;
  readonly component: 1;
  /** RFC 8445 §5.1.2.1; its local preference (bits 8–23) is unique per base and so names the base. */
  readonly priority: number;
  /** The base's address (`raddr`/`rport`) of a reflexive candidate; of a relayed one what its server saw. */
  readonly related?: TransportAddress;
  /** The interface at its owner: `null` where a far end that is not icepath did not say. */
  readonly interface: string | null;
  readonly kind: InterfaceKind | null;
  readonly label: string | null;
  /** That of its {@link Base}. */
  readonly group?: string;
}

export interface LocalCandidate extends Candidate {
  readonly base: BaseId;
  readonly interface: string;
  readonly kind: InterfaceKind;
  readonly label: string;
  /** That of its {@link Base}: not for the far end. */
  readonly arm?: ArmName;
}

export interface Credentials {
  /** RFC 8445 §5.3: at least 4 ice-chars. */
  readonly ufrag: string;
  /** At least 22 ice-chars. */
  readonly password: string;
}

/** RFC 8445 §6.1.2.6, and `valid` for a pair whose check succeeded. */
export type PairState = 'frozen' | 'waiting' | 'in-progress' | 'succeeded' | 'failed';

/** What the agent says of a pair when asked; the join key of everything the session records about it. */
export interface PairView {
  readonly id: string;
  readonly family: Family;
  readonly base: BaseId;
  readonly local: LocalCandidate;
  readonly remote: Candidate;
  readonly state: PairState;
  readonly valid: boolean;
  readonly nominated: boolean;
  readonly selected: boolean;
  readonly arm: ArmName;
  /** RFC 8445 §6.1.2.3, after the policy. */
  readonly priority: bigint;
  readonly requestsSent: number;
  readonly responsesReceived: number;
  readonly requestsReceived: number;
  readonly rttMs: { readonly min: Ms; readonly median: Ms } | null;
}

export type IceInput =
  /** A socket opened: its host candidate is made and its server-reflexive one gathered. */
  | { readonly type: 'base'; readonly base: Base }
  /** No more bases will come. */
  | { readonly type: 'bases-end' }
  /** A socket died (interface down): its candidates and pairs are withdrawn. */
  | { readonly type: 'base-lost'; readonly base: BaseId }
  | { readonly type: 'remote-credentials'; readonly credentials: Credentials; readonly lite: boolean }
  | { readonly type: 'remote-candidate'; readonly candidate: Candidate }
  | { readonly type: 'remote-candidates-end' }
  /** A datagram with its mutation already undone; `arm` is the arm that it came in, the answer goes out in the same. */
  | {
      readonly type: 'datagram';
      readonly base: BaseId;
      readonly from: TransportAddress;
      readonly message: Uint8Array;
      readonly arm: ArmName;
    }
  /** The kernel refused a send (`code`: EHOSTUNREACH, ENETUNREACH, EPERM …). */
  | { readonly type: 'send-failed'; readonly transaction: string; readonly code: string }
  /** From now on checks of this pair go out in `arm`; the pair is checked again with it. */
  | { readonly type: 'pair-arm'; readonly pair: string; readonly arm: ArmName }
  /** One more check (purpose `consent`) on a pair that is valid, now: is the far end still there? */
  | { readonly type: 'verify'; readonly pair: string }
  /** The reflexive address of a base, found by other means (a STUN filter on the way to the server): a srflx candidate. */
  | { readonly type: 'reflexive'; readonly base: BaseId; readonly mapped: TransportAddress }
  /** RFC 8445 §9: new local credentials; pairs start over, the selected pair stays in use until a new one is. */
  | { readonly type: 'restart'; readonly credentials: Credentials }
  | { readonly type: 'timeout' };

export type SendPurpose = 'gather' | 'check' | 'consent' | 'response' | 'keepalive';

export type IceOutput =
  /** A standard STUN message; the caller mutates it into `arm` as the last step. */
  | {
      readonly type: 'send';
      readonly base: BaseId;
      readonly to: TransportAddress;
      readonly message: Uint8Array;
      readonly arm: ArmName;
      readonly purpose: SendPurpose;
      /** The transaction id, 24 hex digits. */
      readonly transaction: string;
      readonly pair: string | null;
    }
  /** A local candidate to signal (trickle, RFC 8838). */
  | { readonly type: 'candidate'; readonly candidate: LocalCandidate }
  | { readonly type: 'candidates-end' }
  | { readonly type: 'pair-state'; readonly pair: PairView; readonly from: PairState }
  /** A check of this pair succeeded: both directions work. Once a pair and arm. */
  | { readonly type: 'valid'; readonly pair: PairView; readonly rttMs: Ms }
  | { readonly type: 'selected'; readonly pair: PairView }
  /** A pair that was valid is no longer: no answer for the consent lifetime (RFC 7675), or its socket died. */
  | { readonly type: 'consent-lost'; readonly pair: PairView; readonly reason: 'expired' | 'base-lost' }
  /** A STUN server answered this base: what it saw. */
  | {
      readonly type: 'reflexive';
      readonly base: BaseId;
      readonly server: TransportAddress;
      readonly mapped: TransportAddress;
      readonly arm: ArmName;
    }
  | { readonly type: 'role-changed'; readonly controlling: boolean }
  /** Every pair has had its checks (mode `all`), or one is selected (mode `first-only`). */
  | { readonly type: 'checks-done' };
