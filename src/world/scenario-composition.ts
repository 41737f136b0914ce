import type { Family } from '../base/address.js';
import type { Ms } from '../base/time.js';
import { definitionsOf } from '../session/arms-file.js';
import { pathId } from '../session/record.js';
import { ROLES } from '../verdict/words.js';
import { type Finding, unknownWords } from '../yaml/fields.js';
import type { Path } from '../yaml/located-yaml.js';
import { type Carrier, CARRIERS } from './carriers.js';
import { ACCESS_LINK, type HostName, type UplinkOptions } from './internet.js';
import type { Expectation, HostInterfaceName, Outcome, Scenario } from './scenario.js';
import type { ScenarioText } from './scenario-schema.js';

/** Later than this no run is still checking (`session/client.ts`). */
const LATEST_EVENT_MS: Ms = 90_000;
const LAN = 'eth0';

/** An interface as paths and expectations see it. */
interface End {
  readonly host: HostName;
  readonly interface: string;
  readonly label: string;
  readonly families: readonly Family[];
  /** Without IPv4 of its own, it reaches IPv4 hosts through the carrier's NAT64. */
  readonly nat64: boolean;
}

/** A scenario from what its file says, and what in it does not fit together. */
export function compose(
  text: ScenarioText,
  name: string,
): { readonly scenario: Scenario; readonly findings: Finding[] } {
  const findings: Finding[] = [];
  const wrong = (path: Path, what: string): void => {
    findings.push({ path, what });
  };
  const uplinks = uplinksOf(text, wrong);
  const ends = endsOf(text, uplinks);
  const paths = pathsOf(ends);
  checkHosts(text, ends, wrong);
  checkWanted(text, ends, wrong);
  checkEvents(text, ends, wrong);
  checkExpectation(text, ends, paths, wrong);
  const { families, lan, prefer, client, server } = text;
  const own = definitionsOf(text['own-arms'], ['own-arms']);
  findings.push(...own.findings);
  const scenario: Scenario = {
    name,
    title: text.title,
    observed: text.observed ?? null,
    story: text.story,
    meaning: text.meaning,
    backends: text.backends,
    slow: text.slow,
    hostNames: { client: client.name, server: server.name },
    internet: { families, lan, uplinks },
    run: {
      prefer,
      arms: text.arms,
      ownArms: own.definitions,
      firstOnly: text['first-only'],
      deep: text.deep,
      wanted: text.wanted,
      pin: { client: client.pin ?? true, server: server.pin ?? true },
      clockAheadMs: { client: client.clock ?? 0, server: server.clock ?? 0 },
      reflector: text.reference.listens,
      relay: text.relay,
      referencePorts: text.reference.ports,
      ports: { client: client.ports ?? [], server: server.ports ?? [] },
      guessPorts: { client: client['guess-ports'] ?? false, server: server['guess-ports'] ?? false },
      transfer: text.transfer
        ? {
            seconds: text.transfer.duration / 1000,
            direction: text.transfer.direction,
            rateBps: text.transfer.rate ?? null,
          }
        : null,
      hung: interfacesWith(text, 'hung'),
      mute: interfacesWith(text, 'mute'),
    },
    events: text.events,
    expect: expectationOf(text.expect, wrong),
  };
  return { scenario, findings };
}

function interfacesWith(text: ScenarioText, ailment: 'hung' | 'mute'): HostInterfaceName[] {
  return ROLES.flatMap((host) =>
    Object.entries(text[host].interfaces)
      .filter(([, on]) => on[ailment] === true)
      .map(([on]) => ({ host, interface: on })),
  );
}

type Wrong = (path: Path, what: string) => void;

