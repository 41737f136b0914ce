import type { Ms } from '../base/time.js';
import type { PathObservation } from '../verdict/observation.js';
import type { ProfileAgain, ProfileCadence, ProfilePath, ProfileReport } from '../verdict/profile.js';
import { UNANSWERED_MIN } from '../verdict/lost.js';
import { ROLES, type Role } from '../verdict/words.js';
import { pathId } from './record.js';
import { FAR, type EventOf, type RecordIndex } from './record-index.js';

type PlayEvent = EventOf<'profile'>;

/** What a profile that was played beside the run found; `null` where none was. `paths`: what icepath itself found. */
export function profileOf(index: RecordIndex, paths: readonly PathObservation[]): ProfileReport | null {
  const plan = index.all('profile-plan').find(({ host }) => host === 'client');
  if (!plan) return null;
  const play = new Play(index);
  const used = play.used();
  const direct = used.filter(({ on }) => on === 'direct').sort((left, right) => left.atMs - right.atMs)[0];
  const relay = used.filter(({ on }) => on === 'relay').sort((left, right) => left.atMs - right.atMs)[0];
  const found = play.of('found').length > 0;
  const gaveUp = play.of('gave-up').map(({ ms = 0 }) => ms);
  const report: Omit<ProfileReport, 'says'> = {
    name: plan.name,
    title: plan.title,
    found,
    path: direct?.path ?? null,
    firstPathMs: direct?.atMs ?? null,
    relayMs: relay?.atMs ?? null,
    standIns: plan.standIns,
    gaveUpAfterMs: found || gaveUp.length === 0 ? null : rounded(gaveUp.reduce((most, ms) => Math.max(most, ms), 0)),
    paths: play.paths(),
    keepalives: play.cadences('keepalive', 'keepalive-answered'),
    idle: play.cadences('idle', 'idle-answered'),
    trains: play.cadences('train', 'train-answered'),
    used,
    gaps: gapsOf(used),
    again: ROLES.flatMap((host) => play.again(host) ?? []),
  };
  return { ...report, says: sentencesOf(report, plan, play, paths) };
}

class Play {
  readonly #index: RecordIndex;
  readonly #events: readonly PlayEvent[];
  readonly #began: ReadonlyMap<Role, Ms>;

  constructor(index: RecordIndex) {
    this.#index = index;
    this.#events = index.all('profile');
    this.#began = new Map(this.of('began').map(({ host, t }) => [host, t]));
  }

  get hasBegun(): boolean {
    return this.#began.size > 0;
  }

  of(what: PlayEvent['what'], host?: Role): PlayEvent[] {
    return this.#events.filter((event) => event.what === what && (host === undefined || event.host === host));
  }

