/** The fewest and the most of `count` that a share of them gives, but for `chance` on either side: exact sums. */
export function binomialBounds(count: number, share: number, chance: number): readonly [least: number, most: number] {
  let logTerm = count * Math.log(1 - share);
  let below = 0;
  let least = 0;
  for (let hits = 0; hits <= count; hits += 1) {
    below += Math.exp(logTerm);
    if (below <= chance) least = hits + 1;
    if (below >= 1 - chance) return [least, hits];
    logTerm += Math.log((count - hits) / (hits + 1)) + Math.log(share / (1 - share));
  }
  return [least, count];
}
