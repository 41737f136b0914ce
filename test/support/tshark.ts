import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writePcap } from './pcap.js';

/** One row of fields a frame of a capture file that `filter` takes. */
export function tsharkFields(file: string, filter: string, ...fields: readonly string[]): string[][] {
  const asked = fields.flatMap((field) => ['-e', field]);
  const output = execFileSync('tshark', ['-r', file, '-Y', filter, '-T', 'fields', ...asked], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 64 * 1024 * 1024,
  });
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'));
}

/** The same for UDP payloads that were on no network, each between two equal ports. */
export function tsharkFieldsOf(
  payloads: readonly Uint8Array[],
  port: number,
  ...fields: readonly string[]
): string[][] {
  const directory = mkdtempSync(join(tmpdir(), 'icepath-tshark-'));
  try {
    const file = join(directory, 'payloads.pcap');
    writeFileSync(file, writePcap(payloads, port));
    return tsharkFields(file, 'udp', ...fields);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
