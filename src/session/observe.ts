import type { Family } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import {
  type DirectionObservation,
  endFamily,
  type EndObservation,
  type FaultObservation,
  type PathObservation,
  type RunObservation,
} from '../verdict/observation.js';
import type { PathEndReport } from '../verdict/report.js';
import type { EgressVerdict, Role } from '../verdict/words.js';
import { HEADER_MUTATIONS } from '../../probes/header-mutations.js';
import { translatorOf } from './nat64.js';
import { lapsesOf, unansweredIn } from './observe-lapses.js';
import { profileOf } from './observe-profile.js';
import { relayOf, relaysOf } from './observe-relays.js';
import { transferOf } from './observe-transfer.js';
import { waysOf } from './observe-ways.js';
import { pathId, yardstickSchema } from './record.js';
import { roundsByArm, roundsByPort } from './rounds.js';
import { trialsOf } from './trials.js';
import { directionKey, endKey, FAR, ownerKey, type EventOf, type RecordIndex } from './record-index.js';

const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];

/**
 * A record → what the run observed, joined by transaction. Pure; takes the events of one end alone as well as of both.
 * `null` where the record does not even say which run it is of.
 */
export function observe(index: RecordIndex): RunObservation | null {
  const { run } = index;
  if (!run) return null;
  const client = index.hosts.get('client')?.interfaces ?? [];
  const server = index.hosts.get('server')?.interfaces ?? [];
  const controlLost = index.all('control-lost')[0];
  const [interrupted] = index.all('interrupted').filter(({ host }) => host === 'client');
  const serverInterrupted = index.all('interrupted').find(({ host }) => host === 'server');
  const yardstick = index.all('yardstick').find(({ host }) => host === 'client');
  const paths = client.flatMap((left) => server.flatMap((right) => pathsBetween(index, run, left, right)));
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
    ownArms: run.ownArms ?? [],
    ownExperiments: run.ownExperiments ?? [],
    firstOnly: run.firstOnly,
    hosts: [...index.hosts.values()].map(({ host, name, pinning, interfaces }) => ({
      role: host,
      name,
      pinning,
      interfaces,
    })),
    clock: clockOf(index),
    references: run.references.length,
    controlLost: controlLost
      ? { at: controlLost.t, reason: controlLost.reason }
      : serverInterrupted
        ? { at: serverInterrupted.t, reason: 'the server was interrupted' }
        : null,
    interrupted: interrupted !== undefined,
    ends: [...endsOf(index, 'client', client), ...endsOf(index, 'server', server)],
    paths,
    profile: profileOf(index, paths),
    relays: relaysOf(index),
    transfer: transferOf(index),
    yardsticks: yardstick ? yardstick.results.flatMap((result) => yardstickSchema.safeParse(result).data ?? []) : null,
  };
}

/** Each end saw the other's clock late by one way of the control channel: the difference cancels it, the sum is both. */
function clockOf({ hosts }: RecordIndex): RunObservation['clock'] {
  const ofServer = hosts.get('client')?.farClockAheadMs;
  const ofClient = hosts.get('server')?.farClockAheadMs;
  if (ofServer === undefined || ofClient === undefined) return null;
  return {
    serverAheadMs: Math.round((ofServer - ofClient) / 2),
    withinMs: Math.ceil(Math.abs(ofServer + ofClient) / 2),
  };
}

function endsOf(index: RecordIndex, host: Role, interfaces: readonly HostInterface[]): EndObservation[] {
  return interfaces.flatMap((on) => {
    const families = reachesIPv4(index, host, on) ? FAMILIES : familiesOf(on);
    return families.map((family) => endOf(index, host, on, family));
  });
}

