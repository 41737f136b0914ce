import { isIP } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { inPrefix, scopeOf } from '../base/address.js';
import type { EgressCheck, EgressResult } from '../session/io.js';
import { execute } from './execute.js';
import type { Execute } from './execute.js';

const routeSchema = z.object({
  type: z.string().optional(),
  dst: z.string(),
  dev: z.string().optional(),
  gateway: z.string().optional(),
  pref: z.string().optional(),
  via: z.object({ host: z.string() }).optional(),
  flags: z.array(z.string()).optional(),
  nexthops: z.array(z.object({ dev: z.string().optional(), flags: z.array(z.string()).optional() })).optional(),
});
export type Route = z.infer<typeof routeSchema>;

const neighbourSchema = z.object({ dst: z.string(), dev: z.string(), state: z.array(z.string()).optional() });
export type Neighbour = z.infer<typeof neighbourSchema>;

const linkSchema = z.object({ ifname: z.string(), flags: z.array(z.string()) });
export type Link = z.infer<typeof linkSchema>;

/** What one reading of `ip -j` says of this host. */
export interface RoutingTables {
  readonly links: readonly Link[];
  readonly routes: readonly Route[];
  readonly neighbours: readonly Neighbour[];
}

/** The neighbour question is asked once more after this: a gateway that is just being asked for answers by then. */
const RESOLUTION_MS = 300;

/**
 * Asks the kernel's tables where packets of each check would leave. Pinned sockets are asked for with `oif`, others
 * without. Never throws: what cannot be told is `unknown`, with the reason.
 */
export async function checkEgress(
  checks: readonly EgressCheck[],
  pin: boolean,
  run: Execute = execute,
): Promise<EgressResult[]> {
  if (checks.length === 0) return [];
  let tables = await readTables(run);
  if (!tables)
    return checks.map((check) =>
      unknown(check, 'the routing tables cannot be read: there is no usable `ip` (iproute2) here'),
    );
  const { links } = tables;
  const queries = checks.map((check) => routeQueries(check, pin, links));
  const answers = await batch(run, queries.flat());
  if (!answers) return checks.map((check) => unknown(check, '`ip route get` gave no answer'));
  let position = 0;
  const routes = checks.map((check, index) => {
    const own = answers
      .slice(position, (position += queries[index]?.length ?? 0))
      .map((text) => parseRoutes(text)[0] ?? null);
    return own.find((route) => route?.dev === check.interface || route?.type === 'local') ?? own.at(-1) ?? null;
  });
  if (
    checks.some(
      (check, index) => neighbourState(check, routes[index] ?? null, tables?.neighbours ?? []) === 'incomplete',
    )
  ) {
    await delay(RESOLUTION_MS);
    tables = (await readTables(run)) ?? tables;
  }
  const settled = tables;
  return checks.map((check, index) =>
    queries[index]?.length === 0
      ? unknown(check, 'these are no addresses')
      : judgeEgress(check, pin, routes[index] ?? null, settled),
  );
}

async function readTables(run: Execute): Promise<RoutingTables | null> {
  const output = await batch(run, ['link show', 'route show table all', 'neigh show']);
  if (!output) return null;
  const [links, routes, neighbours] = output;
  const tables = {
    links: parseList(linkSchema, links),
    routes: parseRoutes(routes),
    neighbours: parseList(neighbourSchema, neighbours),
  };
  return tables.links.length === 0 ? null : tables;
}

/** The questions for one check: an answer that names the interface holds, else the last. */
function routeQueries({ interface: device, from, to }: EgressCheck, pin: boolean, links: readonly Link[]): string[] {
  // These become lines of a batch: nothing but addresses and names of real devices gets in.
  if (isIP(from) === 0 || isIP(to) !== isIP(from)) return [];
  const plain = `route get ${to} from ${from}`;
  if (!pin || scopeOf(to) === 'loopback' || !links.some(({ ifname }) => ifname === device)) return [plain];
  // For IPv6 the kernel takes `oif` for binding only where no source is given, as it does for a pinned socket; rules
  // that look at the source need the source.
  return isIP(to) === 4 ? [`${plain} oif ${device}`] : [`${plain} oif ${device}`, `route get ${to} oif ${device}`];
}

/**
 * Runs several `ip` commands as one process. One JSON text per command; `undefined` for one that failed; `null` when
 * there is no `ip`, or one that knows neither -json nor -batch.
 */
async function batch(run: Execute, commands: readonly string[]): Promise<(string | undefined)[] | null> {
  if (commands.length === 0) return [];
  const result = await run('ip', ['-json', '-force', '-batch', '-'], `${commands.join('\n')}\n`);
  return result && assignBatch(commands.length, result.stdout, result.stderr);
}

/** `ip` writes one line for each command that succeeded and names the lines of those that failed on stderr. */
export function assignBatch(count: number, stdout: string, stderr: string): (string | undefined)[] | null {
  const failed = new Set([...stderr.matchAll(/^Command failed -:(\d+)$/gm)].map((match) => Number(match[1])));
  const lines = stdout.split('\n').filter((line) => line.trim() !== '');
  if (lines.length !== count - failed.size) return null;
  let next = 0;
  return Array.from({ length: count }, (_, index) => (failed.has(index + 1) ? undefined : lines[next++]));
}

