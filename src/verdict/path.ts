import { alteredWords } from './altered.js';
import { type Condition, allMet, eachOnce, peerBlockConditions, udpBlockConditions } from './blocked.js';
import type { DirectionEvidence } from './direction.js';
import { nameOf, type PathEvidence } from './evidence.js';
import { causesOf, firstCause, remarksOf } from './findings/findings.js';
import { faultOf, type Fault } from './faults.js';
import { everyStunArmFails } from './fields.js';
import { fieldsOf } from './filtered-fields.js';
import { describeIcmp, type PathIcmp, readIcmp } from './icmp.js';
import { isSpoiled, sharedNat, sharedNatWords } from './nat-prediction.js';
import { endFamily, type EndObservation, type RunObservation } from './observation.js';
import { nat64Words, portFiltersOf, portWords, workingWords } from './path-words.js';
import { ALPHA, clopperPearson } from './statistics.js';
import { flowConditions, stunCause, stunFilteredWords } from './stun-filter.js';
import { lapseWords, lost, UNANSWERED_MIN, unansweredSince } from './lost.js';
import { missedWords, vainWords } from './ways.js';
import { type Cause, type Direction, type DirectionState, type PathState, type Role, ROLES } from './words.js';

export interface PathVerdict {
  readonly state: PathState;
  readonly cause: Cause | null;
  readonly arm: string | null;
  readonly fields: readonly (readonly string[])[];
  readonly directions: Readonly<Record<Direction, DirectionState>>;
  readonly conditions: readonly Condition[];
  /** Why, for people: a part of the sentence. */
  readonly why: string;
  /** What mends it, where something local does. */
  readonly remedy: string | null;
  /** The ends that cannot get any UDP through (`udp-blocked`). */
  readonly udpBlocked: readonly Role[];
  /** ICMP errors that refuse this path's packets. */
  readonly refusals: readonly PathIcmp[];
  readonly evidence: PathEvidence;
}

type Finding = Pick<PathVerdict, 'state' | 'cause' | 'why'> & Partial<PathVerdict>;

/** State and cause of one path: the rules of verdicts.md in their order of precedence, the first that applies. */
export function judgePath(evidence: PathEvidence): PathVerdict {
  const finding = decide(evidence);
  return {
    arm: null,
    fields: [],
    conditions: [],
    remedy: null,
    udpBlocked: [],
    refusals: [],
    directions: { up: heard(evidence.up), down: heard(evidence.down) },
    ...finding,
    evidence,
  };
}

function decide(evidence: PathEvidence): Finding {
  return (
    notGathered(evidence) ??
    unprobed(evidence) ??
    misrouted(evidence) ??
    established(evidence) ??
    superseded(evidence) ??
    unresponsive(evidence) ??
    faulty(faultOf(evidence)) ??
    rejected(evidence) ??
    closed(evidence)
  );
}

/** A LAN without a gateway has no route to the far end's other networks, and nothing is wrong with that. */
function reachesAnything({ paths }: RunObservation, { host, interface: name, family }: EndObservation): boolean {
  return paths.some((path) => path[host].interface === name && endFamily(path) === family && path.valid !== null);
}

function notGathered({ run, path, ends }: PathEvidence): Finding | null {
  const host = ROLES.find((role) => (ends[role]?.notGathered ?? null) !== null || path.noRoute === role);
  if (!host) return null;
  const end = ends[host];
  const reason = end?.notGathered ?? 'no-route';
  const healthy = reason === 'no-address' || (end !== null && reachesAnything(run, end));
  const words = {
    'no-address': 'has no address of this family',
    'no-route': 'has no route to the far end',
    'no-bearer': 'has no bearer: its modem is not connected',
    'socket-error': 'gave no usable socket',
  }[reason];
  return {
    state: 'not-gathered',
    cause: healthy ? null : 'local-fault',
    why: `${nameOf(path[host])} of the ${host} ${words}`,
    remedy:
      reason === 'no-route' && !healthy
        ? `give ${path[host].interface} of the ${host} a route: ip route add default via GATEWAY dev ${path[host].interface} metric 700`
        : null,
  };
}

