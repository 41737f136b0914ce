import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';

/** Where something stands in a file, for people. */
export interface Place {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/** What is wrong, where. `field`: the names on the way to it, empty for the whole file. */
export interface Mistake extends Place {
  readonly field: string;
  readonly what: string;
}

/** A YAML file as plain values, all scalars as the text that stands there, and where each of them stands. */
export interface Located {
  readonly value: unknown;
  readonly places: ReadonlyMap<string, Place>;
}

export type Path = readonly PropertyKey[];

/** A scenario is a page of text; what is longer or deeper than people write is not read. */
const MAX_CHARACTERS = 64 * 1024;
const MAX_LINE = 1000;
/** The parser is recursive: deep nesting costs it its stack. */
const MAX_BRACKETS = 1000;

/** Anchors and aliases are not used: a file is to be read from top to bottom, and no alias can be a bomb. */
export function readYaml(text: string, file: string): Located | Mistake[] {
  const excess = tooMuch(text, file);
  if (excess) return [excess];
  const lines = new LineCounter();
  const document = parseDocument(text, {
    schema: 'failsafe',
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
    uniqueKeys: false,
  });
  const placeAt = (offset: number): Place => ({ file, line: Math.max(1, lines.linePos(offset).line) });
  const mistakes: Mistake[] = [...document.errors, ...document.warnings].map(({ message, pos }) => ({
    ...placeAt(pos[0]),
    field: '',
    what: message,
  }));
  if (mistakes.length > 0) return mistakes;

  const places = new Map<string, Place>();
  const plain = (node: Node | null, path: Path, place: Place): unknown => {
    places.set(keyOf(path), place);
    if (isAlias(node)) {
      mistakes.push({ ...place, field: fieldOf(path), what: `is an alias (*${node.source}): write it out` });
    }
    if (isSeq<Node | null>(node)) {
      return node.items.map((item, index) => plain(item, [...path, index], placeAt(item?.range?.[0] ?? 0)));
    }
    if (!isMap<Node, Node | null>(node)) return textOf(node);
    const entries = new Map<string, unknown>();
    for (const { key, value } of node.items) {
      const name = textOf(key);
      const here = placeAt(key.range?.[0] ?? 0);
      if (entries.has(name)) mistakes.push({ ...here, field: fieldOf([...path, name]), what: 'stands here twice' });
      entries.set(name, plain(value, [...path, name], here));
    }
    return Object.fromEntries(entries);
  };
  const value = plain(document.contents, [], { file, line: 1 });
  return mistakes.length > 0 ? mistakes : { value, places };
}

function textOf(node: Node | null): string {
  return isScalar(node) && typeof node.value === 'string' ? node.value : '';
}

function tooMuch(text: string, file: string): Mistake | null {
  const mistake = (line: number, what: string): Mistake => ({ file, line, field: '', what });
  if (text.length > MAX_CHARACTERS) return mistake(1, `the file has more than ${MAX_CHARACTERS} characters`);
  const long = text.split('\n').findIndex((line) => line.length > MAX_LINE);
  if (long >= 0) return mistake(long + 1, `the line has more than ${MAX_LINE} characters`);
  const brackets = text.match(/[[{]/g)?.length ?? 0;
  return brackets > MAX_BRACKETS ? mistake(1, `the file has more than ${MAX_BRACKETS} opening brackets`) : null;
}

/** The place of a field or, where it is missing, of what should hold it. */
export function placeOf(path: Path, { places }: Located): Place {
  for (let length = path.length; length >= 0; length -= 1) {
    const place = places.get(keyOf(path.slice(0, length)));
    if (place) return place;
  }
  throw new RangeError('a file has at least a first line');
}

/** `base` with what `over` says instead: mappings are merged name by name, everything else is replaced. */
export function merged(base: Located, over: Located): Located {
  return { value: mergedValue(base.value, over.value), places: new Map([...base.places, ...over.places]) };
}

function mergedValue(base: unknown, over: unknown): unknown {
  if (!isMapping(base) || !isMapping(over)) return over;
  const entries = new Map(Object.entries(base));
  for (const [name, value] of Object.entries(over)) {
    entries.set(name, entries.has(name) ? mergedValue(entries.get(name), value) : value);
  }
  return Object.fromEntries(entries);
}

export function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function keyOf(path: Path): string {
  return JSON.stringify(path.map(String));
}

/** `client.interfaces.wwan0.link`; the line tells which of a list it is. */
export function fieldOf(path: Path): string {
  return path.filter((name) => typeof name !== 'number').join('.');
}
