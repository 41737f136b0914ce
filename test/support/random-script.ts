import { fromHex } from '../../src/base/bytes.js';
import { fraction, integerBetween, SeededRandom } from '../../src/base/random.js';
import { ERRORS, type HostName, type PacketScript, type Port, type Send, type Step } from './packet-script.js';

export interface ScriptLimits {
  /** Whether the router has an address outside that packets may be for. */
  readonly box: boolean;
  /** Whether inside ports may be below 1024, where a random port meets another more often than once in 64 512. */
  readonly privileged: boolean;
  /** Whether packets may come in with a TTL that ends at the router. */
  readonly dyingInside: boolean;
  readonly steps: number;
  readonly ticks: number;
}

const PAYLOADS: readonly Uint8Array[] = [
  ...['', '61', '616263646566', '000100002112a442', '400100002112a442', '800100002112a442', '0001000021'].map(fromHex),
  fromHex('000100002112a442000102030405060708090a0b'),
  fromHex('0001000023345566000102030405060708090a0b'),
  fromHex('00002112a4420000'),
  new Uint8Array(600).fill(0x7a),
];
const PORTS: Readonly<Record<'inside' | 'outside', readonly number[]>> = {
  inside: [5000, 5000, 5000, 5001, 500, 700],
  outside: [7000, 7000, 7001],
};

/** A script that tries what nobody thought of: few hosts and ports, so that flows meet. */
export function randomScript(seed: string, limits: ScriptLimits): PacketScript {
  const random = new SeededRandom(seed);
  const pick = <T>(items: readonly T[]): T => items[integerBetween(random, 0, items.length - 1)] as T;
  const chance = (share: number): boolean => fraction(random) < share;
  const steps: Step[] = [];
  let at = 0;
  const insidePorts = PORTS.inside.filter((port) => limits.privileged || port >= 1024);
  const inside = (): Port => `${pick(['a', 'a', 'b'] as const)}:${pick(insidePorts)}`;
  const outside = (): Port => `${pick(['r', 'r', 's'] as const)}:${pick(PORTS.outside)}`;
  const earlier = (): number => integerBetween(random, 0, Math.max(0, steps.length - 1));
  const given = (mayDie = true): { ttl?: number; payload?: Uint8Array } => ({
    ...(mayDie && chance(0.1) ? { ttl: pick([1, 2, 3]) } : {}),
    ...(chance(0.6) ? { payload: pick(PAYLOADS) } : {}),
  });
  const send = (): Send => {
    const kind = fraction(random);
    if (kind < 0.35) return { type: 'udp', from: inside(), to: outside(), ...given() };
    if (kind < 0.55) return { type: 'answer', to: earlier(), ...given(limits.dyingInside) };
    if (kind < 0.7) {
      const to = limits.box ? (chance(0.6) ? earlier() : (`box:${pick(PORTS.inside)}` as const)) : inside();
      return { type: 'udp', from: outside(), to, ...given(limits.dyingInside) };
    }
    if (kind < 0.82) {
      const others: readonly HostName[] = ['a', 's'];
      return { type: 'error', about: earlier(), error: pick(ERRORS), ...(chance(0.3) ? { from: pick(others) } : {}) };
    }
    if (kind < 0.9) {
      const to = pick(['r', 's', 'gate', ...(limits.box ? (['box'] as const) : [])] as const);
      return chance(0.7) || !limits.box
        ? { type: 'ping', from: inside(), to }
        : { type: 'ping', from: outside(), to: 'box' };
    }
    if (kind < 0.96) return { type: 'syn', from: inside(), to: outside() };
    return { type: 'udp', from: inside(), to: limits.box && chance(0.5) ? 'box:5000' : 'gate:5000' };
  };
  while (steps.length < limits.steps) {
    steps.push({ at, send: send() });
    if (chance(0.5)) at = Math.min(limits.ticks, at + pick([1, 1, 2, 2, 3, 4, 6]));
  }
  return { name: `random ${seed}`, steps };
}
