import type { Family } from '../../src/base/address.js';
import type { InterfaceKind } from '../../src/base/interface.js';
import { fraction, SeededRandom } from '../../src/base/random.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import type {
  DirectionObservation,
  EndObservation,
  FaultObservation,
  PathObservation,
  RoundObservation,
  RunObservation,
} from '../../src/verdict/observation.js';
import type { Direction, NatModel, Role } from '../../src/verdict/words.js';

/** A packet as a carrier sees it: which way, to whom, and what it looks like. */
export interface Seen {
  readonly heading: 'out' | 'in';
  readonly to: 'peer' | 'reference';
  readonly arm: string;
  readonly family: Family;
}

/** One interface and the truth about what is behind it, from which both ends' records are made. */
export interface Uplink {
  readonly host: Role;
  readonly interface: string;
  readonly kind: InterfaceKind;
  readonly label: string;
  readonly family: Family;
  readonly address: string;
  /** Its public address; `null` for a wire that leads nowhere else. */
  readonly reflexive: string | null;
  readonly nat: NatModel | null;
  readonly drops: (seen: Seen) => boolean;
  /** The share of packets lost on it, each way. */
  readonly loss: number;
  readonly tcp: { readonly tried: number; readonly connected: number };
  readonly faults: readonly FaultObservation[];
  readonly notGathered: EndObservation['notGathered'];
}

export interface World {
  readonly uplinks: readonly Uplink[];
  readonly rounds: number;
  readonly intervalMs: number;
  readonly arms: readonly string[];
  readonly wanted: readonly (readonly [client: string, server: string])[];
  /** Whether the NATs of this pair let a punch through. */
  readonly punches: (client: Uplink, server: Uplink) => boolean;
  readonly referenceUp: boolean;
  readonly seed: string | number;
}

export const GUARDED: NatModel = {
  mapping: 'eim',
  filtering: 'apdf',
  portPreservation: true,
  spoil: { n: 3, k: 0 },
  reflexive: null,
  missing: [],
};
export const UNGUARDED: NatModel = { ...GUARDED, spoil: { n: 3, k: 3 } };
export const SYMMETRIC: NatModel = { ...GUARDED, mapping: 'apdm', portPreservation: false };
export const UNTRANSLATED: NatModel = { ...GUARDED, mapping: 'none', filtering: 'eif', spoil: null };

export function uplink(
  host: Role,
  name: string,
  kind: InterfaceKind,
  label: string,
  number: number,
  changes: Partial<Uplink> = {},
): Uplink {
  const reflexive = `198.51.100.${number}`;
  return {
    host,
    interface: name,
    kind,
    label,
    family: 'ipv4',
    address: `10.${number}.0.2`,
    reflexive,
    nat: { ...GUARDED, reflexive: { address: reflexive, port: 40_000 } },
    drops: () => false,
    loss: 0,
    tcp: { tried: 3, connected: 3 },
    faults: [],
    notGathered: null,
    ...changes,
  };
}

function wire(host: Role, number: number): Uplink {
  return uplink(host, 'eth0', 'ethernet', 'eth0', number, {
    address: `192.168.77.${number}`,
    reflexive: null,
    nat: null,
    tcp: { tried: 0, connected: 0 },
  });
}

type Changes = Readonly<Record<string, Partial<Uplink>>>;

/** verdicts.md: L has eth0, wlan0 (hhg), wwan0 (o2), D has eth0, wlan0 (hh2), usb0 (telekom). Changes by label. */
export function mesh(changes: Changes = {}, world: Partial<World> = {}): World {
  return worldOf(
    [
      wire('client', 1),
      uplink('client', 'wlan0', 'wifi', 'hhg', 11, changes.hhg),
      uplink('client', 'wwan0', 'cellular', 'o2', 12, changes.o2),
      wire('server', 2),
      uplink('server', 'wlan0', 'wifi', 'hh2', 21, changes.hh2),
      uplink('server', 'usb0', 'tethered', 'telekom', 22, changes.telekom),
    ],
    { wanted: [['wwan0', 'usb0']], ...world },
  );
}