function unprobed({ run, up, down }: PathEvidence): Finding | null {
  if (up.packets.sent + down.packets.sent + up.refused + down.refused > 0) return null;
  return run.firstOnly
    ? {
        state: 'unprobed',
        cause: 'priority-starved',
        why: 'nothing was sent: another path came first and ended the search',
      }
    : { state: 'unprobed', cause: null, why: 'nothing was sent on it' };
}

function misrouted({ path }: PathEvidence): Finding | null {
  const wrong = ROLES.filter((role) => path.egress[role].verdict === 'mismatch');
  if (wrong.length === 0) return null;
  const why = wrong.map(
    (role) => `the ${role}'s packets do not leave by ${nameOf(path[role])}: ${path.egress[role].reason}`,
  );
  return {
    state: 'misrouted',
    cause: 'wrong-route',
    why: why.join('; '),
    remedy: `run again with --pin auto, or route by source on the ${wrong.join(' and the ')}: ip rule add from ADDRESS lookup TABLE`,
  };
}

function established(evidence: PathEvidence): Finding | null {
  const { path } = evidence;
  if (!path.valid) return null;
  const last = path.lapses.at(-1);
  if (last?.until === null) {
    const finding = unansweredSince(evidence, last) ?? lost(evidence, path.valid.at, last);
    return { ...finding, arm: path.valid.arm };
  }
  const filtered = stunCause(evidence);
  const found = causesOf(evidence.findings, evidence.altered);
  const causes = found.map(({ cause }) => cause);
  return {
    state: 'established',
    cause: firstCause([
      ...(filtered ? [filtered] : []),
      ...(portFiltersOf(evidence).length > 0 ? ['port-filtered' as const] : []),
      ...causes,
    ]),
    arm: path.valid.arm,
    fields: fieldsOf(evidence),
    directions: { up: 'open', down: 'open' },
    conditions: flowConditions(evidence),
    why: [
      filtered ? `${stunFilteredWords(evidence)}${nat64Words(evidence.path)}` : workingWords(evidence, path.valid.at),
      ...lapseWords(path),
      ...found.map(({ why }) => why),
      ...remarksOf(evidence.findings),
    ].join('; '),
  };
}

function superseded({ path }: PathEvidence): Finding | null {
  return path.superseded
    ? { state: 'superseded', cause: null, why: 'its checks ended when another path was selected' }
    : null;
}

function unresponsive({ up, down, path }: PathEvidence): Finding | null {
  const pairs = [
    [up, down],
    [down, up],
  ] as const;
  const found = pairs.find(
    ([asked, back]) =>
      asked.observed.checksReceived >= UNANSWERED_MIN && asked.observed.answersSent === 0 && back.refused === 0,
  );
  if (!found) return null;
  const [{ observed, to }, back] = found;
  const own = back.packets.sent === 0 ? ', nor sent any of its own' : '';
  return {
    state: 'unresponsive',
    cause: 'peer-fault',
    why: `the ${to} logged ${observed.checksReceived} of ${observed.checksSent} checks on ${nameOf(path[to])} and answered none${own}`,
    remedy: `look at icepath on the ${to}: it hears the checks and does not answer`,
  };
}

function faulty(fault: Fault | null): Finding | null {
  return fault && { state: 'inconclusive', cause: fault.cause, why: fault.detail, remedy: fault.remedy };
}

/** Nothing passed and ICMP says so. */
function rejected(evidence: PathEvidence): Finding | null {
  const { up, down } = evidence;
  if (up.packets.received + down.packets.received > 0) return null;
  const refusals = refusalsOf(evidence);
  const [first] = refusals;
  if (!first) return null;
  const cause = refusals.some((icmp) => readIcmp(evidence, icmp) === 'admin') ? 'admin-prohibited' : 'port-unreachable';
  const refused = (direction: DirectionEvidence): DirectionState =>
    refusals.some(({ host }) => host === direction.from) ? 'closed' : 'unknown';
  return {
    state: 'rejected',
    cause,
    refusals,
    directions: { up: refused(up), down: refused(down) },
    why: `nothing passed; ${refusals.map((icmp) => `the ${icmp.host} was told ${describeIcmp(icmp)}`).join(', ')}`,
  };
}

