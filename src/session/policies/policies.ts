import { IcepathError } from '../../base/errors.js';
import type { Ms } from '../../base/time.js';
import { describePolicy, parsePolicy } from '../../ice/policy.js';
import { CONTROL_ARM, PLAIN_ARM } from '../../mutation/names.js';
import { endFamily, type PathObservation, type RunObservation } from '../../verdict/observation.js';
import type { PolicyReport } from '../../verdict/policies.js';
import { pathId } from '../record.js';
import { directionKey, type EventOf, type RecordIndex } from '../record-index.js';
import { replay, type ReplayOptions } from './replay.js';

/** Those that every report has beside the run's own: the cable last, the cable first, and RFC 8445's formula alone. */
export const USUAL_POLICIES = ['cellular,tethered,wifi,ethernet', 'ethernet,wifi,tethered,cellular', 'equal'] as const;

/**
 * What the run's own policy made of a run, from its record; and what others would have made of it, by a replay of the
 * same record. Pure. Empty where the record holds no check of the client.
 */
export function policiesOf(
  index: RecordIndex,
  run: RunObservation,
  policies: readonly string[] = USUAL_POLICIES,
): PolicyReport[] {
  const own = canonical(run.policy);
  const arm = checkArm(index);
  if (own === null || arm === null) return [];
  const paths = new Map(run.paths.map((path) => [packetsOf(path), path]));
  const options: ReplayOptions = {
    index,
    arm,
    firstOnly: run.firstOnly,
    signalMs: run.clock?.withinMs ?? 0,
    pathOf: ({ client, server, family }) => paths.get(pathId(client, server, family))?.id ?? null,
  };
  const others = policies.flatMap((policy) => canonical(policy) ?? []).filter((policy) => policy !== own);
  return [ownReport(index, run, own), ...[...new Set(others)].map((policy) => replayed(policy, run, options))];
}

function ownReport(index: RecordIndex, run: RunObservation, policy: string): PolicyReport {
  const began = new Map(index.all('run').map(({ host, t }) => [host, t]));
  const since = ({ host, t }: { readonly host: 'client' | 'server'; readonly t: Ms }): Ms =>
    rounded(t - (began.get(host) ?? 0));
  const checks = (path: PathObservation, from: 'client' | 'server'): EventOf<'sent'>[] =>
    index
      .sends(directionKey(packetsOf(path), from))
      .filter(({ purpose, error }) => purpose === 'check' && error === null);
  const firsts = run.paths.flatMap((path) => {
    const [first] = checks(path, 'client').map(since).sort(ascending);
    return first === undefined ? [] : [{ path: path.id, atMs: first }];
  });
  const valid = run.paths.flatMap((path) => {
    const events = index.all('valid').filter((event) => event.path === path.id);
    const ours = events.filter(({ host }) => host === 'client');
    const [first] = (ours.length > 0 ? ours : events).map(since).sort(ascending);
    return first === undefined ? [] : [[path.id, first] as const];
  });
  return {
    policy,
    source: 'run',
    order: firsts.sort((left, right) => left.atMs - right.atMs),
    first: firstOfKinds(run, new Map(valid)),
    selected: run.paths.find(({ selected }) => selected)?.id ?? null,
    probes: run.paths.reduce((sum, path) => sum + checks(path, 'client').length + checks(path, 'server').length, 0),
    unknown: [],
  };
}

function replayed(policy: string, run: RunObservation, options: ReplayOptions): PolicyReport {
  const { checked, valid, selected, probes, untried } = replay(policy, options);
  const late = run.paths.filter((path) => path.valid !== null && !valid.has(path.id) && !untried.has(path.id));
  const unknown = [
    ...run.paths
      .filter(({ id }) => untried.has(id))
      .map(({ id }) => `${id}: this run sent nothing there that could tell whether it comes up`),
    ...late.map(
      ({ id }) => `${id}: it came up in another arm, on fresh sockets, or after a loss; a replay does not repeat that`,
    ),
  ];
  return {
    policy,
    source: 'replay',
    order: [...checked].map(([path, at]) => ({ path, atMs: rounded(at) })),
    first: firstOfKinds(run, valid),
    selected: untried.size > 0 ? null : selected,
    probes,
    unknown,
  };
}

function firstOfKinds(run: RunObservation, valid: ReadonlyMap<string, Ms>): PolicyReport['first'] {
  const firsts = new Map<string, PolicyReport['first'][number]>();
  const kindOf = (role: 'client' | 'server', name: string) =>
    run.hosts.find((host) => host.role === role)?.interfaces.find((on) => on.name === name)?.kind ?? 'other';
  for (const { id, client, server } of run.paths) {
    const at = valid.get(id);
    if (at === undefined) continue;
    const kinds = { client: kindOf('client', client.interface), server: kindOf('server', server.interface) };
    const key = `${kinds.client} ${kinds.server}`;
    const atMs = rounded(at);
    if (atMs < (firsts.get(key)?.atMs ?? Infinity)) firsts.set(key, { ...kinds, path: id, atMs });
  }
  return [...firsts.values()].sort((left, right) => left.atMs - right.atMs);
}

/** The path as its packets have it: through NAT64 an IPv6 path's sockets have IPv4. */
function packetsOf(path: PathObservation): string {
  return pathId(path.client.interface, path.server.interface, endFamily(path));
}

/** The arm of the client's first check; `null` where it sent none. */
function checkArm(index: RecordIndex): string | null {
  const first = index.all('sent').find(({ host, leg, purpose }) => {
    return host === 'client' && leg === 'peer' && purpose === 'check';
  });
  const named = index.run?.arms.find((arm) => arm !== CONTROL_ARM);
  return first ? first.arm : index.all('sent').some(({ purpose }) => purpose === 'check') ? (named ?? PLAIN_ARM) : null;
}

function canonical(policy: string): string | null {
  try {
    return describePolicy(parsePolicy(policy));
  } catch (error) {
    if (error instanceof IcepathError) return null;
    throw error;
  }
}

const ascending = (left: number, right: number): number => left - right;

function rounded(ms: Ms): Ms {
  return Math.round(ms * 10) / 10;
}
