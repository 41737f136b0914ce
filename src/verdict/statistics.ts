/** The risk of one false accusation in a whole run of looks (verdicts.md, "blocked"). */
export const ALPHA = 1e-4;
/** The evidence is looked at every so many rounds. */
export const ROUNDS_PER_LOOK = 8;

const logFactorials: number[] = [0];

function logFactorial(n: number): number {
  for (let next = logFactorials.length; next <= n; next += 1) {
    logFactorials.push((logFactorials[next - 1] ?? 0) + Math.log(next));
  }
  return logFactorials[n] ?? 0;
}

function logChoose(n: number, k: number): number {
  return logFactorial(n) - logFactorial(k) - logFactorial(n - k);
}

/** P(X ≥ k) for X ~ Binomial(n, p), summed in log space: exact down to the smallest double. */
export function binomialTail(k: number, n: number, p: number): number {
  if (k <= 0) return 1;
  if (k > n || p <= 0) return 0;
  if (p >= 1) return 1;
  const terms: number[] = [];
  for (let hits = k; hits <= n; hits += 1) {
    terms.push(logChoose(n, hits) + hits * Math.log(p) + (n - hits) * Math.log1p(-p));
  }
  const largest = terms.reduce((most, term) => Math.max(most, term), -Infinity);
  return Math.min(1, Math.exp(largest) * terms.reduce((sum, term) => sum + Math.exp(term - largest), 0));
}

/**
 * McNemar's exact test, one-sided: how likely so lopsided a split of the discordant pairs is where both kinds of packet
 * fare the same. `worse`: rounds in which only the control arrived; `better`: only the arm.
 */
export function mcnemar(worse: number, better: number): number {
  return binomialTail(worse, worse + better, 0.5);
}

/**
 * Fisher's exact test, one-sided: how likely it is that of all arrivals so few fall on the first group, where chance
 * alone says what belongs to which. Both groups in random order among each other: then bursts fall on both alike.
 */
export function fisher(
  first: { readonly n: number; readonly k: number },
  second: { readonly n: number; readonly k: number },
): number {
  const arrivals = first.k + second.k;
  let sum = 0;
  for (let k = Math.max(0, arrivals - second.n); k <= first.k; k += 1) {
    sum += Math.exp(
      logChoose(first.n, k) + logChoose(second.n, arrivals - k) - logChoose(first.n + second.n, arrivals),
    );
  }
  return Math.min(1, sum);
}

/**
 * How likely it is that `dead` of `flows` miss every arrival of all rounds, where in each round chance alone says whose
 * packets arrive (`arrivals`: how many did, a number a round). An upper bound: the exact probability for `dead` given
 * flows, times the number of ways to choose them.
 */
export function deadByChance(dead: number, flows: number, arrivals: readonly number[]): number {
  if (dead === 0) return 1;
  let log = logChoose(flows, dead);
  for (const arrived of arrivals) {
    if (arrived > flows - dead) return 0;
    log += logChoose(flows - dead, arrived) - logChoose(flows, arrived);
  }
  return Math.min(1, Math.exp(log));
}

/** Holm's step-down correction: the adjusted p values, in the order given. */
export function holm(ps: readonly number[]): number[] {
  const adjusted = new Array<number>(ps.length).fill(1);
  let floor = 0;
  const byP = ps.map((p, index) => ({ p, index })).sort((left, right) => left.p - right.p);
  byP.forEach(({ p, index }, rank) => {
    floor = Math.min(1, Math.max(floor, p * (ps.length - rank)));
    adjusted[index] = floor;
  });
  return adjusted;
}

/** The exact (Clopper–Pearson) interval for `k` of `n`; [0, 1] where nothing was tried. */
export function clopperPearson(k: number, n: number, confidence = 0.95): { low: number; high: number } {
  const tail = (1 - confidence) / 2;
  if (n === 0) return { low: 0, high: 1 };
  return {
    low: k === 0 ? 0 : solve((p) => binomialTail(k, n, p) - tail),
    high: k === n ? 1 : solve((p) => binomialTail(k + 1, n, p) - (1 - tail)),
  };
}

/** The root of an increasing function on [0, 1]. */
function solve(increasing: (p: number) => number): number {
  let low = 0;
  let high = 1;
  for (let step = 0; step < 60; step += 1) {
    const middle = (low + high) / 2;
    if (increasing(middle) < 0) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/**
 * The sequential boundary: what p a decision after `rounds` rounds must not exceed. The k-th look (one every 8 rounds,
 * a started one counts) may spend α/(k(k+1)). These sum to α over any number of looks (Σ 1/(k(k+1)) = 1), so a run may
 * stop at whatever look it likes, and an old record needs no note of how many were planned.
 */
export function boundary(rounds: number, alpha = ALPHA): number {
  const look = Math.max(1, Math.ceil(rounds / ROUNDS_PER_LOOK));
  return alpha / (look * (look + 1));
}
