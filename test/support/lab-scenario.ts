import type { CarrierVerdict, Cause, DirectionState, PathState } from '../../src/verdict/words.js';
import { createLab, type Lab } from './lab.js';
import { runIcepath, type IcepathResult, type Reflector, type RunningIcepath } from './lab-run.js';
import type { Topology } from './lab-topology.js';

export interface Outcome {
  readonly state: PathState;
  /** Any, where it is left out. */
  readonly cause?: Cause | null;
  /** Of the client, and in its report. */
  readonly exit: number;
}

export interface Scenario {
  readonly name: string;
  /** What it guards against: one line. */
  readonly why: string;
  readonly topology: Topology;
  readonly clientArgs?: readonly string[];
  readonly serverArgs?: readonly string[];
  readonly reflector?: Reflector;
  readonly during?: (run: RunningIcepath) => Promise<void>;
  /** Of the wanted path, wwan0 ↔ usb0 over IPv4; one of these. */
  readonly outcomes: readonly Outcome[];
  readonly arm?: string;
  readonly fields?: readonly (readonly string[])[];
  readonly directions?: Readonly<Partial<Record<'up' | 'down', DirectionState>>>;
  readonly summary?: RegExp;
  /** What the NAT model of the client's wwan0 says it lacks. */
  readonly natMissing?: RegExp;
  readonly icmp?: (lab: Lab) => { readonly type: number; readonly code: number; readonly from: string };
  /** Verdicts by label. Whoever is not named must not be accused. */
  readonly carriers?: Readonly<Record<string, CarrierVerdict>>;
  readonly carriersV6?: Readonly<Record<string, CarrierVerdict>>;
  /** By path id, besides the wanted one; by default Ethernet and the WiFi ends are established. */
  readonly others?: Readonly<Record<string, PathState>>;
  /** That the lab did what the scenario is about: whether packets went by at a counter. */
  readonly packets?: Readonly<Record<string, 'some' | 'none'>>;
}

export const WANTED = 'wwan0-usb0-v4';
const OTHERS: Readonly<Record<string, PathState>> = { 'eth0-eth0-v4': 'established', 'wlan0-wlan0-v4': 'established' };
const ACCUSATIONS: readonly CarrierVerdict[] = ['blocks-peer-udp', 'blocks-udp', 'filters-stun', 'filters-ports'];

export interface ScenarioRun {
  readonly result: IcepathResult;
  /** `state / cause`, arm and fields, exit code, accused carriers: equal runs give equal lines. */
  readonly verdict: string;
  /** Sentences; empty when everything is as expected. */
  readonly mismatches: readonly string[];
}

/** Runs a scenario in a lab of its own. */
export async function runScenario(scenario: Scenario): Promise<ScenarioRun> {
  const lab = createLab(scenario.topology);
  try {
    const { clientArgs = [], serverArgs = [], reflector = 'whole', during } = scenario;
    const result = await runIcepath({ lab, clientArgs, serverArgs, reflector, ...(during ? { during } : {}) });
    return { result, verdict: verdictOf(result), mismatches: mismatchesOf(scenario, result, lab) };
  } finally {
    lab.destroy();
  }
}

function verdictOf({ report, exitCode }: IcepathResult): string {
  const path = report.paths.find(({ id }) => id === WANTED);
  const carriers = report.carriers.map(({ label, family, verdict }) => `${label}.${family} ${verdict}`).sort();
  const fields = path && path.fields.length > 0 ? ` ${JSON.stringify(path.fields)}` : '';
  const outcome = path ? `${path.state} / ${path.cause ?? '–'} (${path.arm ?? '–'})${fields}` : 'no such path';
  return `${outcome}, exit ${String(exitCode)}; ${carriers.join(', ')}`;
}

