import { execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, test } from 'vitest';
import { pinningHere } from '../../src/net/pinning.js';
import { CLI, sourcesIn } from './sources.js';

/**
 * What a test may need beyond Node: programs, root, captures that are not part of the project, optional packages,
 * `dist/` built from the sources as they are.
 * A test that lacks one is skipped, and `npm test` says why in its last line.
 */
export type Need =
  | 'ip'
  | 'nft'
  | 'tshark'
  | 'ndpiReader'
  | 'root'
  | 'captures'
  | 'dist'
  | 'linux'
  | 'unshare'
  | 'mount'
  | 'koffi'
  | 'ping'
  | 'iperf3'
  | 'coturn'
  | 'picoquic'
  | 'quiche'
  | '@roamhq/wrtc'
  | 'node-datachannel';

/** Captures for tests only; they stay beside the repository. */
export const CAPTURES = fileURLToPath(new URL('../../../shared/captures/', import.meta.url));

/** The reason to skip: what is missing here, as people read it; `null` when everything is there. */
export function requires(...needs: readonly Need[]): string | null {
  const missing = needs.map(reasonFor).filter((reason) => reason !== null);
  return missing.length === 0 ? null : missing.join(', ');
}

/** `describe` whose body, hooks included, runs only where all needs are met; else one skipped test that says why. */
export function describeWith(needs: readonly Need[], name: string, body: () => void): void {
  const reason = requires(...needs);
  if (reason === null) describe(name, body);
  else {
    test(name, (context) => {
      context.skip(reason);
    });
  }
}

/** `test` that runs only where all needs are met; else it is skipped and says why. */
export function testWith(needs: readonly Need[], name: string, body: () => void | Promise<void>): void {
  test(name, async (context) => {
    const reason = requires(...needs);
    if (reason !== null) context.skip(reason);
    await body();
  });
}

const known = new Map<Need, string | null>();

function reasonFor(need: Need): string | null {
  let reason = known.get(need);
  if (reason === undefined) known.set(need, (reason = look(need)));
  return reason;
}

function look(need: Need): string | null {
  switch (need) {
    case 'ip':
      return runs('ip', '-V') ? null : 'no ip (iproute2)';
    case 'nft':
      return runs('nft', '--version') ? null : 'no nft (nftables)';
    case 'tshark':
      return runs('tshark', '--version') ? null : 'no tshark';
    case 'ndpiReader':
      return runs('ndpiReader', '-h') ? null : 'no ndpiReader (libndpi-bin)';
    case 'ping':
      return runs('ping', '-V') ? null : 'no ping (iputils)';
    case 'iperf3':
      return runs('iperf3', '--version') ? null : 'no iperf3';
    case 'coturn':
      // It has no option that does nothing and succeeds.
      return isThere('turnutils_natdiscovery') && isThere('turnserver') ? null : 'no coturn';
    case 'picoquic':
      return isFile(process.env.PICOQUIC_DEMO) ? null : 'no picoquic: PICOQUIC_DEMO names no program';
    case 'quiche':
      return isFile(process.env.MATRIXAI_QUIC) ? null : 'no quiche: MATRIXAI_QUIC names no folder of @matrixai/quic';
    case 'root':
      return process.getuid?.() === 0 ? null : 'not root';
    case 'unshare':
      return runs('unshare', '--version') && runs('setpriv', '--version') ? null : 'no unshare or setpriv (util-linux)';
    case 'mount':
      return runs('unshare', '--mount', 'mount', '--version') ? null : 'no mount, or no right to';
    case 'linux':
      return process.platform === 'linux' ? null : 'not Linux';
    case 'koffi':
      return pinningHere().reason;
    case 'captures':
      return existsSync(CAPTURES) ? null : 'no captures beside the repository';
    case 'dist':
      return isBuilt() ? null : 'dist/ is not built from these sources: npm run build';
    case '@roamhq/wrtc':
    case 'node-datachannel':
      return resolves(need) ? null : `no ${need}`;
  }
}

function runs(program: string, ...args: readonly string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore', timeout: 10_000 });
    return true;
  } catch {
    return false;
  }
}

function isThere(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)));
}

function isFile(path: string | undefined): boolean {
  return path !== undefined && existsSync(path);
}

function resolves(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
}

function isBuilt(): boolean {
  if (!existsSync(CLI)) return false;
  const built = statSync(CLI).mtimeMs;
  return sourcesIn('src', 'probes').every(({ file }) => statSync(file).mtimeMs <= built);
}
