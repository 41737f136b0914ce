import type { Ms } from './time.js';

/**
 * The contract of everything that decides (docs/design: sans-IO).
 *
 * A driver calls `handle`, then `poll` until it returns `undefined`, then sleeps until the next input or
 * `deadline()`, whichever is first; when the deadline has come it hands over the machine's own `timeout` input.
 * A machine never opens, awaits, or asks the time. It is deterministic: the same inputs at the same times give
 * the same outputs.
 */
export interface Machine<Input, Output> {
  /** Takes one input at `now`. Never throws on anything that came from outside. */
  handle(input: Input, now: Ms): void;
  /** The next thing that the machine wants, oldest first; `undefined` when it wants nothing more. */
  poll(): Output | undefined;
  /** When the machine wants a `timeout` input; `Infinity` when it waits for other input only. */
  deadline(): Ms;
}

/** Takes everything that a machine wants at the moment, oldest first. */
export function drain<Output>(machine: Pick<Machine<never, Output>, 'poll'>): Output[] {
  const outputs: Output[] = [];
  for (let output = machine.poll(); output !== undefined; output = machine.poll()) outputs.push(output);
  return outputs;
}

/** First in, first out; constant time on both ends. What most machines keep their outputs in. */
export class Queue<T> {
  #items: T[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(...items: readonly T[]): void {
    for (const item of items) this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#head += 1;
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