  since({ host, t }: PlayEvent): Ms {
    return rounded(t - (this.#began.get(host) ?? 0));
  }

  /** When icepath's own checks had found each path, since the run began; the client's word where it has one. */
  ownPaths(paths: readonly PathObservation[]): { readonly path: string; readonly atMs: Ms }[] {
    const began = new Map(this.#index.all('run').map(({ host, t }) => [host, t]));
    const found = paths.flatMap(({ id }) => {
      const events = this.#index.all('valid').filter((event) => event.path === id);
      const first = events.find(({ host }) => host === 'client') ?? events[0];
      return first ? [{ path: id, atMs: rounded(first.t - (began.get(first.host) ?? 0)) }] : [];
    });
    return found.sort((left, right) => left.atMs - right.atMs);
  }

  /** An interface came back, and its end probed once more: what that found. */
  again(host: Role): ProfileAgain | null {
    const back = this.of('interface-up', host).at(-1);
    if (!back) return null;
    const atMs = this.since(back);
    const since = (what: PlayEvent['what'], at: Role): number =>
      this.of(what, at).filter((event) => this.since(event) >= atMs).length;
    const probes = since('probe', host);
    // A keepalive is a probe on the wire, and none of the search; one that was under way then is counted at one end alone.
    const kept = since('keepalive', host);
    const ofProbes = (count: number): number => Math.min(probes, Math.max(0, count - kept));
    const heard = ofProbes(since('heard', FAR[host]));
    const answers = since('answer', FAR[host]);
    const answered = ofProbes(answers);
    const isUnanswered = heard >= UNANSWERED_MIN && answers === 0;
    const missed = probes === 0 ? 'unprobed' : isUnanswered ? 'unresponsive' : 'inconclusive';
    const state = since('found', host) > 0 ? 'established' : missed;
    return { host, interface: back.interface ?? '', atMs, probes, heard, answered, state };
  }

  used(): ProfileReport['used'] {
    return this.of('active').map((event) => ({
      host: event.host,
      atMs: this.since(event),
      on: event.on ?? 'nothing',
      path: event.on === 'direct' ? pathOf(event) : null,
      interface: event.interface,
    }));
  }

  paths(): ProfilePath[] {
    const counts = new Map<string, Record<'probes' | 'heard' | 'answered', Record<Role, number>>>();
    const count = (event: PlayEvent, what: 'probes' | 'heard' | 'answered', prober: Role): void => {
      const path = pathOf(event);
      if (path === null) return;
      const none = (): Record<Role, number> => ({ client: 0, server: 0 });
      const own = counts.get(path) ?? { probes: none(), heard: none(), answered: none() };
      own[what][prober] += 1;
      counts.set(path, own);
    };
    for (const event of this.of('probe')) count(event, 'probes', event.host);
    // Keepalives are heard, too: those of the path that is in use.
    for (const event of this.of('heard')) count(event, 'heard', FAR[event.host]);
    for (const event of this.of('answer')) count(event, 'answered', FAR[event.host]);
    for (const event of this.of('keepalive')) subtract(counts, event);
    return [...counts].map(([path, own]) => ({ path, ...own }));
  }

  cadences(
    what: 'keepalive' | 'idle' | 'train',
    answered: 'keepalive-answered' | 'idle-answered' | 'train-answered',
  ): Readonly<Record<Role, ProfileCadence>> {
    const of = (host: Role): ProfileCadence => {
      const times = this.of(what, host).map(({ t }) => t);
      const [first] = times;
      const inUse = this.of('active', host).findLast(({ t, on }) => on === 'direct' && t <= (first ?? 0));
      return {
        sent: times.length,
        answered: this.of(answered, host).length,
        firstAfterMs: first === undefined || !inUse ? null : rounded(first - inUse.t),
        everyMs: medianGap(times),
      };
    };
    return { client: of('client'), server: of('server') };
  }
}

/** A keepalive is a probe on the wire: what is heard and answered of it is none of the search. */
function subtract(
  counts: ReadonlyMap<string, Record<'probes' | 'heard' | 'answered', Record<Role, number>>>,
  event: PlayEvent,
): void {
  const own = counts.get(pathOf(event) ?? '');
  if (!own) return;
  for (const what of ['heard', 'answered'] as const) own[what][event.host] = Math.max(0, own[what][event.host] - 1);
}

function pathOf({ host, interface: near, far, family }: PlayEvent): string | null {
  if (near === null || far === null || family === null) return null;
  return host === 'client' ? pathId(near, far, family) : pathId(far, near, family);
}

function gapsOf(used: ProfileReport['used']): ProfileReport['gaps'] {
  return ROLES.flatMap((host) => {
    const own = used.filter((one) => one.host === host);
    return own.flatMap(({ on, atMs }, index) => {
      const untilMs = own[index + 1]?.atMs ?? null;
      // Whoever had a relay ready went over to it at once.
      return on === 'nothing' && untilMs !== atMs ? [{ host, fromMs: atMs, untilMs }] : [];
    });
  });
}

function sentencesOf(
  report: Omit<ProfileReport, 'says'>,
  { relays, otherwise, unchangedAnswers }: EventOf<'profile-plan'>,
  play: Play,
  own: readonly PathObservation[],
): string[] {
  const { name, found, path, firstPathMs, relayMs, gaveUpAfterMs, paths, used, gaps, again, standIns } = report;
  if (!play.hasBegun) return [`${name} was not played: the two ends were not ready for it together`];
  const probes = paths.reduce((sum, one) => sum + one.probes.client + one.probes.server, 0);
  const stays = relayMs === null ? '' : '; it stays on the relay';
  const last = ROLES.flatMap((host) => used.findLast((one) => one.host === host) ?? []);
  const asked =
    relays === 0 ? null : relayMs === null ? 'no relay answered' : `a relay was in use after ${text(relayMs)}`;
  const unanswered = paths.flatMap((one) =>
    ROLES.filter((host) => one.heard[host] > 3 && one.answered[host] < one.heard[host] / 2).map((host) => {
      const why = unchangedAnswers ? '' : ': by this profile an end whose own interfaces did not change does not';
      const times = `${String(one.heard[host] - one.answered[host])} of ${String(one.probes[host])} probes of the ${host}`;
      return `${times} over ${one.path} came to the ${FAR[host]} and were not answered${why}`;
    }),
  );
  const valid = play.ownPaths(own).map(({ path: id, atMs }) => `${id} after ${text(atMs)}`);
  return [
    found && path !== null && firstPathMs !== null
      ? `${name} would find a direct path here: ${path} after ${text(firstPathMs)}`
      : `${name} would find no direct path here: ${String(probes)} probes${gaveUpAfterMs === null ? '' : `, given up ${text(gaveUpAfterMs)} after the first`}${stays}`,
    ...(asked === null
      ? []
      : [
          `${asked} (${standIns === 1 ? 'a reference host stands' : `${String(standIns)} reference hosts stand`} in for ${String(relays)} relays, and relay nothing)`,
        ]),
    ...gaps.map(({ host, fromMs, untilMs }) => {
      const next = used.find((one) => one.host === host && one.atMs === untilMs && one.on !== 'nothing');
      const then = next
        ? `, then ${next.on === 'relay' ? `a relay over ${next.interface ?? ''}` : (next.path ?? '')}`
        : '';
      const length = untilMs === null ? 'to the end' : `for ${text(untilMs - fromMs)}`;
      return `the ${host} had nothing to send over ${length}, ${text(fromMs)} after the call began${then}`;
    }),
    ...again.map(againText),
    ...unanswered,
    ...(used.some(({ on }) => on === 'nothing')
      ? last.map(
          ({ host, on, path: over }) =>
            `at the end the ${host} is on ${on === 'direct' ? (over ?? '') : on === 'relay' ? 'the relay' : 'nothing'}`,
        )
      : []),
    ...(found || otherwise === null ? [] : [`what it does then is not played: ${otherwise}`]),
    valid.length > 0 ? `icepath's own checks: ${valid.join(', ')}` : "icepath's own checks found no path",
  ];
}

function againText({ host, interface: on, probes, heard, answered, state }: ProfileAgain): string {
  if (state === 'unprobed') return `when ${on} was back, the ${host} did not probe`;
  const came = heard === 0 ? 'none of them came to the far end' : `${String(heard)} came to the far end`;
  const unanswered =
    state === 'unresponsive' ? ', which answered none: unresponsive' : `, which answered ${String(answered)}`;
  const what =
    state === 'established' ? 'and found a direct path again' : `in vain: ${came}${heard === 0 ? '' : unanswered}`;
  return `when ${on} was back, the ${host} sent ${String(probes)} probes, ${what}`;
}

function medianGap(times: readonly Ms[]): Ms | null {
  const gaps = times.slice(1).map((t, index) => t - (times[index] ?? 0));
  const sorted = gaps.sort((left, right) => left - right);
  const middle = sorted[sorted.length >> 1];
  return middle === undefined ? null : rounded(middle);
}

function text(ms: Ms): string {
  return ms < 1000 ? `${String(Math.round(ms))} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function rounded(ms: Ms): Ms {
  return Math.round(ms * 10) / 10;
}
