import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import { judgeRun } from '../../src/verdict/judge-run.js';
import { withoutOtherPorts } from '../../src/verdict/nat-prediction.js';
import type { EndObservation, RoundObservation, RunObservation } from '../../src/verdict/observation.js';
import { portFilterOf } from '../../src/verdict/ports.js';
import type { NatModel } from '../../src/verdict/words.js';
import { Link, type LinkOptions } from '../../src/world/link.js';
import { udpPacket } from '../../src/world/packet.js';
import { GUARDED, mesh, observe, type Seen } from '../support/observation.js';

const PORTS = [443, 3479];
const HERE = { family: 'ipv4', address: '10.0.0.1', port: 4000 } as const;
const PACKET = udpPacket(HERE, { ...HERE, address: '192.0.2.10' }, new Uint8Array(100));

type Passes = (end: EndObservation, port: number) => boolean;

/** The run in which every end was asked at further ports in the rounds of its control, through links with such loss. */
function asked(run: RunObservation, passes: Passes, link: LinkOptions = {}, seed = 1): RunObservation {
  return {
    ...run,
    ends: run.ends.map((end) => {
      const name = `${end.interface} ${end.host} ${String(seed)}`;
      const wire = new Link(link, new SeededRandom(name));
      const through = (at: number): boolean => wire.transmit(PACKET, at, () => undefined) === 'sent';
      const rounds = end.reference.control.map((round) => ({
        own: { ...round, received: round.received && through(round.at) },
        more: PORTS.map((port, index) => ({
          port,
          round: { ...round, flow: round.round, received: passes(end, port) && through(round.at + 40 * (index + 1)) },
        })),
      }));
      const ports = PORTS.map((port) => ({
        port,
        rounds: rounds.flatMap(({ more }) => more.filter((one) => one.port === port).map(({ round }) => round)),
      }));
      return { ...end, reference: { ...end.reference, control: rounds.map(({ own }) => own), ports } };
    }),
  };
}

const toPeers = ({ to }: Seen): boolean => to === 'peer';
const O2_HAS_FEW_PORTS: Passes = ({ label }, port) => label !== 'o2' || port === 443;
/** What can be measured of o2's NAT where the reference's other port is filtered. */
const PARTIAL: NatModel = { ...GUARDED, filtering: 'unknown', spoil: null, missing: ['filtering', 'spoil test'] };

function o2(run: RunObservation): EndObservation {
  const end = run.ends.find(({ label }) => label === 'o2');
  if (!end) throw new Error('the mesh has an o2');
  return end;
}

function silence(rounds: readonly RoundObservation[]): RoundObservation[] {
  return rounds.map((round) => ({ ...round, received: false }));
}

describe('a carrier that lets few ports through', () => {
  const world = mesh({ o2: { drops: toPeers, nat: PARTIAL } });
  const report = judgeRun(asked(observe(world), O2_HAS_FEW_PORTS));
  const wanted = report.paths.find((path) => path.wanted);

  test('is blocked by ports, and the carrier filters them', () => {
    expect([wanted?.state, wanted?.cause]).toEqual(['blocked', 'port-filtered']);
    expect(wanted?.summary).toContain('443 passes and 3479 does not');
    expect(report.carriers.find(({ label }) => label === 'o2')?.verdict).toBe('filters-ports');
    expect(report.carriers.filter(({ label }) => label !== 'o2').map(({ verdict }) => verdict)).toEqual([
      'open',
      'open',
      'open',
    ]);
    expect(report.exit.code).toBe(3);
    expect(report.advice.join()).toContain('--ports 443');
  });

  test('every condition of a block is met, none left out', () => {
    expect(wanted?.conditions.length).toBeGreaterThanOrEqual(9);
    expect(wanted?.conditions.filter(({ met }) => !met)).toEqual([]);
  });

  test('is not called blocked while the mapping of its NAT is not known', () => {
    const unknown = mesh({ o2: { drops: toPeers, nat: { ...PARTIAL, mapping: 'unknown' } } });
    const judged = judgeRun(asked(observe(unknown), O2_HAS_FEW_PORTS)).paths.find((path) => path.wanted);
    expect([judged?.state, judged?.cause]).toEqual(['inconclusive', null]);
  });
});

