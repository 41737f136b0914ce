import { describe, expect, it } from 'vitest';
import type { Report } from '../../src/verdict/report.js';
import { parseScenario } from '../../src/world/scenario-file.js';
import { runVirtual } from '../../src/world/virtual-lab.js';
import { textOf } from './scenario-files.js';

/** As control-open, o2 having this filter. */
function run(filter: string): Report {
  const text = `
like: control-open
title: A gateway writes into STUN
story: As in control-open, with a gateway.
meaning: Nobody filters anything.
carriers:
  gateway:
    observed: made up
    boxes:
      - hop
      - filter: ${filter}
      - firewall: ipv6
      - nat: { mapping: eim, filtering: apdf, ports: preserving }
client:
  interfaces:
    wwan0: { carrier: gateway }
expect: { state: established, exit: 0 }
`;
  return runVirtual(parseScenario(text, 'altered', textOf), { seed: 3, version: 'test' }).report;
}

const accusing = ({ carriers }: Report): string[] =>
  carriers.filter(({ verdict }) => /^(?:blocks|filters)-/.test(verdict)).map(({ label }) => label);

// RFC 8489 §14.5: MESSAGE-INTEGRITY is over everything before it.
describe('a gateway that writes into STUN', () => {
  it('into everything that it takes for STUN by more than one sign: no check comes up, nobody is accused', () => {
    const report = run('{ match: { classifier: stun-shape }, action: { rewrite: { at: 30, with: 0a 14 00 02 } } }');
    const path = report.paths.find(({ wanted }) => wanted);
    expect(path?.summary).toContain('STUN arrives altered');
    expect(accusing(report)).toEqual([]);
    expect(path?.cause).toBe('payload-rewritten');
  });

  it('into the XOR-MAPPED-ADDRESS of success responses that come in (RFC 8489 §6.3.3: type 0x0101)', () => {
    const match = '{ heading: in, bytes: [{ at: 0, are: 01 01 }, { at: 4, are: 21 12 a4 42 }] }';
    const report = run(`{ match: ${match}, action: { rewrite: { at: 28, with: 2b 06 a4 40 } } }`);
    const path = report.paths.find(({ wanted }) => wanted);
    expect(path).toMatchObject({ state: 'established', cause: 'payload-rewritten' });
    expect(path?.summary).toMatch(/down the integrity of (?:answers to checks|the reference's answers in stun\b)/);
    expect(accusing(report)).toEqual([]);
  });
});
