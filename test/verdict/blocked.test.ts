import { describe, expect, it } from 'vitest';
import { judgeRun } from '../../src/verdict/judge-run.js';
import type { RunObservation } from '../../src/verdict/observation.js';
import type { PathReport } from '../../src/verdict/report.js';
import { type Edit, GUARDED, mesh, observe, pair, SYMMETRIC, type Uplink, type World } from '../support/observation.js';

const WANTED = 'wwan0-usb0-v4';
const BLOCKING: Partial<Uplink> = { drops: ({ to }) => to === 'peer' };

function wanted(world: World, edit?: Edit, run?: Partial<RunObservation>): PathReport {
  const report = judgeRun(observe(world, edit ? { [WANTED]: edit } : {}, run));
  const path = report.paths.find(({ id }) => id === WANTED);
  if (!path) throw new Error('the wanted path is missing');
  return path;
}

function blockingMesh(o2: Partial<Uplink> = {}, world: Partial<World> = {}): World {
  return mesh({ o2: { ...BLOCKING, ...o2 } }, world);
}

describe('blocked', () => {
  it('has every condition met and says the numbers of both ends', () => {
    const path = wanted(blockingMesh());
    expect(path.state).toBe('blocked');
    expect(path.conditions.length).toBeGreaterThan(0);
    expect(path.conditions.filter(({ met }) => !met)).toEqual([]);
    expect(path.summary).toContain('wwan0 (o2) ↔ usb0 (telekom) ipv4: blocked, peer-udp-blocked');
    expect(path.summary).toContain('0 of 24 control packets arrived up and 0 of 24 down');
    expect(path.summary).toContain('24 of 24 from the client and 24 of 24 from the server reached the reference');
    expect(path.up.state).toBe('closed');
    expect(path.down.state).toBe('closed');
  });

  const unverified: Edit = ({ egress }) => ({
    egress: { ...egress, server: { verdict: 'unknown', reason: 'no koffi' } },
  });
  const oneArrival: Edit = ({ up }) => ({
    up: {
      ...up,
      arms: up.arms.map((entry) =>
        entry.arm === 'random'
          ? { ...entry, rounds: entry.rounds.map((round) => ({ ...round, received: round.round === 11 })) }
          : entry,
      ),
    },
  });
  const portUnreachable: Edit = ({ family }) => ({
    icmp: [{ host: 'client', family, type: 3, code: 3, from: '198.51.100.22', quotedTo: '198.51.100.22', count: 2 }],
  });

  it.each<[string, World, Edit | undefined, Partial<RunObservation> | undefined, string]>([
    ['egress not verified at one end', blockingMesh(), unverified, undefined, 'egress verified'],
    ['too few rounds', blockingMesh({}, { rounds: 16 }), undefined, undefined, 'the control never arrives'],
    [
      'no reference',
      blockingMesh({}, { referenceUp: false }),
      undefined,
      { references: 0 },
      'the reference answers in the same rounds',
    ],
    ['no NAT model', blockingMesh({ nat: null }), undefined, undefined, 'they predict success'],
    ['no spoil test', blockingMesh({ nat: { ...GUARDED, spoil: null } }), undefined, undefined, 'they predict success'],
  ])('is not said with %s', (_, world, edit, run, missing) => {
    const path = wanted(world, edit, run);
    expect(path.state).toBe('inconclusive');
    expect(path.summary).toContain(missing);
    expect(path.conditions.some(({ met, condition }) => !met && condition.includes(missing))).toBe(true);
  });

  // Six flows all meet the dead one of two ways once in 64 runs.
  it('is not said of two arms in three blocks, and is of seven', () => {
    const arms = ['random', 'stun'];
    const early = wanted(blockingMesh({}, { arms, rounds: 24 }));
    expect(early.state).toBe('inconclusive');
    expect(early.conditions.filter(({ met }) => !met)).toMatchObject([
      { condition: 'up: more flows than could all meet one dead way', needsTime: true },
      { condition: 'down: more flows than could all meet one dead way', needsTime: true },
    ]);
    expect(wanted(blockingMesh({}, { arms, rounds: 56 })).state).toBe('blocked');
  });

  it('is not said where one packet of the control arrived', () => {
    const path = wanted(blockingMesh(), oneArrival);
    expect(path.state).toBe('inconclusive');
    expect(path.up).toMatchObject({ state: 'open', received: 1 });
    expect(path.down.state).toBe('closed');
  });

  it('needs 30 s where the reference leg loses more than 2 %', () => {
    const lossy = { loss: 0.05 };
    const short = wanted(blockingMesh(lossy, { rounds: 48, intervalMs: 250, seed: 'lossy' }));
    expect(short.state).toBe('inconclusive');
    expect(short.conditions.filter(({ met }) => !met).map(({ condition }) => condition)).toEqual([
      'observed for 30 s where the reference leg loses more than 2 %',
    ]);
    expect(wanted(blockingMesh(lossy, { rounds: 48, intervalMs: 700, seed: 'lossy' })).state).toBe('blocked');
  });

  it('says what one direction alone lacks, and that time would mend it', () => {
    // The server began later and ended sooner, as a busy host does.
    const sooner: Edit = ({ down }) => ({
      down: {
        ...down,
        arms: down.arms.map((tally) => ({
          ...tally,
          rounds: tally.rounds.map((round) => ({ ...round, at: 1000 + round.at * 0.9 })),
        })),
      },
    });
    const world = blockingMesh({ loss: 0.05 }, { rounds: 48, intervalMs: 700, seed: 'lossy' });
    const path = wanted(world, sooner);
    expect(path).toMatchObject({ state: 'inconclusive', up: { state: 'closed' }, down: { state: 'unknown' } });
    expect(path.conditions.filter(({ met }) => !met)).toMatchObject([
      { condition: 'observed for 30 s where the reference leg loses more than 2 %', needsTime: true },
    ]);
    expect(path.summary).toContain('observed for 30 s');
  });

  it('takes the reference over the other family, where this one has none', () => {
    const observation = observe(blockingMesh());
    const ends = observation.ends.flatMap((end) => {
      if (end.label !== 'o2') return [end];
      const unasked = { ...end, reference: { control: [], arms: [], tcp: { tried: 0, connected: 0 } } };
      return [unasked, { ...end, family: 'ipv6' as const }];
    });
    const path = judgeRun({ ...observation, ends }).paths.find(({ id }) => id === WANTED);
    expect(path?.state).toBe('blocked');
  });

  it('is a failure of NATs where the far NAT itself says port-unreachable', () => {
    const path = wanted(blockingMesh(), portUnreachable);
    expect([path.state, path.cause]).toEqual(['failed', 'nat-incompatible']);
  });

  it('is not said of an interrupted run that lacks the rounds, and the exit says 130', () => {
    const report = judgeRun(observe(blockingMesh({}, { rounds: 8 }), {}, { interrupted: true }));
    expect(report.exit.code).toBe(130);
    expect(report.paths.find(({ id }) => id === WANTED)?.state).toBe('inconclusive');
    expect(report.run.incomplete).toContain('interrupted');
  });
});

