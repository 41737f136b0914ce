import { describe, expect, it } from 'vitest';
import type { PathReport } from '../../src/verdict/report.js';
import { parseScenario } from '../../src/world/scenario-file.js';
import { runVirtual } from '../../src/world/virtual-lab.js';
import { scenario, textOf } from './scenario-files.js';

/** Routers before the NAT, the filter behind so many of them. */
const ROUTERS = 4;

function wantedOf(like: string, filterAfter: number, filter: string, first?: string): PathReport | undefined {
  const hops = Array.from({ length: ROUTERS }, () => '      - hop');
  hops.splice(filterAfter, 0, `      - filter: ${filter}`);
  if (first !== undefined) hops.splice(1, 0, `      - filter: ${first}`);
  const text = `
like: ${like}
title: A filter behind ${String(filterAfter)} routers
story: As in ${like}, with more routers.
meaning: The report tells between which two it is.
carriers:
  mine:
    observed: made up
    boxes:
${hops.join('\n')}
      - firewall: ipv6
      - nat: { mapping: eim, filtering: apdf, ports: preserving }
client:
  interfaces:
    wwan0: { carrier: mine }
expect: { state: established, exit: 0 }
`;
  const { report } = runVirtual(parseScenario(text, 'where', textOf), { seed: filterAfter, version: 'test' });
  return report.paths.find((path) => path.wanted);
}

function upOf(path: PathReport | undefined): (number | undefined)[] {
  const up = path?.location.find(({ direction }) => direction === 'up');
  return [up?.after.hop, up?.before?.hop];
}

describe('where', () => {
  it.each([0, 1, 3, 4])('a stateless filter is, behind %i routers', (filterAfter) => {
    const path = wantedOf(
      'matrix-cookie',
      filterAfter,
      '{ match: { bytes: { at: 4, are: 21 12 a4 42 } }, action: drop }',
    );
    expect(path?.cause).toBe('stun-filtered');
    expect(upOf(path)).toEqual([filterAfter, filterAfter + 1]);
  });

  it('a filter is that takes the tuple along', () => {
    const filter = '{ match: { bytes: { at: 4, are: 21 12 a4 42 }, heading: out }, action: { residual: 5 s } }';
    const path = wantedOf('matrix-cookie', 2, filter);
    expect(path?.location.find(({ direction }) => direction === 'up')).toMatchObject({
      method: 'tuple',
      after: { hop: 2 },
      before: { hop: 3 },
    });
  });

  it('peers are dropped, as far as the way to the reference is the same', () => {
    const path = wantedOf('matrix-peers-o2', 2, '{ match: { remote-except: servers }, action: drop }');
    expect(path?.state).toBe('blocked');
    expect(upOf(path)).toEqual([2, 3]);
    expect(path?.summary).toContain('if it takes the way of packets to the reference so far');
  });
});

describe('what routers quote of packets that never arrive', () => {
  const peers = '{ match: { remote-except: servers }, action: drop }';

  it('something rewrites them before they are dropped', () => {
    const rewrites =
      '{ match: { remote-except: servers, heading: out }, action: { rewrite: { at: 60, with: de ad } } }';
    const path = wantedOf('matrix-peers-o2', 3, peers, rewrites);
    expect(path).toMatchObject({ state: 'blocked', cause: 'peer-udp-blocked' });
    const up = path?.findings.quoted.find(({ direction }) => direction === 'up');
    expect(up).toMatchObject({ arm: 'random', place: { after: { hop: 1 }, before: { hop: 2 } } });
    expect(path?.summary).toMatch(/random packets up are rewritten .* hop 1 \(\S+\) quotes what was sent and hop 2 /);
    expect(path?.headline).toContain('before that something rewrites the packets');
  });

  it('nothing does, as far as they get', () => {
    const path = wantedOf('matrix-peers-o2', 3, peers);
    const up = path?.findings.quoted.find(({ direction }) => direction === 'up');
    expect(up).toMatchObject({ arm: 'random', place: { after: { hop: 3 }, before: null } });
    expect(path?.summary).not.toContain('rewrite');
  });
});

// verdicts.md: "rate ± 20 %", of 150 packets a second.
it('how much passes', () => {
  const { report } = runVirtual(scenario('matrix-rate'), { seed: 2, version: 'test' });
  const found = report.paths.find((path) => path.wanted)?.findings.rate ?? [];
  expect(found).toMatchObject([{ direction: 'up', unit: 'packets' }]);
  expect(found[0]?.perSecond).toBeGreaterThanOrEqual(120);
  expect(found[0]?.perSecond).toBeLessThanOrEqual(180);
});
