import { NEVER, type Ms } from '../base/time.js';

interface Entry {
  readonly at: Ms;
  /** Of two entries at one time the one that was planned first comes first. */
  readonly order: number;
  readonly run: () => void;
}

/** What is to happen, on the virtual clock: a binary heap, stable at equal times. */
export class EventQueue {
  readonly #heap: Entry[] = [];
  #order = 0;

  get length(): number {
    return this.#heap.length;
  }

  /** When the next one is due; {@link NEVER} when there is none. */
  get nextAt(): Ms {
    return this.#heap[0]?.at ?? NEVER;
  }

  push(at: Ms, run: () => void): void {
    const heap = this.#heap;
    const entry = { at, order: this.#order, run };
    this.#order += 1;
    let place = heap.length;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || !isBefore(entry, parent)) break;
      heap[place] = parent;
      place = above;
    }
    heap[place] = entry;
  }

  /** Takes the next one out. */
  pop(): { readonly at: Ms; readonly run: () => void } | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last !== undefined && last !== first) this.#sink(last);
    return first;
  }

  /** Puts `entry` where the first one was and lets it sink to its place. */
  #sink(entry: Entry): void {
    const heap = this.#heap;
    let place = 0;
    for (;;) {
      const left = heap[2 * place + 1];
      if (left === undefined) break;
      const right = heap[2 * place + 2];
      const isRight = right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (!isBefore(child, entry)) break;
      heap[place] = child;
      place = 2 * place + (isRight ? 2 : 1);
    }
    heap[place] = entry;
  }
}

function isBefore(left: Entry, right: Entry): boolean {
  return left.at < right.at || (left.at === right.at && left.order < right.order);
}
