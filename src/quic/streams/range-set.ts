/** From `from` up to, and without, `to`. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** Numbers as ranges that are sorted and never touch: bytes that were acknowledged, packets that came. */
export class RangeSet {
  #ranges: { from: number; to: number }[] = [];

  get ranges(): readonly Range[] {
    return this.#ranges;
  }

  /** How many numbers it has. */
  get length(): number {
    let sum = 0;
    for (const { from, to } of this.#ranges) sum += to - from;
    return sum;
  }

  get first(): Range | undefined {
    return this.#ranges[0];
  }

  add(from: number, to: number): void {
    if (to <= from) return;
    const last = this.#ranges[this.#ranges.length - 1];
    // Nearly always it goes on where the last one ends.
    if (last?.to === from) {
      last.to = to;
      return;
    }
    const start = this.#firstEndingAtOrAfter(from);
    let end = start;
    let merged = { from, to };
    for (let range = this.#ranges[end]; range !== undefined && range.from <= to; range = this.#ranges[end]) {
      merged = { from: Math.min(merged.from, range.from), to: Math.max(merged.to, range.to) };
      end += 1;
    }
    this.#ranges.splice(start, end - start, merged);
  }

  remove(from: number, to: number): void {
    const first = this.#ranges[0];
    if (to <= from || first === undefined || first.from >= to) return;
    // Nearly always it is the beginning of the first one that goes.
    if (from <= first.from && to < first.to) {
      this.#ranges[0] = { from: to, to: first.to };
      return;
    }
    const start = this.#firstEndingAtOrAfter(from + 1);
    let end = start;
    const kept: Range[] = [];
    for (let range = this.#ranges[end]; range !== undefined && range.from < to; range = this.#ranges[end]) {
      if (range.from < from) kept.push({ from: range.from, to: from });
      if (range.to > to) kept.push({ from: to, to: range.to });
      end += 1;
    }
    this.#ranges.splice(start, end - start, ...kept);
  }

  /** Whether all of it is there. */
  covers(from: number, to: number): boolean {
    if (to <= from) return true;
    const last = this.#ranges[this.#ranges.length - 1];
    if (last === undefined || last.to < to) return false;
    const range = this.#ranges[this.#firstEndingAtOrAfter(to)];
    return range !== undefined && range.from <= from;
  }

  /** The parts of `[from, to)` that are not there, in order. */
  missing(from: number, to: number): Range[] {
    const parts: Range[] = [];
    let at = from;
    for (let index = this.#firstEndingAtOrAfter(from + 1); at < to; index += 1) {
      const range = this.#ranges[index];
      const next = Math.min(range?.from ?? to, to);
      if (next > at) parts.push({ from: at, to: next });
      at = range?.to ?? to;
    }
    return parts;
  }

  #firstEndingAtOrAfter(value: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ranges[middle]?.to ?? 0) < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
