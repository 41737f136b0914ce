import type { Family, TransportAddress } from '../base/address.js';
import type { InterfaceKind } from '../base/interface.js';
import type { Ms } from '../base/time.js';

/** Who begins the call: icepath's client. */
export type CallRole = 'caller' | 'callee';

/** A socket at a local address. */
export interface ProfileBase {
  readonly id: string;
  readonly interface: string;
  readonly kind: InterfaceKind;
  readonly address: TransportAddress;
  readonly prefixLength: number;
}

/** Where the far end says that it can be reached. */
export interface ProfileCandidate {
  readonly interface: string;
  readonly kind: InterfaceKind;
  readonly address: TransportAddress;
  readonly reflexive: boolean;
}

/** What is told of a play, a word each. */
export const PLAY_WORDS = [
  'began',
  'interface-down',
  'interface-up',
  'relay-asked',
  'relay-answered',
  'probe',
  /** The far end's probe came; `answer`: and was answered. */
  'heard',
  'answer',
  /** A probe of ours was answered; the first time on an address it is `found`. */
  'found',
  'gave-up',
  /** What is used from now on: `on`. */
  'active',
  'keepalive',
  'keepalive-answered',
  'idle',
  'idle-answered',
  'train',
  'train-answered',
  'ended',
] as const;

export interface PlayEvent {
  readonly what: (typeof PLAY_WORDS)[number];
  /** Of this end; `null` where it is about none. */
  readonly interface: string | null;
  /** Of the far end, of what is sent to or heard from it. */
  readonly far: string | null;
  readonly family: Family | null;
  /** Of `active`. */
  readonly on?: 'direct' | 'relay' | 'nothing';
  /** A round trip; of `gave-up` the time from the first probe to the last. */
  readonly ms?: Ms;
}

export type PlayInput =
  /** Before the call: each socket asks for its reflexive address, so that the far end can be told. Signalling is not played. */
  | { readonly type: 'prepare' }
  /** Both ends are ready: the call begins. */
  | { readonly type: 'begin' }
  /** All sockets that there are now. */
  | { readonly type: 'bases'; readonly bases: readonly ProfileBase[] }
  /** All addresses of the far end that it has now. */
  | { readonly type: 'far'; readonly candidates: readonly ProfileCandidate[] }
  | {
      readonly type: 'datagram';
      readonly base: string;
      readonly from: TransportAddress;
      readonly bytes: Uint8Array;
    }
  | { readonly type: 'end' }
  | { readonly type: 'timeout' };

export type PlayOutput =
  | { readonly type: 'send'; readonly base: string; readonly to: TransportAddress; readonly bytes: Uint8Array }
  /** All addresses of this end that it has now, for the far end. */
  | { readonly type: 'candidates'; readonly candidates: readonly ProfileCandidate[] }
  | { readonly type: 'event'; readonly event: PlayEvent };
