import { closeSync, openSync, writeSync } from 'node:fs';
import { errorCode, IcepathError } from '../base/errors.js';
import type { RecordEvent } from '../session/record.js';

/** Lines are written in pieces of about this size: a run is a few thousand lines. */
const PIECE_CHARACTERS = 64 * 1024;

/** Where a run's record goes. A disk that fills up ends the writing, not the run. */
export class RecordWriter {
  readonly #file: string;
  readonly #failed: (reason: string) => void;
  #descriptor: number | null;
  #pending: string[] = [];
  #pendingCharacters = 0;

  /** Throws `record-unwritable` where the file cannot be opened. `failed` is called once if writing fails later. */
  constructor(file: string, failed: (reason: string) => void) {
    this.#file = file;
    this.#failed = failed;
    try {
      this.#descriptor = openSync(file, 'w', 0o600);
    } catch (cause) {
      throw new IcepathError(
        'record-unwritable',
        `${file} cannot be written: ${errorCode(cause)}`,
        'Give --record a file in a folder that you may write to.',
        { cause },
      );
    }
  }

  event(event: RecordEvent): void {
    if (this.#descriptor === null) return;
    const line = `${JSON.stringify(event)}\n`;
    this.#pending.push(line);
    this.#pendingCharacters += line.length;
    if (this.#pendingCharacters >= PIECE_CHARACTERS) this.#flush();
  }

  close(): void {
    this.#flush();
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
  }

  #flush(): void {
    if (this.#descriptor === null || this.#pending.length === 0) return;
    const bytes = Buffer.from(this.#pending.join(''));
    this.#pending = [];
    this.#pendingCharacters = 0;
    try {
      for (let written = 0; written < bytes.length;) written += writeSync(this.#descriptor, bytes, written);
    } catch (error) {
      closeSync(this.#descriptor);
      this.#descriptor = null;
      this.#failed(`${this.#file} is incomplete: ${errorCode(error)}`);
    }
  }
}
