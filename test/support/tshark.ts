import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writePcap } from './pcap.js';

/** tshark leaves these alone unless it is told to look. */
const CHECKSUMS = ['ip', 'udp', 'tcp'].flatMap((protocol) => ['-o', `${protocol}.check_checksum:TRUE`]);

/** One row of fields a frame of a capture file that `filter` takes. */
export function tsharkFields(file: string, filter: string, ...fields: readonly string[]): string[][] {
  return fieldsOf(['-r', file, ...CHECKSUMS], filter, fields);
}

/** The same of what the keys of a SSLKEYLOGFILE open. */
export function tsharkDecrypted(
  { file, keylog }: { readonly file: string; readonly keylog: string },
  filter: string,
  ...fields: readonly string[]
): string[][] {
  return fieldsOf(['-r', file, ...CHECKSUMS, '-o', `tls.keylog_file:${keylog}`], filter, fields);
}

function fieldsOf(options: readonly string[], filter: string, fields: readonly string[]): string[][] {
  const asked = fields.flatMap((field) => ['-e', field]);
  const output = execFileSync('tshark', [...options, '-Y', filter, '-T', 'fields', ...asked], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 64 * 1024 * 1024,
  });
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'));
}

/** The same for a capture that is in no file yet. */
export function tsharkFieldsIn(capture: Uint8Array, filter: string, ...fields: readonly string[]): string[][] {
  const directory = mkdtempSync(join(tmpdir(), 'icepath-tshark-'));
  try {
    const file = join(directory, 'capture');
    writeFileSync(file, capture);
    return tsharkFields(file, filter, ...fields);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The same for UDP payloads that were on no network, each between two equal ports. */
export function tsharkFieldsOf(
  payloads: readonly Uint8Array[],
  port: number,
  ...fields: readonly string[]
): string[][] {
  return tsharkFieldsIn(writePcap(payloads, port), 'udp', ...fields);
}
