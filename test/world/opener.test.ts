import { describe, expect, it } from 'vitest';
import type { NatModel } from '../../src/verdict/words.js';
import type { BoxDescription } from '../../src/world/box-description.js';
import { type Carrier, CARRIERS, natCarrier } from '../../src/world/carriers.js';
import { mesh, virtualRun } from './worlds.js';

/** What the NAT probes measure of the client's modem in a whole run. */
function measured(carrier: Carrier): NatModel | null {
  const uplinks = mesh({ o2: { carrier } }).filter(({ kind }) => kind === 'cellular');
  const report = virtualRun({ uplinks, plan: { arms: ['random', 'stun'] } }).run();
  const client = report.run.hosts.find(({ role }) => role === 'client');
  return client?.interfaces.find(({ name }) => name === 'wwan0')?.nat.ipv4 ?? null;
}

const HOP: BoxDescription = { type: 'hop' };
const UNGUARDED: BoxDescription = { type: 'nat', nat: 'linux-unguarded' };
const nat = (filtering: 'eif' | 'adf' | 'apdf'): BoxDescription => ({
  type: 'nat',
  nat: { mapping: 'eim', filtering, ports: 'preserving' },
});
const of = (...boxes: BoxDescription[]): Carrier => ({ name: 'test', observed: 'a test', families: ['ipv4'], boxes });

const PHONE_AND_CGNAT = of(HOP, UNGUARDED, HOP, UNGUARDED);

describe('the TTL of an opener: routers as far as the outermost NAT that has to be opened, and one', () => {
  it('facts.md: 2 behind one NAT, 3 behind a phone and a CGNAT', () => {
    expect(measured(natCarrier('unguarded', 'facts.md', 'linux-unguarded'))?.opener?.ttl).toBe(2);
    expect(measured(PHONE_AND_CGNAT)?.opener?.ttl).toBe(3);
  });

  it.each<[string, Carrier, number]>([
    ['three routers before it', of(HOP, HOP, HOP, UNGUARDED), 4],
    ['two of them in a row', of(HOP, UNGUARDED, HOP, HOP, UNGUARDED), 4],
    ['a carrier’s NAT far away', of(HOP, nat('apdf'), HOP, HOP, HOP, HOP, HOP, HOP, UNGUARDED), 8],
    ['an outer NAT that lets anybody in need not be opened', of(HOP, UNGUARDED, HOP, nat('eif')), 2],
    ['one that filters by address is opened as any other', of(HOP, UNGUARDED, HOP, nat('adf')), 3],
  ])('%s', (_name, carrier, ttl) => {
    const model = measured(carrier);
    expect(model?.opener?.ttl).toBe(ttl);
    expect(model?.missing).toEqual([]);
  });

  it('the routers that ICMP names are those on the way, the last one beyond the NATs', () => {
    expect(measured(PHONE_AND_CGNAT)?.opener?.hops).toEqual(['10.10.0.1', '100.64.1.1', '192.0.2.1']);
  });

  it('is not looked for where no early packet spoils anything', () => {
    // The phone's NAT would be spoiled, but the CGNAT lets no early packet through to it.
    for (const carrier of [CARRIERS.home, CARRIERS.symmetric, CARRIERS.android]) {
      expect(measured(carrier)?.opener).toBeUndefined();
    }
  });
});
