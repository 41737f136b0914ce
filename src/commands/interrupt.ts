import { setImmediate } from 'node:timers/promises';
import { IcepathError } from '../base/errors.js';
import { EXIT, type TextStream } from './command.js';

/**
 * Ctrl-C (or SIGTERM) from the first moment of a command on. Before something is under way it just ends the process;
 * `during` hands the first one to whoever can end in order. A second one ends the process as usual.
 */
export class Interruption {
  readonly #stderr: TextStream;
  readonly #handler = (): void => {
    this.happened = true;
    const act = this.#act;
    if (act === null) process.exit(this.beforeTheRun());
    this.release();
    act();
  };
  happened = false;
  #act: (() => void) | null = null;

  constructor(stderr: TextStream) {
    this.#stderr = stderr;
    process.on('SIGINT', this.#handler);
    process.on('SIGTERM', this.#handler);
  }

  /** Runs `work`; a Ctrl-C meanwhile calls `act`. */
  async during<Result>(work: Promise<Result>, act: () => void): Promise<Result> {
    this.#act = act;
    try {
      return await work;
    } finally {
      this.#act = null;
    }
  }

  /** Where there is nothing to report: says so, and gives the exit code. */
  beforeTheRun(): number {
    this.#stderr.write('icepath: interrupted before the run began\n');
    return EXIT.interrupted;
  }

  release(): void {
    process.off('SIGINT', this.#handler);
    process.off('SIGTERM', this.#handler);
  }
}

/**
 * Runs `work`; a Ctrl-C meanwhile aborts the signal that it got. `result` is `null` where that came so early that there
 * is none, which has then been said.
 */
export async function untilInterrupted<Result>(
  stderr: TextStream,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<{ readonly result: Result | null; readonly interrupted: boolean }> {
  const interruption = new Interruption(stderr);
  const stop = new AbortController();
  // What computes without a pause hears of it only afterwards: a turn of the event loop for that.
  const running = work(stop.signal).finally(() => setImmediate());
  try {
    const result = await interruption.during(running, () => {
      stop.abort();
    });
    return { result, interrupted: interruption.happened };
  } catch (error) {
    if (!interruption.happened || !(error instanceof IcepathError)) throw error;
    interruption.beforeTheRun();
    return { result: null, interrupted: true };
  } finally {
    interruption.release();
  }
}
