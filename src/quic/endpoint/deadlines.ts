import { NEVER, type Ms } from '../../base/time.js';

/** Something with a place in {@link Deadlines}. */
export interface Timed {
  dueAt: Ms;
  /** Where it stands in the heap; -1: not in it. */
  heapIndex: number;
}

/** The earliest of many deadlines, each of which changes often: a binary heap in which everything knows its place. */
export class Deadlines<T extends Timed> {
  readonly #heap: T[] = [];

  get earliest(): T | undefined {
    return this.#heap[0];
  }

  /** {@link NEVER} takes it out. */
  set(item: T, dueAt: Ms): void {
    item.dueAt = dueAt;
    if (dueAt === NEVER) {
      this.delete(item);
      return;
    }
    if (item.heapIndex < 0) {
      item.heapIndex = this.#heap.length;
      this.#heap.push(item);
    }
    this.#settle(item);
  }

  delete(item: T): void {
    const index = item.heapIndex;
    if (index < 0) return;
    item.heapIndex = -1;
    const last = this.#heap.pop();
    if (last === undefined || last === item) return;
    last.heapIndex = index;
    this.#heap[index] = last;
    this.#settle(last);
  }

  #settle(item: T): void {
    let index = item.heapIndex;
    while (index > 0) {
      const parent = this.#heap[(index - 1) >> 1];
      if (parent === undefined || parent.dueAt <= item.dueAt) break;
      this.#put(parent, index);
      index = (index - 1) >> 1;
    }
    for (;;) {
      const left = this.#heap[2 * index + 1];
      const right = this.#heap[2 * index + 2];
      const child = right !== undefined && left !== undefined && right.dueAt < left.dueAt ? right : left;
      if (child === undefined || child.dueAt >= item.dueAt) break;
      const at = child.heapIndex;
      this.#put(child, index);
      index = at;
    }
    this.#put(item, index);
  }

  #put(item: T, index: number): void {
    this.#heap[index] = item;
    item.heapIndex = index;
  }
}