function uplinksOf({ client, server, carriers, families }: ScenarioText, wrong: Wrong): UplinkOptions[] {
  const known: Readonly<Record<string, Carrier>> = {
    ...CARRIERS,
    ...Object.fromEntries(
      Object.entries(carriers).map(([name, carrier]) => [name, { families: FAMILIES, ...carrier, name }]),
    ),
  };
  const sites = new Map<string, string>();
  return Object.entries({ client, server }).flatMap(([role, { interfaces }]) => {
    const host = role as HostName;
    return Object.entries(interfaces).flatMap(([name, on]): UplinkOptions[] => {
      const path = [host, 'interfaces', name, 'carrier'];
      const carrier = Object.hasOwn(known, on.carrier) ? known[on.carrier] : undefined;
      if (!carrier) {
        wrong(path, unknownWords('carrier', on.carrier, Object.keys(known)));
        return [];
      }
      if (!carrier.families.some((family) => families.includes(family))) {
        wrong(path, `${on.carrier} has only ${carrier.families.join()}, and the scenario only ${families.join()}`);
      }
      const { kind, metric, gateway, rp_filter: rpFilter, site, hops, starts } = on;
      if (site !== undefined) {
        const there = sites.get(site) ?? on.carrier;
        if (there !== on.carrier) wrong(path, `the site ${site} has the carrier ${there} already`);
        sites.set(site, there);
      }
      const link = { ...ACCESS_LINK, ...on.link };
      return [
        {
          host,
          interface: name,
          kind,
          label: on.label ?? on.carrier,
          carrier,
          metric,
          up: { ...link, ...on.up },
          down: { ...link, ...on.down },
          gateway: gateway ?? true,
          rpFilter: rpFilter ?? 0,
          ...(site === undefined ? {} : { site }),
          ...(hops === undefined ? {} : { hops }),
          ...(starts === undefined ? {} : { starts }),
        },
      ];
    });
  });
}

const FAMILIES = ['ipv4', 'ipv6'] as const;

function endsOf({ lan, families }: ScenarioText, uplinks: readonly UplinkOptions[]): End[] {
  const wired = lan ? ROLES.map((host) => ({ host, interface: LAN, label: 'lan', families, nat64: false })) : [];
  const others = uplinks.map(({ host, interface: name, label, carrier }) => ({
    host,
    interface: name,
    label,
    families: carrier.families.filter((family) => families.includes(family)),
    nat64: !carrier.families.includes('ipv4') && carrier.boxes.some(({ type }) => type === 'nat64'),
  }));
  return [...wired, ...others];
}

function pathsOf(ends: readonly End[]): ReadonlySet<string> {
  const of = (host: HostName): End[] => ends.filter((end) => end.host === host);
  return new Set(
    of('client').flatMap((client) =>
      of('server').flatMap((server) =>
        familiesBetween(client, server).map((family) => pathId(client.interface, server.interface, family)),
      ),
    ),
  );
}

/** verdicts.md: a family makes a path only where both have it, and a path through NAT64 is `ipv6`. */
function familiesBetween(client: End, server: End): Family[] {
  const shared = client.families.filter((family) => server.families.includes(family));
  const translates = [
    [client, server],
    [server, client],
  ].some(([near, far]) => near?.nat64 === true && far?.families.includes('ipv4') === true);
  return shared.length === 0 && translates ? ['ipv6'] : shared;
}

function checkHosts({ lan, backends, ...hosts }: ScenarioText, ends: readonly End[], wrong: Wrong): void {
  for (const host of ROLES) {
    if (hosts[host].clock !== undefined && backends.includes('kernel')) {
      wrong([host, 'clock'], 'needs backends: virtual, since hosts of the kernel back end share one clock');
    }
    const own = ends.filter((end) => end.host === host);
    if (own.length === 0) wrong([host, 'interfaces'], 'holds no interface, and there is no LAN');
    if (lan && Object.hasOwn(hosts[host].interfaces, LAN)) {
      wrong([host, 'interfaces', LAN], 'is the LAN’s already; it is described under lan');
    }
    for (const [index, { label, interface: name }] of own.entries()) {
      const first = own.findIndex((end) => end.label === label);
      if (first !== index) {
        wrong([host, 'interfaces', name], `has the label ${label}, as ${own[first]?.interface ?? ''} has already`);
      }
    }
  }
}

function checkWanted({ wanted }: ScenarioText, ends: readonly End[], wrong: Wrong): void {
  for (const [index, pair] of wanted.entries()) {
    const path = ['wanted', index];
    const found = ROLES.map((host) => {
      const own = ends.filter((end) => end.host === host);
      const end = own.find(({ interface: name, label }) => name === pair[host] || label === pair[host]);
      if (!end)
        wrong(
          path,
          unknownWords(
            `interface of the ${host}`,
            pair[host],
            own.map((one) => one.interface),
          ),
        );
      return end;
    });
    const [client, server] = found;
    if (client && server && familiesBetween(client, server).length === 0) {
      wrong(path, `${pair.client} and ${pair.server} have no family in common`);
    }
    if (wanted.findIndex((one) => one.client === pair.client && one.server === pair.server) !== index) {
      wrong(path, `names ${pair.client} <-> ${pair.server} twice`);
    }
  }
}

