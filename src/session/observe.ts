import type { Family } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import type { Ms } from '../base/time.js';
import type {
  DirectionObservation,
  EndObservation,
  FaultObservation,
  PathObservation,
  RoundObservation,
  RunObservation,
} from '../verdict/observation.js';
import type { PathEndReport } from '../verdict/report.js';
import type { EgressVerdict, Role } from '../verdict/words.js';
import { HEADER_MUTATIONS } from '../../probes/header-mutations.js';
import { pathId, yardstickSchema, type RecordEvent } from './record.js';
import { directionKey, endKey, FAR, ownerKey, RecordIndex, type EventOf } from './record-index.js';

const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];

/**
 * A record → what the run observed, joined by transaction. Pure; takes the events of one end alone as well as of both.
 * `null` where the record does not even say which run it is of.
 */
export function observe(events: readonly RecordEvent[]): RunObservation | null {
  const index = new RecordIndex(events);
  const { run } = index;
  if (!run) return null;
  const client = index.hosts.get('client')?.interfaces ?? [];
  const server = index.hosts.get('server')?.interfaces ?? [];
  const controlLost = index.all('control-lost')[0];
  const [interrupted] = index.all('interrupted').filter(({ host }) => host === 'client');
  const serverInterrupted = index.all('interrupted').find(({ host }) => host === 'server');
  const yardstick = index.all('yardstick').find(({ host }) => host === 'client');
  return {
    id: run.id,
    started: run.started,
    durationMs: index.lastT,
    label: run.label,
    version: run.version,
    backend: run.backend,
    seed: run.seed,
    policy: run.policy,
    arms: run.arms,
    firstOnly: run.firstOnly,
    hosts: [...index.hosts.values()].map(({ host, name, pinning, interfaces }) => ({
      role: host,
      name,
      pinning,
      interfaces,
    })),
    references: run.references.length,
    controlLost: controlLost
      ? { at: controlLost.t, reason: controlLost.reason }
      : serverInterrupted
        ? { at: serverInterrupted.t, reason: 'the server was interrupted' }
        : null,
    interrupted: interrupted !== undefined,
    ends: [...endsOf(index, 'client', client), ...endsOf(index, 'server', server)],
    paths: client.flatMap((left) => server.flatMap((right) => pathsBetween(index, run, left, right))),
    yardsticks: yardstick ? yardstick.results.flatMap((result) => yardstickSchema.safeParse(result).data ?? []) : null,
  };
}

function endsOf(index: RecordIndex, host: Role, interfaces: readonly HostInterface[]): EndObservation[] {
  return interfaces.flatMap((on) => familiesOf(on).map((family) => endOf(index, host, on, family)));
}

function endOf(index: RecordIndex, host: Role, on: HostInterface, family: Family): EndObservation {
  const here = (event: { readonly host: Role; readonly interface: string; readonly family: Family }): boolean =>
    event.host === host && event.interface === on.name && event.family === family;
  const sends = (index.sends.get(endKey(host, on.name, family)) ?? []).filter((sent) => sent.purpose === 'arm');
  const arms = roundsByArm(index, sends, (sent) => index.arrived(sent, host) !== undefined);
  const rounds = arms.flatMap((tally) => tally.rounds.map(({ at }) => at));
  // verdicts.md, `udp-blocked`: TCP "in the same rounds". Where there were none, any try tells of the reference.
  const from = rounds.length > 0 ? Math.min(...rounds) - HEADER_MUTATIONS.intervalMs : 0;
  const tcp = index.all('tcp').filter((event) => here(event) && event.t - event.afterMs >= from);
  const notGathered = index.all('not-gathered').find(here);
  return {
    host,
    interface: on.name,
    kind: on.kind,
    label: on.label,
    family,
    notGathered: on.addresses.some((address) => address.family === family)
      ? (notGathered?.reason ?? null)
      : 'no-address',
    nat: index.all('nat').findLast(here)?.model ?? null,
    reference: {
      control: arms.find(({ arm }) => arm === 'random')?.rounds ?? [],
      arms,
      tcp: { tried: tcp.length, connected: tcp.filter(({ code }) => code === null).length },
    },
    faults: faultsOf(index, host, on),
  };
}

/** Counters of one host that moved between its first and its last reading and can explain silence on this interface. */
function faultsOf(index: RecordIndex, host: Role, on: HostInterface): FaultObservation[] {
  const readings = index.all('counters').filter((event) => event.host === host);
  const before = readings[0]?.counters;
  const after = readings.at(-1)?.counters;
  if (!before || !after) return [];
  const faults: FaultObservation[] = [];
  for (const [counter, value] of Object.entries(after.host)) {
    const delta = value - (before.host[counter] ?? 0);
    if (delta <= 0) continue;
    if (counter.endsWith('IPReversePathFilter') && after.rpFilter[on.name] === 1) {
      faults.push({
        counter,
        delta,
        direction: 'in',
        explanation: `the kernel's reverse-path filter dropped ${String(delta)} packets; turn it to loose on ${on.name}: sysctl -w net.ipv4.conf.${on.name}.rp_filter=2`,
      });
    }
    const chain = /^(?:nft|iptables|ip6tables)\b.*\b(input|output)\b/i.exec(counter)?.[1]?.toLowerCase();
    if (chain) {
      faults.push({
        counter,
        delta,
        direction: chain === 'input' ? 'in' : 'out',
        explanation: `a firewall rule of this host dropped ${String(delta)} packets (${counter}); let UDP pass there while you test`,
      });
    }
  }
  return faults;
}

