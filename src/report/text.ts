/**
 * `text` without anything that steers a terminal or hides in it: control and format characters are shown by number.
 * Labels, names and reasons come from the far end or from a file.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => {
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  });
}

/** {@link printable} for every text inside a JSON-like value, keys included. */
export function printableAll<Value>(value: Value): Value;
export function printableAll(value: unknown): unknown {
  if (typeof value === 'string') return printable(value);
  if (Array.isArray(value)) return value.map((item) => printableAll<unknown>(item));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [printable(key), printableAll<unknown>(item)]));
}

/** Breaks `text` at spaces into lines of at most `width` characters; `first` starts it, further lines line up below. */
export function wrap(text: string, width: number, first = ''): string {
  const indent = ' '.repeat(first.length);
  const room = Math.max(20, width - first.length);
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines.map((part, index) => `${index === 0 ? first : indent}${part}`).join('\n');
}