function endOf(index: RecordIndex, host: Role, on: HostInterface, family: Family): EndObservation {
  const here = (event: { readonly host: Role; readonly interface: string; readonly family: Family }): boolean =>
    event.host === host && event.interface === on.name && event.family === family;
  const all = index.sends(endKey(host, on.name, family));
  const sends = all.filter(({ purpose }) => purpose === 'arm');
  const arms = roundsByArm(index, sends, host);
  const rounds = arms.flatMap((tally) => tally.rounds.map(({ at }) => at));
  // verdicts.md, `udp-blocked`: TCP "in the same rounds". Where there were none, any try tells of the reference.
  const from = rounds.length > 0 ? Math.min(...rounds) - HEADER_MUTATIONS.intervalMs : 0;
  const tcp = index.all('tcp').filter((event) => here(event) && event.t - event.afterMs >= from);
  const hasAddress = on.addresses.some((address) => address.family === family);
  // One that had no address when the run began may have got one since.
  const notGathered = index
    .all('not-gathered')
    .find((event) => here(event) && !(hasAddress && event.reason === 'no-address'));
  return {
    host,
    interface: on.name,
    kind: on.kind,
    label: on.label,
    family,
    notGathered: on.nat64 || hasAddress ? (notGathered?.reason ?? null) : 'no-address',
    nat: index.all('nat').findLast(here)?.model ?? null,
    reference: {
      control: arms.find(({ arm }) => arm === 'random')?.rounds ?? [],
      arms,
      tcp: { tried: tcp.length, connected: tcp.filter(({ code }) => code === null).length },
      ports: roundsByPort(
        index,
        all.filter(({ purpose }) => purpose === 'port'),
        host,
      ),
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
  const through = nat64Between(index, left, right);
  return [
    ...families.map((family) => pathOf(index, left, right, { family, wanted, nat64: null })),
    ...(through ? [pathOf(index, left, right, { family: 'ipv6', wanted, nat64: through })] : []),
  ];
}

/** Whether an interface without IPv4 got an answer from an IPv4 host: its prefix is one. */
function reachesIPv4(index: RecordIndex, host: Role, on: HostInterface): boolean {
  if (!on.nat64) return false;
  const candidates = index.all('candidate');
  return candidates.some(
    (event) =>
      event.host === host && event.interface === on.name && event.family === 'ipv4' && event.candidate === 'srflx',
  );
}

function nat64Between(index: RecordIndex, left: HostInterface, right: HostInterface): PathObservation['nat64'] {
  const translator = translatorOf(left, right);
  const host = translator === left ? 'client' : 'server';
  if (!translator?.nat64 || !reachesIPv4(index, host, translator)) return null;
  return { host, prefix: translator.nat64.prefix };
}

function isWanted(index: RecordIndex, run: EventOf<'run'>, left: HostInterface, right: HostInterface): boolean {
  const names = (word: string, on: HostInterface): boolean => word === on.name || word === on.label;
  if (run.wanted) return run.wanted.some(({ client, server }) => names(client, left) && names(server, right));
  const wired = (on: HostInterface): boolean => on.kind === 'ethernet';
  // Where every path has an Ethernet end (two desktops), all of them are what the user came for.
  const onlyWired = [...index.began.values()].some(({ interfaces }) => interfaces.every(wired));
  return onlyWired || (!wired(left) && !wired(right));
}

function pathOf(
  index: RecordIndex,
  left: HostInterface,
  right: HostInterface,
  { family: own, wanted, nat64 }: Pick<PathObservation, 'family' | 'wanted' | 'nat64'>,
): PathObservation {
  const id = pathId(left.name, right.name, own);
  // What both ends recorded of it they recorded as IPv4, the one by translation.
  const family = endFamily({ family: own, nat64 });
  const packets = pathId(left.name, right.name, family);
  const ofPath = (event: { readonly path: string }): boolean => event.path === id;
  const valid = index
    .all('valid')
    .filter(ofPath)
    .sort((a, b) => a.t - b.t);
  const best = valid.at(-1) ?? null;
  const rtts = index.all('rtt').filter(ofPath);
  const pairs = index.all('pair').filter(ofPath);
  const selected = index.all('selected').findLast(({ host }) => host === 'client')?.path === id;
  const up = directionOf(index, packets, 'client');
  const down = directionOf(index, packets, 'server');
  const isChecked = up.checksSent + down.checksSent > 0;
  const relay = relayOf(index, id);
  return {
    id,
    family: own,
    wanted,
    nat64,
    client: pathEnd(index, 'client', left, family, best, relay),
    server: pathEnd(index, 'server', right, family, best, relay),
    noRoute: routeless(index, 'client', left, right, family) ?? routeless(index, 'server', right, left, family),
    egress: {
      client: egressOf(index, 'client', left, right, family, best),
      server: egressOf(index, 'server', right, left, family, best),
    },
    up,
    down,
    valid: best && valid[0] ? { at: valid[0].t, arm: best.arm } : null,
    lapses: unansweredIn(index, packets, lapsesOf(index.all('lost').filter(ofPath), valid)),
    superseded: index.run?.firstOnly === true && !best && isChecked && index.all('selected').length > 0,
    selected,
    trials: trialsOf(index, packets),
    priority: [...pairs, ...valid].reduce((most, { priority }) => Math.max(most, priority), 0),
    rttMs:
      rtts.length > 0
        ? {
            min: rtts.reduce((least, { min }) => Math.min(least, min), Infinity),
            median: rtts.reduce((least, { median }) => Math.min(least, median), Infinity),
          }
        : null,
    ways: waysOf(index, id),
    relay,
    icmp: icmpOf(index, left, right, family),
  };
}

function pathEnd(
  index: RecordIndex,
  host: Role,
  on: HostInterface,
  family: Family,
  valid: EventOf<'valid'> | null,
  relay: PathObservation['relay'],
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
    : (relay?.[host] ?? (gathered && { type: gathered.candidate, ...gathered.address }));
  return {
    interface: on.name,
    kind: on.kind,
    label: on.label,
    candidate: candidate ? { type: candidate.type, address: candidate.address, port: candidate.port } : null,
  };
}

function directionOf(index: RecordIndex, path: string, from: Role): DirectionObservation {
  const sends = index.sends(directionKey(path, from));
  const far = FAR[from];
  const arrived = (sent: EventOf<'sent'>): boolean => index.arrived(sent, far) !== undefined;
  const taken = sends.filter(({ error }) => error === null);
  const checks = taken.filter(({ purpose }) => purpose === 'check' || purpose === 'consent');
  // An answer to this direction's requests travels the other way under the same transaction.
  const requests = new Set(checks.map(({ id }) => id));
  const back = index.sends(directionKey(path, far));
  const answers = back.filter(({ purpose, error, id }) => purpose === 'response' && error === null && requests.has(id));
  const altered = (sent: EventOf<'sent'>, at: Role): boolean => index.altered(sent, at) !== undefined;
  const sendErrors = new Map<string, number>();
  for (const { error } of sends) if (error !== null) sendErrors.set(error, (sendErrors.get(error) ?? 0) + 1);
  return {
    checksSent: checks.length,
    checksReceived: checks.filter(arrived).length,
    answersSent: answers.length,
    answersReceived: answers.filter((sent) => index.arrived(sent, from) !== undefined).length,
    checksAltered: checks.filter((sent) => altered(sent, far)).length,
    answersAltered: answers.filter((sent) => altered(sent, from)).length,
    sendErrors: Object.fromEntries(sendErrors),
    arms: roundsByArm(
      index,
      sends.filter(({ purpose }) => purpose === 'arm'),
      far,
    ),
  };
}

/** The IP addresses under which the far end's interface was tried. */
function farAddresses(index: RecordIndex, host: Role, far: HostInterface, family: Family): Set<string> {
  const candidates = index
    .all('candidate')
    .filter((event) => event.host === FAR[host] && event.interface === far.name && event.family === family)
    .filter(({ candidate }) => candidate !== 'relay');
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