function refusalsOf(evidence: PathEvidence): PathIcmp[] {
  return evidence.path.icmp.filter((icmp) => ['admin', 'port'].includes(readIcmp(evidence, icmp) ?? ''));
}

/** `one-way`, `blocked`, `failed`, or what is left: `inconclusive`, with every condition that was asked about. */
function closed(evidence: PathEvidence): Finding {
  const { up, down } = evidence;
  const udp = ROLES.flatMap((host) => {
    const conditions = udpBlockConditions(evidence, host);
    return conditions ? [{ host, conditions }] : [];
  });
  const cutOff = udp.filter(({ conditions }) => allMet(conditions));
  if (cutOff.length > 0) return udpBlocked(evidence, cutOff);

  const asked = [up, down].filter(({ packets }) => packets.received === 0);
  const judged = asked.map((direction) => ({ direction, conditions: peerBlockConditions(evidence, direction) }));
  const shut = judged.filter(({ conditions }) => allMet(conditions)).map(({ direction }) => direction);
  const state = (direction: DirectionEvidence): DirectionState =>
    shut.includes(direction) ? 'closed' : heard(direction);
  const common = {
    directions: { up: state(up), down: state(down) },
    conditions: eachOnce([...[...udp, ...judged].flatMap(({ conditions }) => conditions), ...flowConditions(evidence)]),
  };
  return {
    ...common,
    ...(oneWay(evidence, shut) ??
      blocked(evidence, shut) ??
      stunBlocked(evidence) ??
      failed(evidence) ??
      undecided(evidence, common.conditions)),
  };
}

function udpBlocked(
  { path, up, down }: PathEvidence,
  cutOff: readonly { readonly host: Role; readonly conditions: readonly Condition[] }[],
): Finding {
  const state = (direction: DirectionEvidence): DirectionState => (direction.packets.received > 0 ? 'open' : 'closed');
  return {
    state: 'blocked',
    cause: 'udp-blocked',
    directions: { up: state(up), down: state(down) },
    conditions: cutOff.flatMap(({ conditions }) => conditions),
    udpBlocked: cutOff.map(({ host }) => host),
    why: cutOff
      .map(
        ({ host, conditions }) =>
          `no UDP passes on ${nameOf(path[host])}: ${conditions
            .slice(1, 4)
            .map(({ detail }) => detail)
            .join(', ')}`,
      )
      .join('; '),
  };
}

function oneWay(evidence: PathEvidence, shut: readonly DirectionEvidence[]): Finding | null {
  const { up, down, path } = evidence;
  const [only] = shut;
  if (!only || shut.length !== 1) return null;
  const open = only === up ? down : up;
  if (!open.controlPasses) return null;
  return {
    state: 'one-way',
    cause: portFiltersOf(evidence).length > 0 ? 'port-filtered' : 'peer-udp-blocked',
    why: `${open.control.received} of ${open.control.sent} control packets arrived ${route(path, open)}, ${only.control.received} of ${only.control.sent} ${route(path, only)}${portWords(evidence)}`,
  };
}

function route(path: PathEvidence['path'], { from, to }: DirectionEvidence): string {
  return `${path[from].interface} → ${path[to].interface}`;
}

function blocked(evidence: PathEvidence, shut: readonly DirectionEvidence[]): Finding | null {
  const { up, down, reference } = evidence;
  if (shut.length !== 2) return null;
  const reached = ROLES.map((host) => {
    const answered = reference[host].best.filter(({ received }) => received).length;
    return `${answered} of ${reference[host].best.length} from the ${host}`;
  });
  return {
    state: 'blocked',
    cause: portFiltersOf(evidence).length > 0 ? 'port-filtered' : 'peer-udp-blocked',
    why: `${up.control.received} of ${up.control.sent} control packets arrived up and ${down.control.received} of ${down.control.sent} down, while ${reached.join(' and ')} reached the reference; the NATs predict success${portWords(evidence)}`,
  };
}

