import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { concatBytes } from '../../src/base/bytes.js';
import { writePcap } from './pcap.js';

export interface Captured {
  readonly from: 'client' | 'server';
  readonly payload: Uint8Array;
}

const FILE_HEADER = 24;
const ADDRESSES_AT = 16 + 12;
const PORTS_AT = 16 + 20;
const PORT = { client: 50_000, server: 443 } as const;

/** A capture of datagrams in both directions, as tshark wants it to tell a client from a server. */
function pcapOf(datagrams: readonly Captured[]): Uint8Array {
  const records = datagrams.map(({ from, payload }) => {
    const record = writePcap([payload], 0).slice(FILE_HEADER);
    if (from === 'server') {
      const swapped = concatBytes(
        record.subarray(ADDRESSES_AT + 4, ADDRESSES_AT + 8),
        record.subarray(ADDRESSES_AT, ADDRESSES_AT + 4),
      );
      record.set(swapped, ADDRESSES_AT);
    }
    const view = new DataView(record.buffer);
    view.setUint16(PORTS_AT, PORT[from]);
    view.setUint16(PORTS_AT + 2, PORT[from === 'client' ? 'server' : 'client']);
    return record;
  });
  return concatBytes(writePcap([], 0), ...records);
}

/** What tshark reads in QUIC datagrams with the help of a key log: for each a list of values for each field. */
export function tsharkQuic(
  datagrams: readonly Captured[],
  keylog: readonly string[],
  ...fields: readonly string[]
): string[][][] {
  const directory = mkdtempSync(join(tmpdir(), 'icepath-quic-'));
  try {
    const [capture, keys] = [join(directory, 'capture'), join(directory, 'keys')];
    writeFileSync(capture, pcapOf(datagrams));
    writeFileSync(keys, `${keylog.join('\n')}\n`);
    const asked = fields.flatMap((field) => ['-e', field]);
    const options = ['-r', capture, '-o', `tls.keylog_file:${keys}`, '-T', 'fields', '-E', 'aggregator=;', ...asked];
    const output = execFileSync('tshark', options, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return output
      .split('\n')
      .slice(0, datagrams.length)
      .map((line) => line.split('\t').map((values) => (values === '' ? [] : values.split(';'))));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