describe('a silent port is no finding', () => {
  const run = asked(observe(mesh({})), O2_HAS_FEW_PORTS);

  test('alone: it is one where it answers elsewhere in the same rounds', () => {
    expect(portFilterOf(run, o2(run))).toMatchObject({ open: [443], closed: [3479] });
  });

  test('where it answers on no other interface: nobody may listen there', () => {
    const dead = asked(observe(mesh({})), (_, port) => port === 443);
    expect(portFilterOf(dead, o2(dead))).toBeNull();
  });

  test('where the first port is silent on the same interface: that is not about ports', () => {
    const ends = run.ends.map((end) =>
      end.label === 'o2' ? { ...end, reference: { ...end.reference, control: silence(end.reference.control) } } : end,
    );
    expect(portFilterOf({ ...run, ends }, o2({ ...run, ends }))).toBeNull();
  });

  test('where it answered once', () => {
    const ends = run.ends.map((end) => {
      if (end.label !== 'o2') return end;
      const ports = end.reference.ports?.map(({ port, rounds }) => ({
        port,
        rounds: rounds.map((round) => (round.round === 7 ? { ...round, received: true } : round)),
      }));
      return { ...end, reference: { ...end.reference, ...(ports ? { ports } : {}) } };
    });
    expect(portFilterOf({ ...run, ends }, o2({ ...run, ends }))).toBeNull();
  });

  test('in too few rounds: 2^-12 is more than the boundary', () => {
    const short = asked(observe(mesh({}, { rounds: 12 })), O2_HAS_FEW_PORTS);
    expect(portFilterOf(short, o2(short))).toBeNull();
  });

  const withFlows = (flowOf: (round: number) => number | undefined): RunObservation => ({
    ...run,
    ends: run.ends.map((end) => {
      const ports = (end.reference.ports ?? []).map(({ port, rounds }) => ({
        port,
        rounds: rounds.map(({ round, at, sent, received }) => {
          const flow = flowOf(round);
          return { round, at, sent, received, ...(flow !== undefined && { flow }) };
        }),
      }));
      return { ...end, reference: { ...end.reference, ports } };
    }),
  });

  test('from three sockets: one of several parallel ways may be dead, and they may all have met it', () => {
    for (const few of [withFlows((round) => round >> 3), withFlows(() => undefined)]) {
      expect(portFilterOf(few, o2(few))).toBeNull();
    }
  });

  // RFC 2992: a way is chosen by the flow. Half of the ways are dead, each flow meets one of them by chance.
  test('where half of all flows are dead, in any of 400 runs', () => {
    const random = new SeededRandom('half of the ways');
    for (let seed = 1; seed <= 400; seed += 1) {
      const dead = new Set<string>();
      const luck = (end: EndObservation, port: number, flow: number): boolean => {
        const key = [end.host, end.interface, port, flow].join(' ');
        if (random.uint32() % 2 === 0) dead.add(key);
        return !dead.has(key);
      };
      const half: RunObservation = {
        ...run,
        ends: run.ends.map((end) => {
          const ports = (end.reference.ports ?? []).map(({ port, rounds }) => ({
            port,
            rounds: rounds.map((round) => ({ ...round, received: luck(end, port, round.round) })),
          }));
          return { ...end, reference: { ...end.reference, ports } };
        }),
      };
      for (const end of half.ends) expect(portFilterOf(half, end), `seed ${String(seed)} ${end.label}`).toBeNull();
    }
  });

  test.each([
    ['25 % in bursts', { bursts: { loss: 0.25, burstMs: 2000 } }],
    ['30 % at random', { loss: 0.3 }],
    ['90 % at random', { loss: 0.9 }],
  ])('at a loss of %s, in any of 400 runs', (_, link) => {
    for (let seed = 1; seed <= 400; seed += 1) {
      const lossy = asked(observe(mesh({}, { seed })), () => true, link, seed);
      for (const end of lossy.ends) expect(portFilterOf(lossy, end), `seed ${String(seed)} ${end.label}`).toBeNull();
    }
  });
});

describe('a NAT whose other port is filtered', () => {
  test('keeps what was measured, a spoiled mapping too', () => {
    const spoiled = { ...GUARDED, spoil: { n: 3, k: 3 } };
    expect(withoutOtherPorts(spoiled)).toEqual(spoiled);
    expect(withoutOtherPorts(PARTIAL)).toMatchObject({ mapping: 'eim', filtering: 'apdf', spoil: { k: 0 } });
  });
});
