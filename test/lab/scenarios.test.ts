import { afterAll, expect, test } from 'vitest';
import { destroyLabs } from '../support/lab.js';
import { runScenario } from '../support/lab-scenario.js';
import { describeWith } from '../support/skip.js';
import { SCENARIOS } from './scenarios.js';

// icepath as people run it (what `npm run build` makes), between kernel NATs and filters. `npm run lab:repeat -- 10`
// runs each ten times.

const SCENARIO_TIMEOUT_MS = 600_000;

describeWith(['linux', 'ip', 'nft', 'root', 'koffi', 'dist'], 'scenarios between kernel NATs and filters', () => {
  afterAll(destroyLabs);

  test.concurrent.for(SCENARIOS.map((scenario) => [`${scenario.name}: ${scenario.why}`, scenario] as const))(
    '%s',
    { timeout: SCENARIO_TIMEOUT_MS },
    async ([, scenario]) => {
      const { mismatches } = await runScenario(scenario);
      expect(mismatches).toEqual([]);
    },
  );
});
