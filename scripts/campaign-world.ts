import { existsSync, readFileSync } from 'node:fs';
import { transportAddress } from '../src/base/address.js';
import { fraction, SeededRandom } from '../src/base/random.js';
import { ARM_NAMES, type ArmName } from '../src/mutation/names.js';
import { type MatrixDesign, MATRIX_DESIGN } from '../src/session/matrix-design.js';
import type { BoxDescription } from '../src/world/box-description.js';
import { type Carrier, CARRIERS } from '../src/world/carriers.js';
import type { ControlOptions } from '../src/world/control-link.js';
import { buildInternet, REFERENCE_ADDRESSES } from '../src/world/internet.js';
import type { LinkOptions } from '../src/world/link.js';
import type { Scenario } from '../src/world/scenario.js';
import { parseScenario } from '../src/world/scenario-file.js';
import type { VirtualDriver } from '../src/world/virtual-driver.js';
import { REFERENCE_PORTS, VirtualRun } from '../src/world/virtual-run.js';
import { DEAD_WAYS, isDeadWay, judgeTrial, type Trial, type Truth } from './campaign-table.js';

/**
 * The worlds of the campaign (docs/campaign.md): o2's modem at the client, Telekom's phone at the server, and the
 * client's WiFi, by which the phone is cleared. What the rule does not ask for is left out, so that thousands of runs
 * are made: Ethernet, the server's WiFi, experiments, and the control channel's own transport.
 */
const SCENARIOS: Readonly<Record<Truth, string>> = {
  open: 'control-open',
  filtered: 'matrix-cookie',
  'peers dropped': 'matrix-peers-o2',
  'filtered by flow': 'matrix-residual',
  'dead way of 10': 'control-open',
  'dead way of 4': 'control-open',
  'dead way of 2': 'control-open',
};
/** `null`: the scenario's own, which does what the truth says. */
const UPLINKS: Readonly<Record<string, Carrier | null>> = {
  'client wlan0': CARRIERS.public,
  'client wwan0': null,
  'server usb0': CARRIERS.open,
};

export const VARIANTS: Readonly<Record<string, MatrixDesign>> = {
  interleaved: MATRIX_DESIGN,
  'by arm': { ...MATRIX_DESIGN, order: 'by-arm' },
  'one 5-tuple': { ...MATRIX_DESIGN, sockets: 'shared' },
};

/** What is run many times. */
export interface Cell {
  readonly variant: string;
  readonly truth: Truth;
  /** Of the time that everything is lost for. */
  readonly loss: number;
}

/** The control, and the eight arms that a verdict within 15 s is asked of. */
const ARMS: readonly ArmName[] = ARM_NAMES.filter((arm) => arm !== 'quic');
/** As on the command line, where a pair is tried so often. */
const CHECKS_PER_PAIR = 7;
/** One way of the control channel. */
const CONTROL_MS = 1;

/** From dist/scripts, where this runs, and from scripts, where tests have it. */
const SCENARIO_FILES = ['../../scenarios/', '../scenarios/']
  .map((place) => new URL(place, import.meta.url))
  .find((place) => existsSync(place));
const scenarios = new Map<string, Scenario>();

function load(name: string): Scenario {
  const text = (other: string): string => readFileSync(new URL(`${other}.yaml`, SCENARIO_FILES), 'utf8');
  const known = scenarios.get(name) ?? parseScenario(text(name), `${name}.yaml`, text);
  scenarios.set(name, known);
  return known;
}

/** Delays of 10 to 100 ms each way on every uplink; bursts of 0.1 to 2 s on one of the two modems, or on both. */
function drawn(scenario: Scenario, { truth, loss }: Cell, random: SeededRandom): Scenario['internet'] {
  const lossy = Math.floor(fraction(random) * 3);
  const burstMs = 100 + fraction(random) * 1900;
  const uplinks = scenario.internet.uplinks.flatMap((uplink) => {
    const link: LinkOptions = { delayMs: 10 + fraction(random) * 90 };
    const carrier = UPLINKS[`${uplink.host} ${uplink.interface}`];
    if (carrier === undefined) return [];
    const isLossy =
      loss > 0 && ((uplink.interface === 'wwan0' && lossy !== 1) || (uplink.interface === 'usb0' && lossy !== 0));
    const way = isLossy ? { ...link, bursts: { loss, burstMs } } : link;
    const leant = lean(carrier ?? uplink.carrier);
    const isBundle = isDeadWay(truth) && uplink.interface === 'wwan0';
    return [{ ...uplink, carrier: isBundle ? bundle(leant, DEAD_WAYS[truth]) : leant, up: way, down: way }];
  });
  return { ...scenario.internet, lan: null, uplinks };
}

/** There is no IPv6 in these worlds. */
function lean(carrier: Carrier): Carrier {
  return { ...carrier, boxes: carrier.boxes.filter(({ type }) => type !== 'firewall') };
}

/** A carrier that sends its customers' flows over so many ways, one of which drops all. */
function bundle(carrier: Carrier, members: number): Carrier {
  const ways: BoxDescription = { type: 'ecmp', members, rules: [{ match: {}, action: { type: 'drop' } }] };
  return { ...carrier, boxes: [{ type: 'hop' }, ways, ...carrier.boxes] };
}

/** What is said arrives; how control messages are carried is not what the campaign is about. */
function connectDirectly({ client, server }: ControlOptions): void {
  const { network } = client;
  const connect = (near: VirtualDriver, far: VirtualDriver): void => {
    const later = (act: () => void): void => {
      network.after(CONTROL_MS, act);
    };
    const send = (message: Readonly<Record<string, unknown>>): void => {
      later(() => {
        far.message(message);
      });
    };
    const close = (reason: string): void => {
      later(() => {
        far.lost(reason);
      });
    };
    near.connect({ send, close }, 'campaign');
  };
  network.after(CONTROL_MS, () => {
    connect(server, client);
    connect(client, server);
  });
}

/** The name of one run: all that is drawn in it follows from that. The variants of one index have the same world. */
export function seedOf(seed: string, { truth, loss }: Cell, index: number): string {
  return `${seed}/${truth}/${String(loss)}/${String(index)}`;
}

export function runTrial(cell: Cell, name: string): Trial {
  const { truth, variant } = cell;
  const scenario = load(SCENARIOS[truth]);
  const design = VARIANTS[variant] ?? MATRIX_DESIGN;
  const internet = buildInternet({ ...drawn(scenario, cell, new SeededRandom(name)), seed: name });
  const run = new VirtualRun({
    internet,
    seed: name,
    version: 'campaign',
    design,
    experiments: false,
    connect: connectDirectly,
    plan: {
      policy: scenario.run.prefer,
      arms: ARMS,
      ownArms: [],
      deep: false,
      firstOnly: false,
      wanted: scenario.run.wanted,
      pin: true,
      references: [transportAddress(REFERENCE_ADDRESSES.ipv4[0], REFERENCE_PORTS[0])],
      checksPerPair: CHECKS_PER_PAIR,
      webrtc: false,
    },
  });
  return judgeTrial(truth, name, run.run(), run.client.events);
}
