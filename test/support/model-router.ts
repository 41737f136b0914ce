import { SeededRandom } from '../../src/base/random.js';
import type { Ms } from '../../src/base/time.js';
import { BoxChain } from '../../src/world/box-chain.js';
import { across, type Box, type Side } from '../../src/world/box.js';
import { Network, type NetworkNode } from '../../src/world/network.js';
import type { Packet } from '../../src/world/packet.js';
import { type Emission, MTU_BYTES, ROUTER } from './packet-script.js';

/** Boxes of the model as a router between two places that only listen. */
export class ModelRouter {
  readonly #network = new Network(new SeededRandom('links'));
  readonly #chain: BoxChain;
  #heard: Emission[] = [];

  constructor(boxes: readonly Box[]) {
    this.#chain = new BoxChain(boxes, ({ family }) => ROUTER[family].gate);
    for (const side of ['inside', 'outside'] as const) {
      const place = { node: this.#listener(side), port: 'only' };
      this.#network.connect({ node: this.#chain, port: side }, place, { mtuBytes: MTU_BYTES });
    }
  }

  /** What crossed comes first. */
  pass(packet: Packet, from: Side, now: Ms): readonly Emission[] {
    this.#network.runUntil(now);
    this.#heard = [];
    this.#chain.receive(packet, from);
    this.#network.runUntil(now);
    const isAcross = ({ to }: Emission): boolean => to === across(from);
    return [...this.#heard.filter(isAcross), ...this.#heard.filter((emission) => !isAcross(emission))];
  }

  #listener(to: Side): NetworkNode {
    return {
      plugIn: () => undefined,
      receive: (packet) => {
        this.#heard.push({ packet, to });
      },
    };
  }
}
