import { fromHex } from '../base/bytes.js';
import { ARMS, type Arm } from './arm.js';
import type { ArmDefinition } from './definition.js';
import type { ArmName } from './names.js';
import { prefixShape, SHAPES, type Shape } from './shape.js';

/** The arms of a run by name: the built-in ones, and those that its user added. */
export class ArmRegistry {
  readonly #arms = new Map<ArmName, Arm>(ARMS.map((arm) => [arm.name, arm]));
  /** In the order in which they are tried: built-in ones first. */
  readonly arms: readonly Arm[];
  /** Of what is not STUN. */
  readonly shapes: readonly Shape[];
  /** STUN arms, the least changed first; those without attributes, which ICE needs, last. */
  readonly stunArms: readonly Arm[];

  /** Definitions that `mistakesIn` has passed; of two with one name the first is taken, and a built-in before both. */
  constructor(definitions: readonly ArmDefinition[] = []) {
    for (const definition of definitions) {
      if (!this.#arms.has(definition.name)) this.#arms.set(definition.name, armOf(definition));
    }
    this.arms = [...this.#arms.values()];
    const prefixes = this.arms.flatMap(({ name, starts }) => (starts ? [prefixShape(name, starts)] : []));
    this.shapes = [...SHAPES, ...prefixes];
    const cost = ({ fields, changes = [] }: Arm): number =>
      fields.length + changes.length + (fields.includes('attributes') ? MOST_CHANGED : 0);
    this.stunArms = this.arms.filter(({ stun }) => stun).sort((left, right) => cost(left) - cost(right));
  }

  find(name: ArmName): Arm | undefined {
    return this.#arms.get(name);
  }

  shapeOf(name: ArmName): Shape | undefined {
    return this.shapes.find(({ arm }) => arm === name);
  }
}

const MOST_CHANGED = 100;

/** What every icepath knows. */
export const BUILT_IN = new ArmRegistry();

export function armsWith(definitions: readonly ArmDefinition[]): ArmRegistry {
  return definitions.length === 0 ? BUILT_IN : new ArmRegistry(definitions);
}

export function armOf({ name, fields, changes, starts, lengthBytes }: ArmDefinition): Arm {
  return {
    name,
    stun: starts === null,
    fields,
    ...(changes.length > 0 && {
      changes: changes.map(({ at, how, bytes }) => ({ at, how, bytes: fromHex(bytes) })),
    }),
    ...(starts !== null && { starts: fromHex(starts) }),
    ...(lengthBytes !== null && { lengthBytes }),
  };
}
