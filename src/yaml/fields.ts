import { z } from 'zod';
import { nearest } from '../base/nearest.js';
import { isMapping, type Path } from './located-yaml.js';
import { quoted } from './quantities.js';

/** Bricks for schemas whose mistakes tell people what belongs there. */

/** A mapping with these fields and no others. */
export function fields<Shape extends z.ZodRawShape>(shape: Shape): z.ZodObject<Shape, z.core.$strict> {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return `takes fields (${known.join(', ')})`;
      return unknownOf(issue)
        .map((name) => unknownWords('field', name, known))
        .join('\n');
    },
  });
}

function unknownOf(issue: z.core.$ZodRawIssue<z.core.$ZodIssueUnrecognizedKeys>): readonly string[] {
  return issue.keys;
}

/** One of these words. */
export function word<const Words extends readonly string[]>(
  words: Words,
): z.ZodEnum<z.core.util.ToEnum<Words[number]>> {
  return z.enum(words, { error: ({ input }) => notOneOf(input, words) });
}

/** `nothing is called "x"; near to it: …` */
export function unknownWords(what: string, name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  const hint = near.length > 0 ? `did you mean ${near.join(' or ')}?` : `there are ${known.join(', ')}`;
  return `no ${what} is called ${quoted(name)}: ${hint}`;
}

function notOneOf(input: unknown, words: readonly string[]): string {
  const takes = `takes one of ${words.join(', ')}`;
  if (typeof input !== 'string') return takes;
  const near = input.length > 2 ? nearest(input, words) : [];
  return near.length > 0
    ? `cannot be ${quoted(input)}: did you mean ${near.join(' or ')}?`
    : `${takes}, not ${quoted(input)}`;
}

type Choice<Shape extends Readonly<Record<string, z.ZodType>>> = {
  [Name in keyof Shape]: { readonly type: Name; readonly value: z.output<Shape[Name]> };
}[keyof Shape];

/** A mapping with one of these fields, or the field's name alone, which then has an empty text as its value. */
export function choice<Shape extends Readonly<Record<string, z.ZodType>>>(shape: Shape): z.ZodType<Choice<Shape>> {
  const names = Object.keys(shape);
  const each = Object.fromEntries(Object.entries(shape).map(([name, schema]) => [name, z.exactOptional(schema)]));
  return z
    .preprocess((value) => (typeof value === 'string' ? { [value]: '' } : value), fields(each))
    .transform((given, context): Choice<Shape> => {
      const [chosen, ...others] = Object.entries(given);
      if (chosen && others.length === 0) return { type: chosen[0], value: chosen[1] } as Choice<Shape>;
      context.addIssue({ code: 'custom', message: `takes exactly one of ${names.join(', ')}` });
      return z.NEVER;
    });
}

/** A list, or its only element alone. */
export function listOf<Element extends z.ZodType>(element: Element, most: number): z.ZodType<z.output<Element>[]> {
  const list = z
    .array(element)
    .min(1, { error: 'is empty' })
    .max(most, { error: `has more than ${most} elements` });
  return z.preprocess((value: unknown): unknown => (Array.isArray(value) ? value : [value]), list);
}

type Renamed<Value, Names> = {
  [Key in keyof Value as Key extends keyof Names ? Extract<Names[Key], string> : Key]: Value[Key];
};

/** The same with some fields under the names that the model has for them. */
export function renamed<Value extends object, const Names extends Partial<Record<keyof Value, string>>>(
  value: Value,
  names: Names,
): Renamed<Value, Names> {
  const nameOf = (key: string): string => (names as Record<string, string | undefined>)[key] ?? key;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [nameOf(key), field])) as Renamed<Value, Names>;
}

export interface Finding {
  readonly path: Path;
  readonly what: string;
}

/** What a schema found, one finding a mistake. */
export function findingsOf(issue: z.core.$ZodIssue, value: unknown): Finding[] {
  const { path } = issue;
  switch (issue.code) {
    case 'unrecognized_keys': {
      const told = issue.message.split('\n');
      return issue.keys.map((name, index) => ({ path: [...path, name], what: told[index] ?? issue.message }));
    }
    case 'invalid_key':
      return issue.issues.map(({ message }) => ({ path, what: message }));
    case 'invalid_union': {
      // Of the alternatives the one that at least is of the right kind.
      const branch = issue.errors.find((issues) => !issues.some((one) => one.path.length === 0 && isKind(one)));
      if (!branch) return [{ path, what: issue.errors.map(([one]) => one?.message).join(', or ') }];
      return branch.flatMap((one) => findingsOf({ ...one, path: [...path, ...one.path] }, value));
    }
    default:
      return [{ path, what: has(value, path) ? issue.message : 'is missing' }];
  }
}

function isKind({ code }: z.core.$ZodIssue): boolean {
  return code === 'invalid_type' || code === 'invalid_value';
}

function has(value: unknown, [first, ...rest]: Path): boolean {
  if (first === undefined) return true;
  // A list's only element may stand there alone.
  if (typeof first === 'number') return has(Array.isArray(value) ? value[first] : value, rest);
  return isMapping(value) && Object.hasOwn(value, first) && has(value[String(first)], rest);
}