/** The control passes both ways and every STUN packet that was tried fails against it. */
function stunBlocked(evidence: PathEvidence): Finding | null {
  const { up, down, arms } = evidence;
  const cause = stunCause(evidence);
  if (!up.controlPasses || !down.controlPasses || !cause) return null;
  const fields = fieldsOf(evidence);
  if (!everyStunArmFails([up, down], arms)) {
    return {
      state: 'inconclusive',
      cause,
      fields,
      why: `${stunFilteredWords(evidence)}, and some changed packets pass, but no check came up`,
    };
  }
  const conditions = [up, down].map(({ direction, control }) => ({
    condition: `${direction}: the control passes`,
    met: true,
    detail: `${control.received} of ${control.sent} control packets arrived`,
  }));
  return {
    state: 'blocked',
    cause,
    fields,
    conditions: [
      ...conditions,
      {
        condition: 'every STUN arm fails against the control',
        met: true,
        detail: [up, down]
          .flatMap(({ direction, arms }) =>
            arms
              .filter(({ outcome }) => outcome === 'fails')
              .map(({ arm, sent, received }) => `${arm} ${direction} ${received} of ${sent}`),
          )
          .join(', '),
      },
    ],
    why: `${stunFilteredWords(evidence)}; every STUN arm dies`,
  };
}

/** ICE's word: it did not come up, and that is nobody's block. */
function failed(evidence: PathEvidence): Finding | null {
  const { path, ends, predicted, up, down, altered } = evidence;
  const rewritten = altered.some(({ what }) => what !== 'reference') && up.controlPasses && down.controlPasses;
  if (rewritten) {
    return {
      state: 'failed',
      cause: 'payload-rewritten',
      why: `${alteredWords(altered)}: what was rewritten no check can use, and none came up in another arm`,
    };
  }
  const spoiled = ROLES.filter((host) => isSpoiled(ends[host]?.nat ?? null));
  const shared = sharedNat(ends.client?.nat ?? null, ends.server?.nat ?? null);
  const refusal = path.icmp.find((icmp) => readIcmp(evidence, icmp) === 'nat-port');
  const models = ROLES.map((host) => {
    const nat = ends[host]?.nat;
    return `${nameOf(path[host])} ${nat ? `${nat.mapping}/${nat.filtering}` : 'unmeasured'}`;
  }).join(', ');
  if (predicted === 'failure' || predicted === 'uncertain' || refusal) {
    const reason = refusal
      ? `the far NAT itself refused the port (${describeIcmp(refusal)})`
      : shared && shared.hairpins !== 'yes'
        ? sharedNatWords(shared)
        : predicted === 'failure'
          ? 'such NATs cannot be punched'
          : spoiled.length > 0
            ? 'an early packet moves the mapping, so the punch misses'
            : 'whether such NATs can be punched depends on details that were not measured';
    const tried = spoiled.length > 0 ? vainWords(path.ways) : '';
    const missed = missedWords(path.ways);
    return { state: 'failed', cause: 'nat-incompatible', why: `${models}: ${reason}${tried}${missed}` };
  }
  if (lossExplainsChecks(up, down) || flowConditions(evidence).length > 0) return null;
  return {
    state: 'failed',
    cause: null,
    why: `${up.control.received} of ${up.control.sent} control packets arrived up and ${down.control.received} of ${down.control.sent} down, yet no check succeeded`,
  };
}

/** Whether all checks may have been lost at the control's own rate of loss: each needs both ways. */
function lossExplainsChecks(up: DirectionEvidence, down: DirectionEvidence): boolean {
  if (!up.controlPasses || !down.controlPasses) return true;
  const low = ({ control }: DirectionEvidence): number => clopperPearson(control.received, control.sent).low;
  const checks = up.observed.checksSent + down.observed.checksSent;
  return (1 - low(up) * low(down)) ** checks > ALPHA;
}

function undecided({ up, down }: PathEvidence, conditions: readonly Condition[]): Finding {
  const missing = conditions.filter(({ met }) => !met);
  const counts = `${up.control.received} of ${up.control.sent} control packets arrived up and ${down.control.received} of ${down.control.sent} down`;
  const why = missing.map(({ condition, detail }) => `${condition} (${detail})`).join('; ');
  return {
    state: 'inconclusive',
    cause: null,
    why: why === '' ? counts : `${counts}; to say "blocked" it lacks: ${why}`,
  };
}

/** What was heard of a direction, where nothing is closed. */
function heard({ packets }: DirectionEvidence): DirectionState {
  return packets.received > 0 ? 'open' : 'unknown';
}
