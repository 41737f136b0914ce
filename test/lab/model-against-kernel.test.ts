import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KernelRouter } from '../support/kernel-router.js';
import { ModelRouter } from '../support/model-router.js';
import { type PacketScript, ScriptRun, siteOf, TICK_MS } from '../support/packet-script.js';
import { randomScript } from '../support/random-script.js';
import { kernelRouterOf, RULE_SETS, type RuleSet } from '../support/rule-sets.js';
import { describeWith } from '../support/skip.js';
import { FILTER_SCRIPTS, FIREWALL_SCRIPTS, NAT_SCRIPTS } from './packet-scripts.js';

const LAST_TICK = 14;
/** Of each rule set, beside those written by hand. */
const RANDOM_SCRIPTS = 60;

/** One rule set in the kernel and in the model, and what came of the same packets in both. */
class Comparison {
  readonly ruleSet: RuleSet;
  readonly scripts: readonly PacketScript[];
  readonly tally = { packets: 0, delivered: 0, answered: 0, dropped: 0 };
  readonly #kernel: KernelRouter;
  readonly #model: ModelRouter;
  #sites = 0;

  constructor(ruleSet: RuleSet) {
    const { name, translates } = ruleSet;
    this.ruleSet = ruleSet;
    this.#kernel = kernelRouterOf(ruleSet);
    this.#model = new ModelRouter(ruleSet.boxes());
    const byHand = translates ? NAT_SCRIPTS : name.includes('firewall') ? FIREWALL_SCRIPTS : FILTER_SCRIPTS;
    const random = Array.from({ length: RANDOM_SCRIPTS }, (_, seed) =>
      randomScript(`${name} ${seed}`, {
        box: translates,
        privileged: !name.includes('random'),
        // In the model a firewall looks at what comes in before the TTL is looked at, in the kernel after that.
        dyingInside: !name.includes('firewall'),
        steps: 12,
        ticks: LAST_TICK,
      }),
    );
    this.scripts = [...byHand, ...random];
  }

  begin(script: PacketScript): PairedRun {
    this.#sites += 1;
    const site = siteOf(this.ruleSet.family, this.#sites);
    return new PairedRun(script, new ScriptRun(script, site), new ScriptRun(script, site));
  }

  /** Kernel and model get the packets at the same time, which is what the kernel's clock says. */
  step(run: PairedRun, index: number): void {
    const now = performance.now();
    const kernel = run.kernel.step(index, (packet, from) => this.#kernel.pass(packet, from), now);
    const model = run.model.step(index, (packet, from) => this.#model.pass(packet, from, now), now);
    run.told.push(`${index}: kernel ${kernel}${kernel === model ? '' : `\n   but model ${model}`}`);
    run.differs ||= kernel !== model;
    if (kernel === 'not sent') return;
    this.tally.packets += 1;
    this.tally[kernel === 'dropped' ? 'dropped' : run.kernel.hasCrossed(index) ? 'delivered' : 'answered'] += 1;
  }

  close(): void {
    this.#kernel.close();
  }
}

class PairedRun {
  readonly script: PacketScript;
  readonly kernel: ScriptRun;
  readonly model: ScriptRun;
  readonly told: string[] = [];
  differs = false;

  constructor(script: PacketScript, kernel: ScriptRun, model: ScriptRun) {
    this.script = script;
    this.kernel = kernel;
    this.model = model;
  }

  toString(): string {
    return [this.script.name, ...this.told].join('\n');
  }
}

/** All scripts at once, tick by tick; gives the runs in which kernel and model differ. */
async function run(pairs: readonly { comparison: Comparison; script: PacketScript }[]) {
  const running = pairs.map(({ comparison, script }) => ({ comparison, script, run: comparison.begin(script) }));
  const start = performance.now();
  for (let tick = 0; tick <= LAST_TICK; tick += 1) {
    await sleep(Math.max(0, start + tick * TICK_MS - performance.now()));
    for (const { comparison, script, run } of running) {
      for (const [index, { at }] of script.steps.entries()) {
        if (at === tick && !run.differs) comparison.step(run, index);
      }
    }
  }
  return running.filter(({ run }) => run.differs);
}

describeWith(['linux', 'root', 'ip', 'nft', 'koffi'], 'the model against the kernel', () => {
  const comparisons: Comparison[] = [];
  let differences: Awaited<ReturnType<typeof run>> = [];

  beforeAll(async () => {
    for (const ruleSet of RULE_SETS) comparisons.push(new Comparison(ruleSet));
    const all = comparisons.flatMap((comparison) => comparison.scripts.map((script) => ({ comparison, script })));
    // Two draws of a random port may meet by chance, and on a busy machine a packet comes late by half a tick: what
    // differs in truth differs every time.
    differences = await run(all);
    for (let again = 0; again < 2 && differences.length > 0; again += 1) differences = await run(differences);
  }, 90_000);

  afterAll(() => {
    for (const comparison of comparisons) comparison.close();
  });

  for (const ruleSet of RULE_SETS) {
    test(`${ruleSet.name}: every packet has the same fate`, async ({ annotate }) => {
      const own = differences.filter(({ comparison }) => comparison.ruleSet === ruleSet);
      expect(own.map(({ run }) => run.toString()).slice(0, 5)).toEqual([]);
      const { scripts, tally } = comparisons.find((comparison) => comparison.ruleSet === ruleSet) ?? {};
      await annotate(`${scripts?.length} scripts: ${JSON.stringify(tally)}`);
      // Some of everything, else equal fates say little.
      expect(tally?.delivered).toBeGreaterThan(100);
      expect((tally?.answered ?? 0) + (tally?.dropped ?? 0)).toBeGreaterThan(100);
    });
  }
});
