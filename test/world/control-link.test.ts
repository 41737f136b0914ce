import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { concatBytes } from '../../src/base/bytes.js';
import type { Report } from '../../src/verdict/report.js';
import { captureInterfaces } from '../../src/world/capture.js';
import { CARRIERS } from '../../src/world/carriers.js';
import { buildInternet } from '../../src/world/internet.js';
import { VirtualRun } from '../../src/world/virtual-run.js';
import { testWith } from '../support/skip.js';
import { tsharkFields } from '../support/tshark.js';
import { mesh, notes, PLAN, type RunOptions, virtualRun } from './worlds.js';

/** What a person reads first. */
function verdict(report: Report): unknown {
  return {
    paths: report.paths.filter(({ wanted }) => wanted).map(({ id, state, cause }) => [id, state, cause]),
    carriers: report.carriers.map(({ label, family, verdict: said }) => [label, family, said]),
    exit: report.exit.code,
  };
}

/** When the client's record says that the control channel was lost. */
function lostAt({ client }: VirtualRun): number | undefined {
  return client.events.find(({ type }) => type === 'control-lost')?.t;
}

/** Over the two links of the LAN, so that one segment in ten is lost between the hosts. */
const TEN_PERCENT = 1 - Math.sqrt(0.9);

describe('a whole session over a control channel that loses', () => {
  const worlds: [string, readonly number[], RunOptions][] = [
    ['control-open', [1], {}],
    ['ice-02', [1, 2, 3], { uplinks: notes(CARRIERS.o2, CARRIERS.telekom) }],
    ['matrix-peers-o2', [1], { uplinks: mesh({ o2: { carrier: CARRIERS.o2 } }) }],
  ];

  it.each(worlds)('%s: one segment in ten lost on the LAN, the same verdict', (_, seeds, options) => {
    for (const seed of seeds) {
      const quiet = virtualRun({ ...options, seed }).run();
      const lossy = virtualRun({ ...options, seed, lan: { link: { delayMs: 0.25, loss: TEN_PERCENT } } }).run();
      expect(verdict(lossy)).toEqual(verdict(quiet));
    }
  });
});

describe('where the control channel runs', () => {
  it('without a LAN: over a public address of the server', () => {
    const report = virtualRun({ lan: null, uplinks: notes(CARRIERS.open, CARRIERS.public) }).run();
    expect(report.paths.map(({ id, state }) => [id, state])).toEqual([['wwan0-usb0-v4', 'established']]);
    expect(report.exit.code).toBe(0);
  });

  it('nowhere, when both ends have private addresses alone: an error that says what was tried', () => {
    expect(() => virtualRun({ lan: null }).run()).toThrow(
      'No control channel to the server. 10.30.0.2:4800: No connection (ENETUNREACH). 10.40.0.2:4800: No connection (ENETUNREACH).',
    );
  });
});

describe('an end that is gone in mid-run', () => {
  it('killed: the other hears it within a round trip', () => {
    const run = virtualRun();
    run.at(5000, () => {
      run.server.kill();
    });
    run.run();
    expect(lostAt(run)).toBeGreaterThan(5000);
    expect(lostAt(run)).toBeLessThan(5002);
  });

  it('its cable pulled: after 6 s of silence', () => {
    const internet = buildInternet({ seed: 1, uplinks: mesh() });
    const run = new VirtualRun({ internet, seed: 1, version: 'test', plan: PLAN });
    const cable = internet.cables.get('server.eth0');
    run.at(5000, () => cable?.setUp(false));
    run.run();
    // A ping every 2 s, so what was heard last was said between 3 and 5 s.
    expect(lostAt(run)).toBeGreaterThan(9000);
    expect(lostAt(run)).toBeLessThan(11_010);
  });
});

testWith(['tshark'], 'tshark reads what a run captures on the LAN as one sane TCP connection', () => {
  const internet = buildInternet({ seed: 1, uplinks: notes(CARRIERS.o2, CARRIERS.telekom) });
  const pieces: Uint8Array[] = [];
  const finish = captureInterfaces(internet, 1_717_674_360_000, (host) => ({
    write: (bytes) => {
      if (host === 'client') pieces.push(bytes);
    },
  }));
  new VirtualRun({ internet, seed: 1, version: 'test', plan: PLAN }).run();
  finish();
  const directory = mkdtempSync(join(tmpdir(), 'icepath-control-'));
  try {
    const file = join(directory, 'client.pcapng');
    writeFileSync(file, concatBytes(...pieces));
    const streams = tsharkFields(file, 'tcp.port == 4800', 'tcp.stream').map(([stream]) => stream);
    expect(new Set(streams).size).toBe(1);
    const [first] = tsharkFields(file, 'tcp.port == 4800', 'ip.src', 'ip.dst', 'tcp.flags.syn');
    expect(first).toEqual(['192.168.77.1', '192.168.77.2', '1']);
    const odd = 'tcp.port == 4800 && (tcp.analysis.flags || tcp.checksum.status == 0 || _ws.malformed)';
    expect(tsharkFields(file, odd, 'frame.number', '_ws.expert.message')).toEqual([]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
