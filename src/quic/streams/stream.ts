import type { StreamDirection } from '../wire/frames.js';
import type { ReceiveStream } from './receive-stream.js';
import type { SendStream } from './send-stream.js';

export interface Stream {
  readonly id: number;
  /** `null` on a stream that only the far end sends on. */
  readonly send: SendStream | null;
  /** `null` on a stream that only this end sends on. */
  readonly receive: ReceiveStream | null;
}

/** What this end takes; the parameters say the first limits, auto-tuning may go up to these. */
export interface StreamLimits {
  readonly mostStreamWindowBytes: number;
  readonly mostConnectionWindowBytes: number;
}

export type StreamEvent =
  | { readonly type: 'opened'; readonly stream: Stream }
  /** Said again only when everything had been read in between. */
  | { readonly type: 'readable'; readonly stream: number }
  /** The far end asks to stop: the answer is a reset with the same code, which is under way. */
  | { readonly type: 'stopped'; readonly stream: number; readonly errorCode: number }
  /** All that was written, and the end, has arrived. */
  | { readonly type: 'delivered'; readonly stream: number }
  /** More streams may be opened, after one could not. */
  | { readonly type: 'allowed'; readonly direction: StreamDirection };