/** verdicts.md, `ice-*`: each host has eth0 and one uplink; the carriers drop peers' UDP, HHG blocks nothing. */
export function pair(left: 'o2' | 'hhg', right: 'telekom' | 'hhg', world: Partial<World> = {}): World {
  const truth = (label: string): Partial<Uplink> => (label === 'hhg' ? {} : { drops: ({ to }) => to === 'peer' });
  const client =
    left === 'hhg'
      ? uplink('client', 'wlan0', 'wifi', 'hhg', 11)
      : uplink('client', 'wwan0', 'cellular', 'o2', 12, truth(left));
  const server = uplink('server', 'usb0', right === 'hhg' ? 'wifi' : 'tethered', right, 22, truth(right));
  return worldOf([wire('client', 1), client, wire('server', 2), server], {
    wanted: [[client.interface, 'usb0']],
    ...world,
  });
}

function worldOf(uplinks: readonly Uplink[], world: Partial<World>): World {
  return {
    uplinks,
    // 24, and so many that there are 14 flows: 2^−14 is the first below 10^−4 (docs/decisions/statistics.md, Blocked).
    rounds: 8 * Math.max(3, Math.ceil(14 / (world.arms ?? ARM_NAMES).length)),
    intervalMs: 250,
    arms: ARM_NAMES,
    wanted: [],
    punches: () => true,
    referenceUp: true,
    seed: 1,
    ...world,
  };
}

/** The same world with further interfaces in it. */
export function with_(world: World, ...uplinks: readonly Uplink[]): World {
  return { ...world, uplinks: [...world.uplinks, ...uplinks] };
}

export type Edit = (path: PathObservation) => Partial<PathObservation>;

/** Runs the world: what both ends' records say of it, joined. `edits` change single paths, by id. */
export function observe(
  world: World,
  edits: Readonly<Record<string, Edit>> = {},
  run: Partial<RunObservation> = {},
): RunObservation {
  const random = new SeededRandom(world.seed);
  const chance = (loss: number): boolean => loss === 0 || fraction(random) >= loss;
  const of = (host: Role): Uplink[] => world.uplinks.filter((candidate) => candidate.host === host);
  const paths = of('client').flatMap((client) =>
    of('server')
      .filter(({ family }) => family === client.family)
      .map((server) => {
        const path = pathBetween(world, client, server, chance);
        return { ...path, ...edits[path.id]?.(path) };
      }),
  );
  return {
    id: 'run-1',
    started: '2026-11-20T12:00:00.000Z',
    durationMs: world.rounds * world.intervalMs + 2000,
    label: null,
    version: '0.1.0',
    backend: 'virtual',
    seed: world.seed,
    policy: 'default',
    arms: world.arms,
    ownArms: [],
    ownExperiments: [],
    firstOnly: false,
    hosts: (['client', 'server'] as const).map((role) => ({
      role,
      name: role,
      pinning: 'device',
      interfaces: [...new Set(of(role).map((on) => on.interface))].map((name) => {
        const [on] = of(role).filter((candidate) => candidate.interface === name);
        const addresses = of(role)
          .filter((candidate) => candidate.interface === name)
          .map(({ family, address }) => ({ family, address, prefixLength: family === 'ipv4' ? 24 : 64 }));
        return { name, kind: on?.kind ?? 'other', label: on?.label ?? name, addresses };
      }),
    })),
    clock: null,
    references: 1,
    controlLost: null,
    interrupted: false,
    ends: world.uplinks.map((on) => endOf(world, on, chance)),
    paths,
    yardsticks: null,
    transfer: null,
    ...run,
  };
}

type Chance = (loss: number) => boolean;

function rounds(world: World, passes: () => boolean): RoundObservation[] {
  return Array.from({ length: world.rounds }, (_, round) => ({
    round,
    at: round * world.intervalMs,
    sent: true,
    received: passes(),
  }));
}

function endOf(world: World, on: Uplink, chance: Chance): EndObservation {
  const asks = world.referenceUp && on.reflexive !== null;
  const answered = (arm: string): boolean => {
    const seen = { to: 'reference', arm, family: on.family } as const;
    const open = asks && !on.drops({ ...seen, heading: 'out' }) && !on.drops({ ...seen, heading: 'in' });
    return open && chance(on.loss) && chance(on.loss);
  };
  const arms =
    on.reflexive === null ? [] : world.arms.map((arm) => ({ arm, rounds: rounds(world, () => answered(arm)) }));
  return {
    host: on.host,
    interface: on.interface,
    kind: on.kind,
    label: on.label,
    family: on.family,
    notGathered: on.notGathered,
    nat: world.referenceUp ? on.nat : null,
    reference: {
      control: arms.find(({ arm }) => arm === 'random')?.rounds ?? [],
      arms,
      tcp: world.referenceUp ? on.tcp : { ...on.tcp, connected: 0 },
    },
    faults: on.faults,
  };
}

