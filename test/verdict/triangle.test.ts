import { describe, expect, it } from 'vitest';
import { legsWords } from '../../src/verdict/triangle.js';
import { runVirtual } from '../../src/world/virtual-lab.js';
import { scenario } from '../world/scenario-files.js';

describe('what the legs to the reference tell of where a filter is', () => {
  it.each([
    ['matrix-cookie', 'STUN dies between the client and the reference as well and passes between the server'],
    ['matrix-peers-o2', 'UDP passes between either end and the reference: what drops it is on the part of the way'],
    ['control-open', null],
  ] as const)('%s', (name, words) => {
    const { report } = runVirtual(scenario(name), { seed: 1, version: 'test' });
    const summary = report.paths.find((path) => path.wanted)?.summary ?? '';
    if (words === null) expect(summary).not.toContain('and the reference');
    else expect(summary).toContain(words);
  });

  it('is nothing where a leg is not decided', () => {
    expect(legsWords('STUN', { client: 'passes', server: 'unknown' })).toBe('');
    expect(legsWords('STUN', { client: 'fails', server: 'unknown' })).toBe('');
    expect(legsWords('STUN', { client: 'unknown', server: 'unknown' })).toBe('');
  });

  it('accuses no single end where both legs die', () => {
    expect(legsWords('STUN', { client: 'fails', server: 'fails' })).toContain('either end');
  });
});
