import { expect, test } from 'vitest';
import { type Machine, Queue } from '../../src/base/machine.js';
import { NEVER, type Ms } from '../../src/base/time.js';
import { Driver, REAL_EFFECTS } from '../../src/net/driver.js';
import type { SessionInput, SessionOutput } from '../../src/session/io.js';

/** Wakes up ten times, 5 ms after the time before. */
class Sleeper implements Machine<SessionInput, SessionOutput> {
  readonly times: Ms[] = [];
  readonly #outputs = new Queue<SessionOutput>();

  handle(_input: SessionInput, now: Ms): void {
    this.times.push(now);
    if (this.times.length === 10) this.#outputs.push({ type: 'finished' });
  }

  poll(): SessionOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Ms {
    return (this.times.at(-1) ?? NEVER) + 5;
  }
}

test('a wall clock that is set while a run goes on moves nothing: it is asked once, for the date of the record', async () => {
  let asked = 0;
  const wallClock = (): string => {
    asked += 1;
    return new Date(Date.UTC(2026, 0, 1) - asked * 3_600_000).toISOString();
  };
  const effects = { ...REAL_EFFECTS, wallClock, readCounters: () => Promise.resolve(null) };
  const machine = new Sleeper();
  await new Driver({
    machine,
    interfaces: [],
    sink: { event: () => undefined, log: () => undefined },
    effects,
  }).run();
  expect(asked).toBe(1);
  expect(machine.times).toHaveLength(10);
  expect(machine.times.every((time, index) => index === 0 || time >= (machine.times[index - 1] ?? 0) + 5)).toBe(true);
});
