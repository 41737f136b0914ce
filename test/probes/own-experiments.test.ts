import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ownExperiment } from '../../probes/own-experiments.js';
import { SeededRandom } from '../../src/base/random.js';
import { parseArmsFile } from '../../src/session/arms-file.js';
import { ownFinding } from '../../src/verdict/findings/own.js';
import { type OwnExperiment, trialNameOf } from '../../src/verdict/own-experiment.js';
import { natCarrier } from '../../src/world/carriers.js';
import { PaperBench, type PaperPacket } from '../support/paper-bench.js';
import { ROOT } from '../support/sources.js';
import { notes, virtualRun } from '../world/worlds.js';

const DOC = readFileSync(join(ROOT, 'docs/experiments.md'), 'utf8');
/** The second block of YAML on the page: its experiment. */
const FILE = [...DOC.matchAll(/```yaml\n(.*?)```/gs)][1]?.[1] ?? '';
const { arms: ownArms, experiments: ownExperiments } = parseArmsFile(FILE, 'my-arms.yaml');

function experiment(text: string): OwnExperiment {
  const [own] = parseArmsFile(`experiments: { mine: { asks: "Does it?", ${text} } }`, 'mine.yaml').experiments;
  if (!own) throw new Error('no experiment');
  return own;
}

function onPaper(own: OwnExperiment, fate: (packet: PaperPacket) => 'arrives' | 'lost', seed = 1) {
  const bench = new PaperBench(trialNameOf(own), fate, { seed });
  bench.run((paper) => ownExperiment(paper, own));
  return { finding: ownFinding(own, bench.trials), bench };
}

const STUN = experiment('test: { arm: stun }');

describe('pairs of a packet and its control', () => {
  test('both ways, each on flows of its own, one right after the other', () => {
    const { finding, bench } = onPaper(STUN, () => 'arrives');
    for (const tally of [finding?.up, finding?.down]) {
      expect(tally).toMatchObject({ n: 48, k: 48, flows: 4, outcome: 'as-well', p: 1, control: { n: 48, k: 48 } });
      // Clopper–Pearson of 48 of 48: 0.025^(1/48).
      expect(tally?.low).toBeCloseTo(0.926, 3);
    }
    const flowsOf = (arm: string): Set<number> =>
      new Set(
        bench.trials.filter(({ packet }) => packet.arm === arm && packet.lengthBytes === null).map(({ flow }) => flow),
      );
    expect([...flowsOf('stun')].some((flow) => flowsOf('random').has(flow))).toBe(false);
  });

  test('a filter is worse, with the p of McNemar’s test: 2^-48 twice over', () => {
    const { finding } = onPaper(STUN, ({ spec, from }) =>
      spec.arm === 'stun' && from === 'client' ? 'lost' : 'arrives',
    );
    expect(finding?.up).toMatchObject({ n: 48, k: 0, outcome: 'worse' });
    expect(finding?.up?.p).toBeLessThanOrEqual(2 * 2 ** -48);
    expect(finding?.down?.outcome).toBe('as-well');
    expect(finding?.summary).toContain('up 0 of 48 (control 48 of 48): worse');
  });

  test('where the control does not arrive nothing is said', () => {
    expect(onPaper(STUN, () => 'lost').finding?.up?.outcome).toBe('undecided');
  });

  test('one way only, ports, length, TTL and grafted bytes are as the file says', () => {
    const own = experiment(
      'from: client, flows: 1, test: { arm: random, length: 200 bytes, ttl: 9, graft: { from: stun, bytes: [0-7, 20] }, ports: { server: 5004 } }',
    );
    const seen: PaperPacket[] = [];
    const { finding } = onPaper(own, (packet) => {
      seen.push(packet);
      return 'arrives';
    });
    expect(finding?.down).toBeNull();
    const [packet] = seen.filter(({ spec }) => spec.ttl === 9);
    expect(packet?.ports).toEqual({ client: null, server: 5004 });
    expect(packet?.bytes).toHaveLength(200);
    // The header of a Binding request with 180 bytes behind it (RFC 8489 §5).
    expect(Buffer.from(packet?.bytes.subarray(0, 8) ?? []).toString('hex')).toBe('000100b42112a442');
    expect(packet?.bytes[20]).toBe(0);
  });

  test('bursts of loss accuse no packet: 0 of 300 runs at 25 %, 2 s long', () => {
    let worse = 0;
    for (let seed = 0; seed < 300; seed += 1) {
      const random = new SeededRandom(`burst ${seed}`);
      const bad = Array.from({ length: 40 }, () => random.uint32() % 4 === 0);
      const { finding } = onPaper(STUN, ({ at }) => (bad[Math.floor(at / 2000)] === true ? 'lost' : 'arrives'), seed);
      if (finding?.up?.outcome === 'worse' || finding?.down?.outcome === 'worse') worse += 1;
    }
    expect(worse).toBe(0);
  });
});

test('the page’s experiment, between two hosts: what the report says', () => {
  const drops = natCarrier('drops RTP', 'a test', { mapping: 'eim', filtering: 'apdf', ports: 'preserving' }, [
    { match: { bytes: [{ offset: 0, value: [0x80, 0x60] }] }, action: { type: 'drop' } },
  ]);
  const uplinks = notes(
    drops,
    natCarrier('open', 'a test', { mapping: 'eim', filtering: 'apdf', ports: 'preserving' }),
  );
  const report = virtualRun({
    uplinks,
    plan: { arms: ['random', 'stun'], ownArms, ownExperiments },
  }).run();
  const [path] = report.paths.filter(({ wanted }) => wanted);
  expect(path?.state).toBe('established');
  const [finding] = path?.findings.user ?? [];
  expect(finding).toMatchObject({ experiment: 'rtp', up: { n: 48, k: 0, outcome: 'worse' }, down: { n: 48, k: 0 } });
  expect(DOC.replace(/\s+/g, ' ')).toContain(finding?.summary.replace(/\s+/g, ' ') ?? 'nothing');
});