function checkEvents({ events, client, server }: ScenarioText, ends: readonly End[], wrong: Wrong): void {
  const places = ends.map(({ host, interface: name }) => `${host}.${name}`);
  const isDown = new Set<string>(
    Object.entries({ client, server }).flatMap(([host, { interfaces }]) =>
      Object.entries(interfaces).flatMap(([name, { starts }]) => (starts ? [`interface ${host}.${name}`] : [])),
    ),
  );
  let killedAt: Ms | null = null;
  for (const [index, { atMs, action }] of events.entries()) {
    const path = ['events', index];
    if (atMs < (events[index - 1]?.atMs ?? 0))
      wrong([...path, 'at'], 'is before the event above it: order them by time');
    if (atMs > LATEST_EVENT_MS)
      wrong([...path, 'at'], `is later than ${LATEST_EVENT_MS / 1000} s, when every run is over`);
    if (action.type === 'kill') {
      if (killedAt !== null) wrong([...path, 'kill'], 'is killed already');
      killedAt = atMs;
      continue;
    }
    const where = 'host' in action ? `${action.host}.${action.interface}` : action.cable;
    const isKnown = places.includes(where) || (!('host' in action) && where === 'reference');
    if (!isKnown) wrong(path, unknownWords('interface', where, places));
    if (action.type === 'address' || action.type === 'restart') {
      if ('host' in action && action.interface === LAN)
        wrong(path, `needs an interface with a carrier: ${LAN} has the LAN’s addresses, and nobody between`);
      continue;
    }
    if (action.type === 'link') continue;
    const what = `${action.type} ${where}`;
    const isUp = action.type === 'route' ? action.there : action.up;
    const [is, isNot] = action.type === 'route' ? ['there', 'gone'] : ['up', 'down'];
    if (isDown.has(what) !== isUp) wrong(path, `${where} is ${isUp ? is : isNot} already`);
    if (isUp) isDown.delete(what);
    else isDown.add(what);
  }
}

function checkExpectation(
  { expect, arms, transfer }: ScenarioText,
  ends: readonly End[],
  paths: ReadonlySet<string>,
  wrong: Wrong,
): void {
  for (const id of Object.keys(expect.paths ?? {})) {
    if (!paths.has(id)) wrong(['expect', 'paths', id], unknownWords('path', id, [...paths]));
  }
  const labels = [...new Set(ends.map(({ label }) => label))];
  for (const [label, verdict] of Object.entries(expect.carriers ?? {})) {
    const path = ['expect', 'carriers', label];
    const own = ends.filter((end) => end.label === label);
    if (own.length === 0) wrong(path, unknownWords('label', label, labels));
    else if (typeof verdict !== 'string') {
      for (const family of FAMILIES) {
        if (verdict[family] !== undefined && !own.some(({ families }) => families.includes(family))) {
          wrong([...path, family], `${label} has no ${family}`);
        }
      }
    }
  }
  for (const [index, label] of (expect.suspects ?? []).entries()) {
    if (!labels.includes(label)) wrong(['expect', 'suspects', index], unknownWords('label', label, labels));
  }
  if (expect.transfer !== undefined && !transfer) wrong(['expect', 'transfer'], 'there is none: say it under transfer');
  if (expect.suspects?.length === 1)
    wrong(['expect', 'suspects'], 'takes two labels or more: who alone is suspected is accused');
  for (const outcome of [expect, ...(expect.either ?? [])]) {
    if (outcome.arm !== undefined && !arms.includes(outcome.arm))
      wrong(['expect', 'arm'], `${outcome.arm} is none of the arms`);
  }
}

function expectationOf(
  { either, paths = {}, carriers = {}, suspects = [], transfer, lifetimes, ...only }: ScenarioText['expect'],
  wrong: Wrong,
): Expectation {
  const { state, exit, ...rest } = only;
  const alone: Outcome[] = state !== undefined && exit !== undefined ? [{ state, exit, ...rest }] : [];
  const isAlone = Object.keys(only).length > 0;
  if (either && isAlone) wrong(['expect', 'either'], 'stands beside an outcome: put that into the list');
  if (!either && alone.length === 0) wrong(['expect'], 'needs state and exit, or either with a list of such');
  return {
    outcomes: either ?? alone,
    paths,
    carriers: Object.entries(carriers).flatMap(([label, verdict]): Expectation['carriers'][number][] =>
      typeof verdict === 'string'
        ? [{ label, family: null, verdict }]
        : FAMILIES.flatMap((family) => {
            const one = verdict[family];
            return one === undefined ? [] : [{ label, family, verdict: one }];
          }),
    ),
    suspects,
    ...(transfer && { transfer }),
    ...(lifetimes && { lifetimes: Object.entries(lifetimes).map(([label, ms]) => ({ label, ms })) }),
  };
}
