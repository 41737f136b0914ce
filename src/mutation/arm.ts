import { CONTROL_ARM, PLAIN_ARM, type ArmName } from './names.js';

/** A part of a STUN message that a classifier may look at, and an arm may change. */
export type HeaderField = 'first-byte' | 'type' | 'length' | 'cookie' | 'attributes' | 'fingerprint';

export interface Arm {
  readonly name: ArmName;
  readonly stun: boolean;
  /** What it changes against plain STUN: none for `stun` itself and for what is not STUN. */
  readonly fields: readonly HeaderField[];
}

/** Every arm that is built in: the control, then STUN, least changed first (`stun~attributes` loses what ICE needs). */
export const ARMS: readonly Arm[] = [
  { name: CONTROL_ARM, stun: false, fields: [] },
  { name: PLAIN_ARM, stun: true, fields: [] },
  { name: 'stun~40', stun: true, fields: ['first-byte'] },
  { name: 'stun~cookie', stun: true, fields: ['cookie'] },
  { name: 'stun~length', stun: true, fields: ['length'] },
  { name: 'stun~type', stun: true, fields: ['type'] },
  { name: 'stun~40~cookie', stun: true, fields: ['first-byte', 'cookie'] },
  { name: 'stun~attributes', stun: true, fields: ['attributes'] },
  { name: 'dtls', stun: false, fields: [] },
];

export function findArm(name: ArmName): Arm | undefined {
  return ARMS.find((arm) => arm.name === name);
}

/** The built-in arms and those that a user adds: STUN arms with another set of fields. */
export class ArmRegistry {
  readonly #arms = new Map<ArmName, Arm>(ARMS.map((arm) => [arm.name, arm]));

  get arms(): readonly Arm[] {
    return [...this.#arms.values()];
  }

  /**
   * Throws `RangeError` where the name is taken or another arm changes the same fields: on the wire the two could not
   * be told apart.
   */
  add(arm: Arm): void {
    if (this.#arms.has(arm.name)) throw new RangeError(`there is an arm ${arm.name} already`);
    const twin = this.arms.find((other) => other.stun && arm.stun && sameFields(other, arm));
    if (twin) throw new RangeError(`${arm.name} changes the same fields as ${twin.name}`);
    this.#arms.set(arm.name, arm);
  }

  find(name: ArmName): Arm | undefined {
    return this.#arms.get(name);
  }
}

function sameFields(left: Arm, right: Arm): boolean {
  const fields = new Set([...left.fields, ...right.fields]);
  return [...fields].every((field) => left.fields.includes(field) && right.fields.includes(field));
}
