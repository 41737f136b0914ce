import { closeSync, existsSync, fstatSync, ftruncateSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { errorCode, IcepathError } from '../base/errors.js';
import type { RecordEvent } from '../session/record.js';

/** Lines are written in pieces of about this size: a run is a few thousand lines. */
const PIECE_CHARACTERS = 64 * 1024;

/**
 * Where a run's record goes. Opened before there is a run, so that a wrong name is told at once; what the file held
 * goes when the first line of the run is written, not before. A disk that fills up ends the writing, not the run.
 */
export class RecordWriter {
  readonly #file: string;
  readonly #failed: (reason: string) => void;
  #descriptor: number | null;
  /** Who reads a pipe wants to know at once. */
  readonly #pieceCharacters: number;
  #pending: string[] = [];
  #pendingCharacters = 0;
  #begun = false;
  readonly #isNew: boolean;
  /** Ctrl-C before the run ends the process where it is: no empty file is left behind. */
  readonly #exit = (): void => {
    this.close();
  };
  /** Why the record is incomplete, for the command's last word. */
  failure: IcepathError | null = null;

  /** Throws `record-unwritable` where the file cannot be opened. `failed` is called once if writing fails later. */
  constructor(file: string, failed: (reason: string) => void) {
    this.#file = file;
    this.#failed = failed;
    this.#isNew = !existsSync(file);
    try {
      this.#descriptor = openSync(file, 'a', 0o600);
      this.#pieceCharacters = fstatSync(this.#descriptor).isFile() ? PIECE_CHARACTERS : 0;
    } catch (cause) {
      throw new IcepathError(
        'record-unwritable',
        `${file} cannot be written: ${errorCode(cause)}`,
        'Give --record a file in a folder that you may write to.',
        { cause },
      );
    }
    process.on('exit', this.#exit);
  }

  event(event: RecordEvent): void {
    if (this.#descriptor === null) return;
    const line = `${JSON.stringify(event)}\n`;
    this.#pending.push(line);
    this.#pendingCharacters += line.length;
    if (this.#pendingCharacters >= this.#pieceCharacters) this.#flush();
  }

  close(): void {
    process.off('exit', this.#exit);
    this.#flush();
    if (this.#descriptor === null) return;
    closeSync(this.#descriptor);
    this.#descriptor = null;
    if (!this.#begun && this.#isNew) unlinkSync(this.#file);
  }

  #flush(): void {
    if (this.#descriptor === null || this.#pending.length === 0) return;
    const bytes = Buffer.from(this.#pending.join(''));
    this.#pending = [];
    this.#pendingCharacters = 0;
    try {
      if (!this.#begun && fstatSync(this.#descriptor).isFile()) ftruncateSync(this.#descriptor);
      this.#begun = true;
      for (let written = 0; written < bytes.length;) written += writeSync(this.#descriptor, bytes, written);
    } catch (error) {
      closeSync(this.#descriptor);
      this.#descriptor = null;
      const reason = `${this.#file} is incomplete: ${errorCode(error)}`;
      this.failure = new IcepathError(
        'record-incomplete',
        reason,
        'Make room, or give --record another file, and run it again.',
        { cause: error },
      );
      this.#failed(reason);
    }
  }
}
