/** Milliseconds on a monotonic clock, or a span of them. Machines never read a clock: `now` is an argument. */
export type Ms = number;

/** "Nothing is scheduled": the deadline of a machine that waits for input only. */
export const NEVER: Ms = Number.POSITIVE_INFINITY;

/** The earliest of several deadlines; {@link NEVER} when there are none. */
export function earliest(...deadlines: readonly Ms[]): Ms {
  let first = NEVER;
  for (const deadline of deadlines) if (deadline < first) first = deadline;
  return first;
}