describe('udp-blocked', () => {
  const deaf = { drops: () => true, nat: null };

  it('needs no NAT model, but TCP on the interface and UDP on another', () => {
    expect(wanted(mesh({ o2: deaf })).cause).toBe('udp-blocked');
    expect(wanted(mesh({ o2: { ...deaf, tcp: { tried: 3, connected: 0 } } })).state).toBe('inconclusive');
    const everywhere = { hhg: deaf, o2: deaf, hh2: deaf, telekom: deaf };
    expect(wanted(mesh(everywhere)).state).toBe('inconclusive');
  });

  it('is not said of an interface on which a single packet to a peer passed', () => {
    const toReferenceOnly = { nat: null, drops: ({ to }) => to === 'reference' } satisfies Partial<Uplink>;
    const report = judgeRun(
      observe(
        mesh({ o2: toReferenceOnly }, { punches: (client, server) => server.label === 'hh2' || client.label !== 'o2' }),
      ),
    );
    expect(report.paths.find(({ id }) => id === WANTED)?.state).toBe('inconclusive');
    expect(report.carriers.find(({ label }) => label === 'o2')?.verdict).toBe('open');
  });
});

describe('faults come before blocks', () => {
  it('a firewall counter on the sender explains the silence', () => {
    const fault = {
      counter: 'nft inet filter output: drop',
      delta: 500,
      direction: 'out',
      explanation: 'let UDP out',
    } as const;
    const report = judgeRun(observe(mesh({ o2: { ...BLOCKING, faults: [fault] } })));
    const path = report.paths.find(({ id }) => id === WANTED);
    expect([path?.state, path?.cause]).toEqual(['inconclusive', 'local-fault']);
    expect(path?.summary).toContain('nft inet filter output: drop');
    expect(report.advice).toContain('let UDP out');
  });

  it('a counter that moved for something else does not', () => {
    const noise = {
      counter: 'nft inet filter input: drop',
      delta: 5,
      direction: 'in',
      explanation: 'let UDP in',
    } as const;
    expect(wanted(blockingMesh({ faults: [noise] })).state).toBe('blocked');
  });

  it('a kernel that refuses every send is a local fault, named by its code', () => {
    const refusing: Edit = ({ up }) => ({ up: { ...up, checksSent: 0, arms: [], sendErrors: { ENETUNREACH: 24 } } });
    const path = wanted(blockingMesh(), refusing);
    expect(path.cause).toBe('local-fault');
    expect(path.summary).toContain('ENETUNREACH');
  });
});

