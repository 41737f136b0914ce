import { NEVER, type Ms } from '../base/time.js';
import type { Network } from './network.js';

/** Wakes a machine at its deadline on the network's clock. To be told, by `update`, whenever the deadline may have moved. */
export class Alarm {
  readonly #network: Network;
  readonly #deadline: () => Ms;
  readonly #ring: () => void;
  /** As it was when it last may have moved. */
  #due: Ms = NEVER;
  /** The wake-up that is planned and not yet stale. */
  #at: Ms = NEVER;

  constructor(network: Network, deadline: () => Ms, ring: () => void) {
    this.#network = network;
    this.#deadline = deadline;
    this.#ring = ring;
  }

  /** Only a deadline that came nearer needs a new wake-up: the planned one looks again. */
  update(): void {
    this.#due = this.#deadline();
    this.#plan();
  }

  #plan(): void {
    if (this.#due >= this.#at) return;
    const at = Math.max(this.#due, this.#network.now);
    this.#at = at;
    this.#network.at(at, () => {
      if (this.#at !== at) return;
      this.#at = NEVER;
      if (this.#due <= this.#network.now) this.#ring();
      else this.#plan();
    });
  }
}
