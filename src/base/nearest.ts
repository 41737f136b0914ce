/** Those of `names` that `given` may have meant: at most three, the nearest first. */
export function nearest(given: string, names: readonly string[]): string[] {
  const wanted = given.slice(0, 64).toLowerCase();
  return names
    .map((name) => ({ name, far: name.includes(wanted) && wanted !== '' ? 0 : editDistance(wanted, name) }))
    .filter(({ far }) => far <= Math.max(2, wanted.length / 3))
    .sort((left, right) => left.far - right.far)
    .slice(0, 3)
    .map(({ name }) => name);
}

/** Levenshtein's: how many characters must be put in, taken out or changed. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [above, character] of Array.from(from).entries()) {
    const next = [above + 1];
    for (let column = 1; column <= to.length; column += 1) {
      const changed = (row[column - 1] ?? 0) + (to[column - 1] === character ? 0 : 1);
      next.push(Math.min(changed, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
