import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'vitest';
import { formatTransportAddress, type TransportAddress } from '../../src/base/address.js';

/** The version whose answers the tests know: Debian 12's libndpi-bin. */
const KNOWN_VERSION = '4.2';

export interface NdpiAnswer {
  /** `4.2.0`. */
  readonly version: string;
  /** What it calls the flow between two endpoints, either first: `STUN`; `Unknown` for what it calls nothing. */
  readonly called: (one: TransportAddress, other: TransportAddress) => string;
}

/** What ndpiReader calls the flows of a capture. */
export function ndpiReader(capture: Uint8Array): NdpiAnswer {
  const directory = mkdtempSync(join(tmpdir(), 'icepath-ndpi-'));
  try {
    const [file, flows] = [join(directory, 'capture'), join(directory, 'flows')];
    writeFileSync(file, capture);
    // Without its guesses from port and address.
    const told = execFileSync('ndpiReader', ['-d', '-i', file, '-C', flows], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const version = /nDPI \(([\d.]+)/.exec(told)?.[1] ?? 'unknown';
    const known = namesOf(readFileSync(flows, 'utf8'));
    return {
      version,
      called: (one, other) => known.get(flowOf(...[one, other].map(formatTransportAddress))) ?? 'Unknown',
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Skips where ndpiReader is another version than the expectations are of, and tells what that one says. */
export function expectVersion(context: TestContext, { version }: NdpiAnswer, says: unknown): void {
  if (version.startsWith(`${KNOWN_VERSION}.`)) return;
  context.skip(`ndpiReader is ${version}, known is ${KNOWN_VERSION}; this one says ${JSON.stringify(says)}`);
}

/** Flows that it knows; those that it does not are not in its table. */
function namesOf(csv: string): Map<string, string> {
  const [head = '', ...rows] = csv.split('\n').filter((line) => line !== '');
  const columns = head.replace('#', '').split(',');
  return new Map(
    rows.map((row) => {
      const cells = row.split(',');
      const cell = (name: string): string => cells[columns.indexOf(name)] ?? '';
      const ends = ['src', 'dst'].map((end) => `${cell(`${end}_ip`)}:${cell(`${end}_port`)}`);
      return [flowOf(...ends), cell('ndpi_proto')];
    }),
  );
}

function flowOf(...ends: readonly string[]): string {
  return ends.toSorted().join(' ');
}