function parseRoutes(text: string | undefined): Route[] {
  return parseList(routeSchema, text);
}

/** Entries that do not have the shape (other address families, future kinds) are left out. */
function parseList<T>(schema: z.ZodType<T>, text: string | undefined): T[] {
  let list: unknown;
  try {
    list = JSON.parse(text ?? '[]');
  } catch {
    return [];
  }
  if (!Array.isArray(list)) return [];
  return list.flatMap((entry) => {
    const parsed = schema.safeParse(entry);
    return parsed.success ? [parsed.data] : [];
  });
}

/** What the kernel's answer (`null`: no route) and its tables say of one check. Pure. */
export function judgeEgress(
  check: EgressCheck,
  pin: boolean,
  answer: Route | null,
  tables: RoutingTables,
): EgressResult {
  const { interface: name, from, to } = check;
  const what = `packets from ${from} to ${to}`;
  if (answer?.type === 'local') {
    return {
      ...check,
      verdict: 'verified',
      routed: true,
      device: answer.dev ?? 'lo',
      gateway: null,
      neighbour: null,
      reason: `${to} is an address of this host: ${what} never leave it`,
    };
  }
  const gateway = answer?.gateway ?? answer?.via?.host ?? null;
  const device = answer?.dev ?? null;
  const known = {
    ...check,
    device,
    gateway,
    neighbour: neighbourState(check, answer, tables.neighbours),
    routed: isRouted(check, pin, answer, tables),
  };
  if (device !== null && device !== name) {
    return {
      ...known,
      verdict: 'mismatch',
      reason: `${what} leave by ${device}${gateway === null ? '' : ` via ${gateway}`}, not by ${name}`,
    };
  }
  if (!known.routed) {
    return {
      ...known,
      verdict: 'unknown',
      reason: `${name} has no route to ${to}: no gateway there, and the address is outside of the interface's own network`,
    };
  }
  if (device === null || isBarrier(answer)) {
    return {
      ...known,
      verdict: 'unknown',
      reason: `the kernel has no route for ${what}${answer?.type === undefined ? '' : ` (${answer.type})`}`,
    };
  }
  if (known.neighbour === 'failed' || known.neighbour === 'incomplete') {
    const silent = gateway === null ? to : `the gateway ${gateway}`;
    return {
      ...known,
      verdict: 'unknown',
      reason: `${silent} does not answer on ${name} (neighbour ${known.neighbour}): ${what} do not leave this host`,
    };
  }
  return {
    ...known,
    verdict: 'verified',
    reason: `${what} leave by ${name}${gateway === null ? '' : ` via ${gateway}`}`,
  };
}

function isBarrier(route: Route | null): boolean {
  return ['unreachable', 'blackhole', 'prohibit', 'throw'].includes(route?.type ?? '');
}

/**
 * Whether the interface really leads there. With `oif` and no route the kernel pretends that every IPv4 address is
 * on-link; that is the truth only where there is no neighbour to ask for (point-to-point, no ARP).
 */
function isRouted(
  { interface: name, to }: EgressCheck,
  pin: boolean,
  answer: Route | null,
  tables: RoutingTables,
): boolean {
  const covering = tables.routes.filter((route) => leadsBy(route, name) && covers(route, to));
  if (answer?.dev !== name) return covering.length > 0 && (!pin || answer !== null);
  if (isBarrier(answer)) return false;
  if (answer.gateway !== undefined || answer.via !== undefined) return true;
  const link = tables.links.find(({ ifname }) => ifname === name);
  const pointToPoint = link?.flags.some((flag) => flag === 'POINTOPOINT' || flag === 'NOARP') ?? false;
  return pointToPoint || covering.some((route) => route.gateway === undefined && route.via === undefined);
}

function leadsBy(route: Route, device: string): boolean {
  if (route.type !== undefined && route.type !== 'unicast') return false;
  const hops = route.nexthops ?? [route];
  return hops.some(
    ({ dev, flags }) => dev === device && !(flags ?? []).some((flag) => flag === 'dead' || flag === 'linkdown'),
  );
}

function covers({ dst, pref }: Route, to: string): boolean {
  // A default route does not say its family, but only IPv6 routes have a preference (RFC 4191).
  if (dst === 'default') return (pref === undefined ? 4 : 6) === isIP(to);
  const [prefix = '', length] = dst.split('/');
  return isIP(prefix) !== 0 && inPrefix(to, prefix, Number(length ?? (isIP(prefix) === 4 ? 32 : 128)));
}

function neighbourState(
  { interface: name, to }: EgressCheck,
  answer: Route | null,
  neighbours: readonly Neighbour[],
): string | null {
  if (!answer || answer.type === 'local') return null;
  const wanted = answer.gateway ?? answer.via?.host ?? to;
  const entry = neighbours.find(({ dst, dev }) => dev === (answer.dev ?? name) && dst === wanted);
  return entry?.state?.[0]?.toLowerCase() ?? null;
}

function unknown(check: EgressCheck, reason: string): EgressResult {
  return { ...check, verdict: 'unknown', routed: null, device: null, gateway: null, neighbour: null, reason };
}
