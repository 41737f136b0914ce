import { describe, expect, it } from 'vitest';
import type { PathReport, Report } from '../../src/verdict/report.js';
import { type BoxDescription, dropsPeerUdp } from '../../src/world/box-description.js';
import type { Carrier } from '../../src/world/carriers.js';
import type { LinkOptions } from '../../src/world/link.js';
import { mesh, virtualRun } from '../world/worlds.js';

const HOP: BoxDescription = { type: 'hop' };
const UNGUARDED: BoxDescription = { type: 'nat', nat: 'linux-unguarded' };
const NO_PEERS: BoxDescription = { type: 'filter', rules: [dropsPeerUdp()] };
const of = (...boxes: BoxDescription[]): Carrier => ({ name: 'test', observed: 'facts.md', families: ['ipv4'], boxes });
/** facts.md: a laptop behind one Linux NAT, a desktop behind two. */
const [LAPTOP, DESKTOP] = [of(HOP, UNGUARDED), of(HOP, UNGUARDED, HOP, UNGUARDED)];

/** The desktop hears late what it looks like from outside: its packets are at the laptop's NAT before any answer to them. */
const SOON = { up: { delayMs: 5 }, down: { delayMs: 5 } };
const LATE = { up: { delayMs: 5 }, down: { delayMs: 150 } };
const lossy = (link: LinkOptions, loss: Partial<LinkOptions>): LinkOptions => ({ ...link, ...loss });

function run(
  seed: number,
  { client = LAPTOP, server = DESKTOP, loss = {} }: { client?: Carrier; server?: Carrier; loss?: Partial<LinkOptions> },
): { readonly path: PathReport; readonly report: Report } {
  const uplinks = mesh({
    o2: { carrier: client, up: lossy(SOON.up, loss), down: lossy(SOON.down, loss) },
    telekom: { carrier: server, up: lossy(LATE.up, loss), down: lossy(LATE.down, loss) },
  }).filter(({ kind }) => kind === 'cellular');
  const report = virtualRun({ seed, uplinks, plan: { arms: ['random', 'stun'] } }).run();
  const path = report.paths.find(({ id }) => id === 'wwan0-usb0-v4');
  if (!path) throw new Error('no path');
  return { path, report };
}

const said = ({ state, cause }: PathReport): string => `${state} ${cause ?? '–'}`;

describe('low-TTL openers', () => {
  it('facts.md: 20 of 20 come up behind them, and the report names them and their TTLs', () => {
    for (let seed = 0; seed < 20; seed += 1) {
      const { path } = run(seed, {});
      expect(said(path)).toBe('established –');
      expect(path.ways).toEqual([{ way: 'opener', arm: 'stun', ttl: { client: 2, server: 3 }, helped: true }]);
      expect(path.summary).toContain('behind low-TTL openers (TTL 2 at the client, 3 at the server)');
    }
  });

  it('only the end whose NAT needs one sends one', () => {
    const guarded: BoxDescription = { type: 'nat', nat: 'linux-guarded' };
    const { path } = run(1, { server: of(HOP, guarded) });
    expect(path.state).toBe('established');
    expect(path.ways).toMatchObject([{ ttl: { client: 2, server: null }, helped: true }]);
  });

  it.each<[string, Partial<LinkOptions>]>([
    ['12 % loss', { loss: 0.12 }],
    ['a quarter of the time lost in bursts of 1 s', { bursts: { loss: 0.25, burstMs: 1000 } }],
  ])('at %s it comes up all the same or is nobody’s block', (_name, loss) => {
    // Five in six, and never a block. One that came up may lose its consent again: bursts on four links leave 0.75⁴,
    // a third, of the answers, and six requests in 30 s (RFC 7675 §5.1) are all lost in one of ten such spans.
    const paths = Array.from({ length: 12 }, (_, seed) => run(seed, { loss }));
    for (const { path, report } of paths) {
      expect(['established –', 'lost –', 'failed nat-incompatible', 'inconclusive –']).toContain(said(path));
      expect(report.carriers.filter(({ verdict }) => /^(blocks|filters)/.test(verdict))).toEqual([]);
    }
    expect(paths.filter(({ path }) => path.state === 'established').length).toBeGreaterThanOrEqual(10);
  });

  it('where peers are dropped as well: three tries, and still not called a block, since the NATs may be why', () => {
    const { path, report } = run(1, { client: of(HOP, NO_PEERS, UNGUARDED) });
    expect(said(path)).toBe('failed nat-incompatible');
    expect(path.ways.map(({ helped }) => helped)).toEqual([false, false, false]);
    expect(path.summary).toContain('3 tries on fresh sockets behind low-TTL openers');
    expect(report.exit.code).toBe(3);
  });

  it('are not tried where they cannot help', () => {
    const symmetric: BoxDescription = { type: 'nat', nat: { mapping: 'apdm', filtering: 'apdf', ports: 'random' } };
    const { path } = run(1, { server: of(HOP, symmetric) });
    expect(said(path)).toBe('failed nat-incompatible');
    expect(path.ways).toEqual([]);
  });
});