/** In the order in which the agent tries them: the least changed first. */
const CHECK_ARMS = ['stun', 'stun~40', 'stun~cookie', 'stun~length', 'stun~type', 'stun~40~cookie'];
const CHECKS = 7;

function pathBetween(world: World, client: Uplink, server: Uplink, chance: Chance): PathObservation {
  const wired = client.reflexive === null && server.reflexive === null;
  // A wire of its own on one end only: no route from it to the other's uplink.
  const routeless = (client.reflexive === null) !== (server.reflexive === null);
  const open = (direction: Direction, arm: string): boolean => {
    const [from, to] = direction === 'up' ? [client, server] : [server, client];
    if (wired) return true;
    const seen = { to: 'peer', arm, family: client.family } as const;
    return (
      world.punches(client, server) && !from.drops({ ...seen, heading: 'out' }) && !to.drops({ ...seen, heading: 'in' })
    );
  };
  const arrives = (direction: Direction, arm: string): boolean =>
    open(direction, arm) && chance(client.loss) && chance(server.loss);
  const gathered = !routeless && client.notGathered === null && server.notGathered === null;
  const checkArm = gathered
    ? CHECK_ARMS.filter((arm) => arm === 'stun' || world.arms.includes(arm)).find(
        (arm) => open('up', arm) && open('down', arm),
      )
    : undefined;
  const checks = { up: 0, down: 0, answersUp: 0, answersDown: 0 };
  let valid = false;
  for (let check = 0; gathered && check < CHECKS; check += 1) {
    const arm = checkArm ?? 'stun';
    if (arrives('up', arm)) {
      checks.up += 1;
      if (arrives('down', arm)) checks.answersUp += 1;
    }
    if (arrives('down', arm)) {
      checks.down += 1;
      if (arrives('up', arm)) checks.answersDown += 1;
    }
    valid ||= checks.answersUp > 0 || checks.answersDown > 0;
  }
  const direction = (way: Direction): DirectionObservation => {
    const received = way === 'up' ? checks.up : checks.down;
    return {
      checksSent: gathered ? CHECKS : 0,
      checksReceived: received,
      answersSent: received,
      answersReceived: way === 'up' ? checks.answersUp : checks.answersDown,
      sendErrors: {},
      arms: gathered ? world.arms.map((arm) => ({ arm, rounds: rounds(world, () => arrives(way, arm)) })) : [],
    };
  };
  const end = (on: Uplink): PathObservation['client'] => ({
    interface: on.interface,
    kind: on.kind,
    label: on.label,
    candidate: { type: on.reflexive === null ? 'host' : 'srflx', address: on.reflexive ?? on.address, port: 40_000 },
  });
  return {
    id: `${client.interface}-${server.interface}-${client.family === 'ipv4' ? 'v4' : 'v6'}`,
    family: client.family,
    nat64: null,
    wanted: world.wanted.some(([left, right]) => left === client.interface && right === server.interface),
    client: end(client),
    server: end(server),
    noRoute: routeless ? (client.reflexive === null ? 'client' : 'server') : null,
    egress: { client: VERIFIED, server: VERIFIED },
    up: direction('up'),
    down: direction('down'),
    valid: valid ? { at: 120, arm: checkArm ?? 'stun' } : null,
    lapses: [],
    superseded: false,
    selected: wired,
    trials: [],
    priority: 1,
    rttMs: valid ? { min: 20, median: 22 } : null,
    ways: [],
    icmp: [],
  };
}

const VERIFIED = { verdict: 'verified', reason: 'leaves by its own device' } as const;

/** A direction in which nothing was sent and nothing logged. */
export const SILENT: DirectionObservation = {
  checksSent: 0,
  checksReceived: 0,
  answersSent: 0,
  answersReceived: 0,
  sendErrors: {},
  arms: [],
};

/** The same sends, of which none arrived. */
export function unheard(direction: DirectionObservation): DirectionObservation {
  return {
    ...direction,
    checksReceived: 0,
    answersSent: 0,
    answersReceived: 0,
    arms: direction.arms.map(({ arm, rounds }) => ({
      arm,
      rounds: rounds.map((round) => ({ ...round, received: false })),
    })),
  };
}