function pathsBetween(
  index: RecordIndex,
  run: EventOf<'run'>,
  left: HostInterface,
  right: HostInterface,
): PathObservation[] {
  const wanted = isWanted(index, run, left, right);
  const shared = FAMILIES.filter((family) => familiesOf(left).includes(family) && familiesOf(right).includes(family));
  const without = [left, right].find(({ addresses }) => addresses.length === 0);
  const families = without ? [familiesOf(without === left ? right : left)[0] ?? 'ipv4'] : shared;
  return families.map((family) => pathOf(index, left, right, family, wanted));
}

function isWanted(index: RecordIndex, run: EventOf<'run'>, left: HostInterface, right: HostInterface): boolean {
  const names = (word: string, on: HostInterface): boolean => word === on.name || word === on.label;
  if (run.wanted) return run.wanted.some(({ client, server }) => names(client, left) && names(server, right));
  const wired = (on: HostInterface): boolean => on.kind === 'ethernet';
  // Where every path has an Ethernet end (two desktops), all of them are what the user came for.
  const onlyWired = [...index.hosts.values()].some(({ interfaces }) => interfaces.every(wired));
  return onlyWired || (!wired(left) && !wired(right));
}

function pathOf(
  index: RecordIndex,
  left: HostInterface,
  right: HostInterface,
  family: Family,
  wanted: boolean,
): PathObservation {
  const id = pathId(left.name, right.name, family);
  const ofPath = (event: { readonly path: string }): boolean => event.path === id;
  const valid = index
    .all('valid')
    .filter(ofPath)
    .sort((a, b) => a.t - b.t);
  const best = valid.at(-1) ?? null;
  const rtts = index.all('rtt').filter(ofPath);
  const pairs = index.all('pair').filter(ofPath);
  const lost = index.all('lost').filter(ofPath);
  const selected = index.all('selected').findLast(({ host }) => host === 'client')?.path === id;
  const up = directionOf(index, id, 'client');
  return {
    id,
    family,
    wanted,
    client: pathEnd(index, 'client', left, family, best),
    server: pathEnd(index, 'server', right, family, best),
    noRoute: routeless(index, 'client', left, right, family) ?? routeless(index, 'server', right, left, family),
    egress: {
      client: egressOf(index, 'client', left, right, family, best),
      server: egressOf(index, 'server', right, left, family, best),
    },
    up,
    down: directionOf(index, id, 'server'),
    valid: best && valid[0] ? { at: valid[0].t, arm: best.arm } : null,
    lostAt: lostAt(lost, valid),
    superseded: index.run?.firstOnly === true && !best && up.checksSent > 0 && index.all('selected').length > 0,
    selected,
    priority: [...pairs, ...valid].reduce((most, { priority }) => Math.max(most, priority), 0),
    rttMs:
      rtts.length > 0
        ? {
            min: rtts.reduce((least, { min }) => Math.min(least, min), Infinity),
            median: rtts.reduce((least, { median }) => Math.min(least, median), Infinity),
          }
        : null,
    icmp: icmpOf(index, left, right, family),
  };
}

/** A path that came up again after it was lost is not lost. */
function lostAt(lost: readonly EventOf<'lost'>[], valid: readonly EventOf<'valid'>[]): Ms | null {
  const last = lost.at(-1);
  return last && !valid.some(({ t, host }) => host === last.host && t > last.t) ? last.t : null;
}

function pathEnd(
  index: RecordIndex,
  host: Role,
  on: HostInterface,
  family: Family,
  valid: EventOf<'valid'> | null,
): PathEndReport {
  const own = valid?.host === host;
  const candidates = index
    .all('candidate')
    .filter(
      (event) => event.host === host && event.interface === on.name && event.family === family && event.use === 'ice',
    );
  const gathered = candidates.find(({ candidate }) => candidate === 'srflx') ?? candidates[0];
  const candidate = valid
    ? { type: own ? valid.localType : valid.remoteType, ...(own ? valid.local : valid.remote) }
    : gathered && { type: gathered.candidate, ...gathered.address };
  return {
    interface: on.name,
    kind: on.kind,
    label: on.label,
    candidate: candidate ? { type: candidate.type, address: candidate.address, port: candidate.port } : null,
  };
}

