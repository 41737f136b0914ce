import { equalBytes, utf8Bytes } from '../base/bytes.js';
import { SeededRandom } from '../base/random.js';
import { transportAddress } from '../base/address.js';
import { xorMappedAddress } from '../stun/attributes.js';
import { signed } from '../stun/integrity.js';
import { METHODS, TRANSACTION_ID_BYTES } from '../stun/registry.js';
import { type Arm, ARMS } from './arm.js';
import { CHECK_BYTES, checkLike } from './check.js';
import { type ArmDefinition, CHANGEABLE_BYTES, MOST_CHOSEN_BYTES } from './definition.js';
import { mutate, undo } from './header.js';
import { armOf, BUILT_IN } from './registry.js';

/** What is wrong with an arm of a user. */
export interface ArmMistake {
  /** Which of them. */
  readonly index: number;
  readonly field: 'name' | 'stun' | 'bytes' | 'starts' | 'length';
  readonly what: string;
}

/**
 * Why these arms cannot be added to the built-in ones: each must be one that the far end can undo, and that cannot be
 * taken for another. What is right with each by itself `armDefinitionSchema` has said already.
 */
export function mistakesIn(definitions: readonly ArmDefinition[]): ArmMistake[] {
  return definitions.flatMap((definition, index) => {
    const own = mistakesOf(definition);
    const before = definitions.slice(0, index);
    const mistakes = own.length > 0 ? own : clashes(definition, before);
    if (BUILT_IN.find(definition.name)) mistakes.push({ field: 'name', what: 'is the name of a built-in arm' });
    if (before.some(({ name }) => name === definition.name))
      mistakes.push({ field: 'name', what: 'stands here twice' });
    return mistakes.map((mistake) => ({ index, ...mistake }));
  });
}

type Mistake = Omit<ArmMistake, 'index'>;

function mistakesOf({ fields, changes, starts, lengthBytes }: ArmDefinition): Mistake[] {
  if (starts !== null) {
    return fields.length + changes.length > 0
      ? [
          {
            field: 'starts',
            what: 'cannot stand beside stun or bytes: an arm is STUN, or begins with bytes of its own',
          },
        ]
      : [];
  }
  const mistakes: Mistake[] = [];
  const wrong = (field: Mistake['field'], what: string): void => void mistakes.push({ field, what });
  if (changes.reduce((sum, { bytes }) => sum + bytes.length / 2, 0) > MOST_CHOSEN_BYTES)
    wrong('bytes', `changes more than ${String(MOST_CHOSEN_BYTES)} bytes`);
  for (const { at, how, bytes } of changes) {
    const end = at + bytes.length / 2;
    if (end > CHANGEABLE_BYTES) {
      wrong(
        'bytes',
        `byte ${String(end - 1)} is not in every STUN message: they have ${String(CHANGEABLE_BYTES)} at least`,
      );
    } else if (how === 'to' && (at < 2 || end > 8)) {
      wrong(
        'bytes',
        'only length and cookie (bytes 2 to 7) can be set, since the far end knows what they were: use xor',
      );
    }
  }
  if (lengthBytes !== null && fields.includes('attributes'))
    wrong('length', 'cannot be chosen where attributes are dropped');
  else if (lengthBytes !== null && (lengthBytes < CHECK_BYTES || lengthBytes % 4 !== 0)) {
    wrong('length', `of STUN is a multiple of 4, and ${String(CHECK_BYTES)} bytes at least`);
  }
  return mistakes;
}

/** Whether the far end can undo it, and whether another arm makes the same packet. */
function clashes(definition: ArmDefinition, before: readonly ArmDefinition[]): Mistake[] {
  const arm = armOf(definition);
  const others = [...ARMS, ...before.map(armOf)];
  if (arm.starts) {
    const twin = others.find((other) => sameShape(arm, other));
    return twin ? [{ field: 'starts', what: `makes the same packets as ${twin.name}` }] : [];
  }
  const field = arm.fields.length > 0 ? 'stun' : 'bytes';
  const twin = others.find((other) => other.stun && SAMPLES.some((message) => sameWire(message, arm, other)));
  if (twin) return [{ field, what: `makes the same packets as ${twin.name}` }];
  const lost = SAMPLES.some((message) => undo(mutate(arm, message, KEY), [KEY], [arm]) === null);
  return lost ? [{ field, what: 'cannot be undone by the far end: one change takes away what another needs' }] : [];
}

function sameShape({ starts, lengthBytes }: Arm, other: Arm): boolean {
  if (!starts || !other.starts || lengthBytes !== other.lengthBytes) return false;
  return equalBytes(starts, other.starts);
}

function sameWire(message: Uint8Array, left: Arm, right: Arm): boolean {
  return equalBytes(mutate(left, message, KEY), mutate(right, message, KEY));
}

const KEY = utf8Bytes('samples of STUN messages');
/** The two kinds of messages that ICE sends: a request, and the shortest answer. */
const SAMPLES = samples();

function samples(): Uint8Array[] {
  const random = new SeededRandom('samples of STUN messages');
  const transactionId = random.bytes(TRANSACTION_ID_BYTES);
  const attributes = [xorMappedAddress(transportAddress('192.0.2.1', 40_000), transactionId)];
  const answer = { method: METHODS.Binding, class: 'success', transactionId, attributes } as const;
  return [
    checkLike(transactionId, { key: KEY, lengthBytes: CHECK_BYTES, random }),
    signed(answer, { key: KEY, fingerprint: true }),
  ];
}