describe('rejected', () => {
  it('is not said for a private address of the far end: carriers refuse those for good reason', () => {
    const path = wanted(blockingMesh(), ({ family }) => ({
      icmp: [{ host: 'client', family, type: 3, code: 13, from: '10.12.0.1', quotedTo: '10.22.0.2', count: 9 }],
    }));
    expect(path.state).toBe('blocked');
  });

  it.each([
    ['ipv4', 9, 'admin-prohibited'],
    ['ipv4', 10, 'admin-prohibited'],
    ['ipv4', 13, 'admin-prohibited'],
    ['ipv4', 3, 'port-unreachable'],
    ['ipv6', 1, 'admin-prohibited'],
    ['ipv6', 4, 'port-unreachable'],
  ] as const)('%s code %d: %s', (family, code, cause) => {
    const path = wanted(blockingMesh(), () => ({
      icmp: [
        {
          host: 'client',
          family,
          type: family === 'ipv4' ? 3 : 1,
          code,
          from: '192.0.2.77',
          quotedTo: '198.51.100.22',
          count: 1,
        },
      ],
    }));
    expect([path.state, path.cause]).toEqual(['rejected', cause]);
    expect(path.summary).toContain('192.0.2.77');
  });

  it('of two uplinks only, the end whose inside the reject came from is accused; an unknown sender accuses nobody', () => {
    const verdicts = (from: string): (string | undefined)[] => {
      const report = judgeRun(
        observe(pair('o2', 'telekom'), {
          [WANTED]: ({ family }) => ({
            icmp: [{ host: 'client', family, type: 3, code: 13, from, quotedTo: '198.51.100.22', count: 1 }],
          }),
        }),
      );
      return ['o2', 'telekom'].map((label) => report.carriers.find((carrier) => carrier.label === label)?.verdict);
    };
    expect(verdicts('100.64.0.1')).toEqual(['blocks-peer-udp', 'inconclusive']);
    expect(verdicts('198.51.100.22')).toEqual(['inconclusive', 'blocks-peer-udp']);
    expect(verdicts('192.0.2.77')).toEqual(['inconclusive', 'inconclusive']);
  });
});

describe('failed', () => {
  it('names both NATs and advises against blaming a carrier', () => {
    const report = judgeRun(observe(mesh({ o2: { nat: SYMMETRIC } }, { punches: (client) => client.label !== 'o2' })));
    expect(report.paths.find(({ id }) => id === WANTED)?.summary).toContain(
      'wwan0 (o2) apdm/apdf, usb0 (telekom) eim/apdf',
    );
    expect(report.advice.join()).toContain("no carrier's block");
  });

  it('is said without a cause where the control passes and no check came up', () => {
    const path = wanted(mesh(), ({ up, down }) => ({
      valid: null,
      up: { ...up, checksReceived: 0 },
      down: { ...down, checksReceived: 0 },
    }));
    expect([path.state, path.cause]).toEqual(['failed', null]);
  });
});
