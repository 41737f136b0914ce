import type { Finding } from './fields.js';
import { fieldOf, type Located, type Mistake, placeOf } from './located-yaml.js';

/** Of a file with more, people mend these first. */
const MOST_TOLD = 10;

/** What a schema found, at its place in the file. */
export function mistakesOf(findings: readonly Finding[], located: Located): Mistake[] {
  return findings.map(({ path, what }) => ({ ...placeOf(path, located), field: fieldOf(path), what }));
}

/** A line for each mistake, in the file's order: `FILE:LINE: FIELD: what is wrong`. */
export function linesOf(mistakes: readonly Mistake[]): string {
  const told = [...mistakes]
    .sort((left, right) => left.line - right.line)
    .map(({ file, line, field, what }) => `${file}:${line}: ${field === '' ? '' : `${field}: `}${what}`);
  const more = told.length > MOST_TOLD ? [`… and ${told.length - MOST_TOLD} more`] : [];
  return [...new Set(told.slice(0, MOST_TOLD)), ...more].join('\n');
}