function directionOf(index: RecordIndex, path: string, from: Role): DirectionObservation {
  const sends = index.sends.get(directionKey(path, from)) ?? [];
  const far = FAR[from];
  const arrived = (sent: EventOf<'sent'>): boolean => index.arrived(sent, far) !== undefined;
  const taken = sends.filter(({ error }) => error === null);
  const checks = taken.filter(({ purpose }) => purpose === 'check' || purpose === 'consent');
  // An answer to this direction's requests travels the other way under the same transaction.
  const requests = new Set(checks.map(({ id }) => id));
  const back = index.sends.get(directionKey(path, far)) ?? [];
  const answers = back.filter(({ purpose, error, id }) => purpose === 'response' && error === null && requests.has(id));
  const sendErrors = new Map<string, number>();
  for (const { error } of sends) if (error !== null) sendErrors.set(error, (sendErrors.get(error) ?? 0) + 1);
  return {
    checksSent: checks.length,
    checksReceived: checks.filter(arrived).length,
    answersSent: answers.length,
    answersReceived: answers.filter((sent) => index.arrived(sent, from) !== undefined).length,
    sendErrors: Object.fromEntries(sendErrors),
    arms: roundsByArm(
      index,
      sends.filter(({ purpose }) => purpose === 'arm'),
      arrived,
    ),
  };
}

/** A round of an arm counts once: sent if the kernel took any of its packets, received if any arrived. */
function roundsByArm(
  index: RecordIndex,
  sends: readonly EventOf<'sent'>[],
  arrived: (sent: EventOf<'sent'>) => boolean,
): { readonly arm: string; readonly rounds: readonly RoundObservation[] }[] {
  const order = index.run?.arms ?? [];
  const arms = new Map<string, Map<number, RoundObservation>>();
  for (const sent of sends) {
    if (sent.round === null) continue;
    const rounds = arms.get(sent.arm) ?? new Map<number, RoundObservation>();
    arms.set(sent.arm, rounds);
    const known = rounds.get(sent.round);
    rounds.set(sent.round, {
      round: sent.round,
      at: Math.min(known?.at ?? sent.t, sent.t),
      sent: known?.sent === true || sent.error === null,
      received: known?.received === true || (sent.error === null && arrived(sent)),
    });
  }
  return [...arms]
    .map(([arm, rounds]) => ({ arm, rounds: [...rounds.values()].sort((a, b) => a.round - b.round) }))
    .sort((a, b) => order.indexOf(a.arm) - order.indexOf(b.arm));
}

/** The IP addresses under which the far end's interface was tried. */
function farAddresses(index: RecordIndex, host: Role, far: HostInterface, family: Family): Set<string> {
  const candidates = index
    .all('candidate')
    .filter((event) => event.host === FAR[host] && event.interface === far.name && event.family === family);
  return new Set(candidates.map(({ address }) => address.address));
}

function egressChecks(
  index: RecordIndex,
  host: Role,
  near: HostInterface,
  far: HostInterface,
  family: Family,
): EventOf<'egress'>[] {
  const addresses = farAddresses(index, host, far, family);
  return index
    .all('egress')
    .filter((event) => event.host === host && event.interface === near.name && addresses.has(event.to));
}

function routeless(
  index: RecordIndex,
  host: Role,
  near: HostInterface,
  far: HostInterface,
  family: Family,
): Role | null {
  const checks = egressChecks(index, host, near, far, family);
  return checks.length > 0 && checks.every(({ routed }) => routed === false) ? host : null;
}

function egressOf(
  index: RecordIndex,
  host: Role,
  near: HostInterface,
  far: HostInterface,
  family: Family,
  valid: EventOf<'valid'> | null,
): { verdict: EgressVerdict; reason: string } {
  const checks = egressChecks(index, host, near, far, family);
  const used = valid && (valid.host === host ? valid.remote : valid.local).address;
  const relevant = checks.filter(({ to }) => to === used);
  const judged = relevant.length > 0 ? relevant : checks;
  const said =
    judged.find(({ verdict }) => verdict === 'mismatch') ??
    judged.find(({ verdict }) => verdict === 'unknown') ??
    judged[0];
  return said
    ? { verdict: said.verdict, reason: said.reason }
    : { verdict: 'unknown', reason: 'the route was not looked up' };
}

function icmpOf(
  index: RecordIndex,
  left: HostInterface,
  right: HostInterface,
  family: Family,
): PathObservation['icmp'] {
  const counted = new Map<string, PathObservation['icmp'][number]>();
  for (const { host, interface: name, to, icmp, family: of } of index.all('icmp')) {
    const [near, far] = host === 'client' ? [left, right] : [right, left];
    if (of !== family || name !== near.name || index.owners.get(ownerKey(FAR[host], to)) !== far.name) continue;
    const key = [host, icmp.type, icmp.code, icmp.from, to.address].join('|');
    counted.set(key, { host, family, ...icmp, quotedTo: to.address, count: (counted.get(key)?.count ?? 0) + 1 });
  }
  return [...counted.values()];
}

function familiesOf(on: HostInterface): Family[] {
  const families = FAMILIES.filter((family) => on.addresses.some((address) => address.family === family));
  return families.length > 0 ? families : ['ipv4'];
}
