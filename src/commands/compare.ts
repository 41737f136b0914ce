import { setTimeout as sleep } from 'node:timers/promises';
import { IcepathError } from '../base/errors.js';
import { type Invite, parseInvite } from '../control/invite.js';
import { CONTROL_ARM, PLAIN_ARM } from '../mutation/names.js';
import { connectControl } from '../net/control-client.js';
import type { ControlPort } from '../net/control-port.js';
import { listInterfaces, selectInterfaces } from '../net/interfaces.js';
import { policiesText } from '../report/policies.js';
import { styleOf } from '../report/style.js';
import { printable } from '../report/text.js';
import { ClientSession, type ClientPlan } from '../session/client.js';
import { judgePolicies } from '../session/judge.js';
import type { RecordEvent } from '../session/record.js';
import type { PolicyReport } from '../verdict/policies.js';
import { CHECKS_PER_PAIR, CONNECT_TIMEOUT_MS, interfaceOption } from './client.js';
import { type CommandIo, defineCommand, EXIT, type OptionValues } from './command.js';
import { Interruption, untilInterrupted } from './interrupt.js';
import { backendOption, DEFAULT_SEED, seedOption } from './lab-options.js';
import { createLog } from './log.js';
import {
  argument,
  badValue,
  jsonOption,
  parsePrefer,
  pinOption,
  referenceOption,
  repeated,
  verboseOption,
} from './options.js';
import { readRecord } from './record-file.js';
import { resolveAll } from './resolve.js';
import { runSession, sessionOptions } from './run-session.js';
import { demandBackend, runScenario } from './run-scenario.js';
import { loadScenario, scenarioNames } from './scenarios.js';

/** A server that has just ended one run may still be closing it. */
const BUSY_TRIES = 10;
const BUSY_EVERY_MS = 500;

const prefersOption = repeated('LIST', 'a policy to compare, as client takes it; repeatable, two at least', (text) =>
  parsePrefer(text).join(','),
);

const OPTIONS = {
  run: argument('RUN', 'a record, an invite, or a scenario: its name or file'),
  prefer: prefersOption,
  interface: interfaceOption,
  reference: referenceOption,
  pin: pinOption,
  backend: backendOption('of a scenario; virtual if left out'),
  seed: seedOption,
  json: jsonOption,
  verbose: verboseOption,
};

/**
 * What each policy makes of the same two hosts. A record tells it by itself (and by replay); where there is none,
 * each policy is run in turn: against a server, with connectivity checks alone, or in a scenario.
 */
export const compareCommand = defineCommand({
  usage: 'compare <run>',
  summary:
    'compare policies: the order of checks, time to the first path of each kind, the pair selected, checks spent',
  examples: [
    [
      'icepath compare run.icepath.jsonl --prefer cellular,wifi --prefer ethernet',
      'what others make of a recorded run',
    ],
    ["icepath compare 'icepath://…' --prefer cellular --prefer equal", 'a short run for each, to one server'],
    ['icepath compare control-open --prefer cellular,wifi --prefer equal', 'the same in a scenario of the lab'],
  ],
  options: OPTIONS,
  run: async (options, io) => {
    const { run, prefer, json } = options;
    const policies = [...new Set(prefer)];
    if (policies.length < 2)
      throw badValue(
        'prefer',
        policies.join(' '),
        'two policies at least, each its own --prefer',
        'cellular,wifi --prefer equal',
      );
    const found = await (run.startsWith('icepath://')
      ? ofServer(policies, options, io)
      : isScenario(run)
        ? ofScenario(policies, options, io)
        : ofRecord(policies, run, io));
    if (json)
      io.stdout.write(`${JSON.stringify({ schema: 'icepath.compare/1', policies: found.policies }, null, 2)}\n`);
    else io.stdout.write(policiesText(found.policies, styleOf(io.stdout, io.env)));
    return found.interrupted ? EXIT.interrupted : EXIT.ok;
  },
});

interface Found {
  readonly policies: readonly PolicyReport[];
  readonly interrupted: boolean;
}

function isScenario(given: string): boolean {
  return given.endsWith('.yaml') || scenarioNames().includes(given);
}

async function ofRecord(policies: readonly string[], file: string, { stderr }: CommandIo): Promise<Found> {
  const { events, notes } = await readRecord(file);
  for (const note of notes) stderr.write(`icepath: ${printable(file)}: ${printable(note)}\n`);
  const reports = judgePolicies(events, policies);
  if (reports.length > 0) return { policies: reports, interrupted: false };
  throw new IcepathError(
    'record-without-checks',
    `${file} holds no connectivity check: no policy can be told from it`,
    'Give the record of a run that came to its checks.',
  );
}

interface ScenarioOptions {
  readonly run: string;
  readonly backend: 'virtual' | 'kernel' | undefined;
  readonly seed: string | undefined;
}

async function ofScenario(
  policies: readonly string[],
  { run: given, backend = 'virtual', seed = DEFAULT_SEED }: ScenarioOptions,
  io: CommandIo,
): Promise<Found> {
  const { scenario } = loadScenario(given);
  demandBackend(backend, [scenario]);
  const { result, interrupted } = await untilInterrupted(io.stderr, async (signal) => {
    const reports: PolicyReport[] = [];
    for (const prefer of policies) {
      if (signal.aborted) break;
      const events: RecordEvent[] = [];
      const asked = { ...scenario, run: { ...scenario.run, prefer } };
      const onEvent = (event: RecordEvent): void => void events.push(event);
      await runScenario(asked, { backend, seed, signal, record: null, onEvent });
      reports.push(...judgePolicies(events, []));
    }
    return reports;
  });
  return { policies: result ?? [], interrupted };
}

async function ofServer(
  policies: readonly string[],
  options: OptionValues<typeof OPTIONS>,
  io: CommandIo,
): Promise<Found> {
  const interruption = new Interruption(io.stderr);
  const log = createLog(options, io.stderr, io.env);
  const invite = parseInvite(options.run);
  const interfaces = selectInterfaces(listInterfaces(), options.interface);
  const references = await resolveAll(options.reference);
  const reports: PolicyReport[] = [];
  try {
    for (const policy of policies) {
      if (interruption.happened) break;
      const plan: ClientPlan = {
        policy,
        arms: [CONTROL_ARM, PLAIN_ARM],
        ownArms: [],
        firstOnly: false,
        deep: false,
        wanted: null,
        pin: options.pin !== 'off',
        references,
        checksPerPair: CHECKS_PER_PAIR,
        webrtc: false,
      };
      const port = await connected(invite);
      log.info({ server: port.peerAddress, policy }, 'connected');
      const session = new ClientSession(plan, { ...sessionOptions(log), references, checksOnly: true });
      await runSession({ session, interfaces, joins: false, port, writer: null, log, interruption });
      if (session.failure ?? port.failure) throw session.failure ?? port.failure ?? new Error('no failure');
      if (session.events.length > 0) reports.push(...judgePolicies(session.events, []));
    }
  } finally {
    interruption.release();
  }
  return { policies: reports, interrupted: interruption.happened };
}

async function connected(invite: Invite): Promise<ControlPort> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await connectControl(invite, { timeoutMs: CONNECT_TIMEOUT_MS });
    } catch (error) {
      const isBusy = error instanceof IcepathError && error.code === 'control-busy';
      if (!isBusy || tries === BUSY_TRIES) throw error;
      await sleep(BUSY_EVERY_MS);
    }
  }
}