function mismatchesOf(scenario: Scenario, { report, exitCode, packets }: IcepathResult, lab: Lab): string[] {
  const mismatches: string[] = [];
  const expect = (holds: boolean, sentence: string) => {
    if (!holds) mismatches.push(sentence);
  };
  const path = report.paths.find(({ id }) => id === WANTED);
  if (!path) return [`the report has no path ${WANTED}, but ${report.paths.map(({ id }) => id).join(' ')}`];
  const told = `${path.state} / ${path.cause ?? '–'}, exit ${report.exit.code}: ${path.summary}`;
  const outcome = scenario.outcomes.find(
    ({ state, cause, exit }) =>
      state === path.state && exit === report.exit.code && (cause === undefined || cause === path.cause),
  );
  const wants = scenario.outcomes.map(({ state, cause, exit }) => `${state} / ${cause ?? '–'}, exit ${exit}`);
  expect(outcome !== undefined, `${WANTED} is ${told}; expected ${wants.join(' or ')}`);
  expect(
    exitCode === report.exit.code,
    `the client exits with ${String(exitCode)}, its report says ${report.exit.code}`,
  );
  const { arm, fields, summary, natMissing, icmp, directions = {}, others = OTHERS } = scenario;
  expect(arm === undefined || path.arm === arm, `the arm is ${path.arm ?? '–'}, expected ${arm ?? '–'}`);
  expect(fields === undefined || sameSets(fields, path.fields), `the fields are ${JSON.stringify(path.fields)}`);
  expect(summary === undefined || summary.test(path.summary), `the summary lacks ${String(summary)}: ${path.summary}`);
  if (natMissing) {
    const client = report.run.hosts.find(({ role }) => role === 'client');
    const models = client?.interfaces.find(({ name }) => name === 'wwan0')?.nat;
    const missing = JSON.stringify(models);
    expect(natMissing.test(missing), `the NAT model of wwan0 lacks ${String(natMissing)}: ${missing}`);
  }
  for (const direction of ['up', 'down'] as const) {
    const wanted = directions[direction];
    expect(wanted === undefined || path[direction].state === wanted, `${direction} is ${path[direction].state}`);
  }
  if (icmp) {
    const { type, code, from } = icmp(lab);
    const found = path.icmp.some((error) => error.type === type && error.code === code && error.from === from);
    expect(found, `no ICMP ${type}/${code} from ${from}, but ${JSON.stringify(path.icmp)}`);
  }
  for (const [id, state] of Object.entries(others)) {
    const other = report.paths.find((candidate) => candidate.id === id);
    expect(other?.state === state, `${id} is ${other?.state ?? 'missing'}, expected ${state}: ${other?.summary ?? ''}`);
  }
  const carriers = { ipv4: scenario.carriers ?? {}, ipv6: scenario.carriersV6 ?? {} };
  for (const { label, family, verdict, because } of report.carriers) {
    const wanted = carriers[family][label];
    const told = `${label} is ${verdict} over ${family}: ${because.join('; ')}`;
    if (wanted === undefined) expect(!ACCUSATIONS.includes(verdict), `accused: ${told}`);
    else expect(verdict === wanted, `expected ${wanted}: ${told}`);
  }
  for (const family of ['ipv4', 'ipv6'] as const) {
    for (const label of Object.keys(carriers[family])) {
      const told = report.carriers.some((carrier) => carrier.label === label && carrier.family === family);
      expect(told, `the report says nothing of ${label} over ${family}`);
    }
  }
  for (const [name, wanted] of Object.entries(scenario.packets ?? {})) {
    const some = (packets[name] ?? 0) > 0;
    expect(some === (wanted === 'some'), `the lab's counter ${name} shows ${packets[name] ?? 'nothing'}`);
  }
  return mismatches;
}

function sameSets(left: readonly (readonly string[])[], right: readonly (readonly string[])[]): boolean {
  const key = (sets: readonly (readonly string[])[]) =>
    sets
      .map((set) => [...set].sort().join())
      .sort()
      .join(' ');
  return key(left) === key(right);
}
