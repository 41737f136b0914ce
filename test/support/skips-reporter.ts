import type { Reporter, TestModule } from 'vitest/node';

/** Ends `npm test` with one line: what was skipped, and why. */
export default class SkipsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const reasons = new Map<string, number>();
    for (const module of modules) {
      for (const test of module.children.allTests('skipped')) {
        const result = test.result();
        const reason = (result.state === 'skipped' ? result.note : undefined) ?? 'no reason given';
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      }
    }
    const parts = [...reasons].map(([reason, count]) => `${count} (${reason})`);
    // After the default reporter's summary, which is printed at the end of the same event.
    setImmediate(() => process.stdout.write(`Skipped: ${parts.length === 0 ? 'nothing' : parts.join(', ')}\n`));
  }
}
