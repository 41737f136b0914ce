import type { IcepathError } from '../base/errors.js';

/** One authenticated far end, as the session's driver sees it: messages in both directions until one side ends. */
export interface ControlPort {
  /** The far end's address on the control channel, `ADDRESS:PORT`: for people and logs. */
  readonly peerAddress: string;
  /** What was wrong with the rendezvous that carried it, once it was lost; else nothing. */
  readonly failure?: IcepathError | null;
  /** Takes a JSON object. After `close` or a loss it does nothing. */
  send(message: Readonly<Record<string, unknown>>): void;
  /** Lets what was already sent leave, then ends the connection. `onLost` is not called for it. */
  close(reason: string): void;
  /** Messages in order, decoded from JSON and not validated. Those that came before it was set are delivered then. */
  onMessage: ((message: unknown) => void) | null;
  /** Called once, with a sentence, when the far end is gone or silent; also if that was before it was set. */
  onLost: ((reason: string) => void) | null;
}
