import type { TransportAddress } from '../base/address.js';
import type { Ms } from '../base/time.js';
import type { Pair } from './pair.js';

/** A check that may still be answered. */
export interface SentCheck {
  readonly pair: Pair;
  readonly to: TransportAddress;
  readonly sentAt: Ms;
  /** The role that it claimed. */
  readonly controlling: boolean;
  readonly nominates: boolean;
  readonly purpose: 'check' | 'consent';
}

const MOST = 4096;

/** Every check has its own transaction, and each stays answerable for as long as its pair is worth an answer. */
export class Outstanding {
  readonly #checks = new Map<string, SentCheck>();

  add(transaction: string, check: SentCheck): void {
    const [oldest] = this.#checks.keys();
    if (this.#checks.size >= MOST && oldest !== undefined) this.#checks.delete(oldest);
    this.#checks.set(transaction, check);
  }

  find(transaction: string): SentCheck | undefined {
    return this.#checks.get(transaction);
  }

  delete(transaction: string): void {
    this.#checks.delete(transaction);
  }

  forget(pair: Pair): void {
    for (const [transaction, check] of this.#checks) if (check.pair === pair) this.#checks.delete(transaction);
  }
}
