import { scopeOf } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import type { Ms } from '../base/time.js';
import { CONTROL_ARM, PLAIN_ARM } from '../mutation/names.js';
import { duration, familyName, icmpName } from '../report/words.js';
import { guessWords } from '../verdict/port-guessing.js';
import { pathId, type RecordEvent } from '../session/record.js';
import type { Filtering, Mapping, NatModel, PathState, Role } from '../verdict/words.js';
import { HEADER_MUTATIONS } from '../../probes/header-mutations.js';
import { type Count, RoundTally } from './round-tally.js';

/** A sentence for people, and when the client knew it: ms since the run's start. */
export interface Line {
  readonly atMs: Ms;
  readonly text: string;
}

type Event<Type extends RecordEvent['type']> = Extract<RecordEvent, { readonly type: Type }>;
interface End {
  readonly host: Role;
  readonly interface: string;
}
interface Path {
  readonly client: string;
  readonly server: string;
  readonly family: 'ipv4' | 'ipv6';
}

/**
 * A run told in sentences while it goes on: from the client's record, event by event, what a newcomer must know to
 * follow it. It says nothing that the record does not hold, and little of what happens beside the wanted paths.
 */
export class Narrator {
  #lines: Line[] = [];
  readonly #told = new Set<string>();
  /** `client wwan0` → `o2`. */
  readonly #labels = new Map<string, string>();
  readonly #paths = new Map<string, Path>();
  #wanted: NonNullable<Event<'run'>['wanted']> = [];
  #arms: readonly string[] = [];
  readonly #tally = new RoundTally();
  #roundsTold = 0;
  /** By path, what was last told of its rounds. */
  readonly #arrivals = new Map<string, string>();
  #early: Event<'valid'>[] = [];
  /** How far each host's record has come. */
  #knownUntil: Readonly<Record<Role, Ms>> = { client: 0, server: 0 };

  /** What there is to say once `event` has come. */
  tell(event: RecordEvent): readonly Line[] {
    this.#lines = [];
    const until = Math.max(this.#knownUntil[event.host], event.t);
    this.#knownUntil = { ...this.#knownUntil, [event.host]: until };
    this.#hear(event);
    return this.#lines;
  }

  #hear(event: RecordEvent): void {
    switch (event.type) {
      case 'run':
        if (event.host === 'client') this.#begin(event);
        return;
      case 'host':
        this.#meet(event);
        return;
      case 'interface':
        if (event.added) this.#join(event.host, event.interface, event.added.label);
        return;
      case 'not-gathered':
        this.#ofEnd(
          event,
          'use',
          `${this.#end(event)} cannot be used over ${familyName(event.family)}: ${event.detail}.`,
        );
        return;
      case 'candidate':
        if (event.candidate === 'srflx' && event.use === 'ice') {
          const text = `${this.#end(event)} reaches the reference host, which sees it as ${event.address.address}.`;
          this.#ofEnd(event, `seen ${event.family}`, text);
        }
        return;
      case 'nat':
        this.#ofEnd(
          event,
          `nat ${event.family} ${event.model.missing.join()}`,
          `The ${event.model.firewall ? 'firewall' : 'NAT'} before ${this.#end(event)} ${natSentence(event.model)}.`,
        );
        return;
      case 'egress':
        if (event.verdict === 'mismatch') {
          this.#ofEnd(event, 'egress', `What belongs to ${this.#end(event)} leaves elsewhere: ${event.reason}.`);
        }
        return;
      case 'icmp': {
        // Checks to the far end's private addresses are answered so by any router: that tells nothing.
        if (scopeOf(event.to.address) !== 'global') return;
        const { type, code, from } = event.icmp;
        // Packets that were to die on the way did.
        if (type === TIME_EXCEEDED[event.family]) return;
        const text = `${from} answers ${this.#end(event)} with ${icmpName(event.family, type, code)}.`;
        this.#ofEnd(event, `icmp ${from} ${type}/${code}`, text);
        return;
      }
      case 'valid': {
        // The far end's interfaces come with its record: until then the path has no name for people.
        if (!this.#paths.has(event.path)) {
          this.#early.push(event);
          return;
        }
        const how = event.arm === PLAIN_ARM ? '' : ` with ${event.arm}`;
        this.#once(`valid ${event.path}`, `${this.#path(event.path)} is up${how}: a check came back.`);
        return;
      }
      case 'way':
        this.#tryAgain(event);
        return;
      case 'sent':
      case 'received':
        this.#tally.add(event);
        if (event.type === 'sent' && event.purpose === 'arm' && event.host === 'client') this.#round(event.round ?? 0);
        return;
      case 'path.state':
        this.#change(event);
        return;
      case 'lost':
        this.#fallSilent(event);
        return;
      case 'transfer':
        if (event.host === 'client')
          this.#say(`Data begin to flow (${event.direction}), for ${String(event.seconds)} s.`);
        return;
      case 'joined':
        if (event.host === 'client' && this.#paths.has(event.path))
          this.#say(`${this.#path(event.path)} joins the connection, ${duration(event.afterMs)} after it came up.`);
        return;
      case 'left':
        if (event.host === 'client' && this.#paths.has(event.path))
          this.#say(`${this.#path(event.path)} is left; the data go on over the others.`);
        return;
      case 'transferred':
        if (event.host === 'client')
          this.#say(event.error === null ? 'All data have arrived.' : `The data did not all arrive: ${event.error}.`);
        return;
      case 'control-lost':
        this.#say(`The control channel to the far end is gone: ${event.reason}.`);
        return;
      case 'interrupted':
        this.#say('Interrupted: the run ends with what is known.');
        return;
      case 'end':
        this.#tellRounds();
        return;
      default:
    }
  }

  /** Both ends tell of it, each with its own TTL. */
  #tryAgain({ host, path, attempt, ttl, guess }: Event<'way'>): void {
    if (guess) {
      if (this.#paths.has(path)) {
        this.#once(`guess ${path}`, `For ${this.#path(path)} ports are guessed: ${guessWords(guess)}.`);
      }
      return;
    }
    if (this.#paths.has(path)) {
      const again = attempt > 1 ? ` (${attempt})` : '';
      this.#once(`way ${path} ${attempt}`, `${this.#path(path)} is tried again on fresh sockets${again}.`);
    }
    if (ttl === null) return;
    this.#once(
      `opener ${host} ${ttl}`,
      `The ${host} opens its NATs first, with packets that die behind them (TTL ${ttl}).`,
    );
  }

  #begin({ arms, wanted, firstOnly }: Event<'run'>): void {
    this.#wanted = wanted ?? [];
    this.#arms = arms;
    const others = arms.filter((arm) => arm !== CONTROL_ARM).join(', ');
    this.#say('Client and server are connected, and try every pair of their interfaces as ICE does.');
    if (firstOnly) this.#say('They stop at the first pair that works, as plain ICE would.');
    else this.#say(`Beside it they send rounds of ${others}, with ${CONTROL_ARM} bytes as the control.`);
  }

  #join(host: Role, name: string, label: string): void {
    this.#say(`The ${host} has ${label === name ? name : `${label} (${name})`} from now on: its pairs are tried, too.`);
    this.#meet({ host, interfaces: [{ name, label }] });
  }

  #meet({
    host,
    interfaces,
  }: {
    readonly host: Role;
    readonly interfaces: readonly Pick<HostInterface, 'name' | 'label'>[];
  }): void {
    for (const { name, label } of interfaces) this.#labels.set(`${host} ${name}`, label);
    const names = (role: Role): string[] =>
      [...this.#labels.keys()].filter((key) => key.startsWith(`${role} `)).map((key) => key.slice(role.length + 1));
    for (const client of names('client')) {
      for (const server of names('server')) {
        for (const family of ['ipv4', 'ipv6'] as const) {
          this.#paths.set(pathId(client, server, family), { client, server, family });
        }
      }
    }
    if (this.#paths.size > 0) for (const event of this.#early.splice(0)) this.#hear(event);
  }

  /** A block of rounds is told once the next has begun and the far end's record of it is here. */
  #round(round: number): void {
    const { roundsPerBlock, leastBlocks } = HEADER_MUTATIONS;
    // A run that goes on for long tells of every other block.
    const step = this.#roundsTold < leastBlocks * roundsPerBlock ? roundsPerBlock : 2 * roundsPerBlock;
    if (round >= this.#roundsTold + step + 2) this.#tellRounds(round - (round % roundsPerBlock));
  }

  #tellRounds(before = Number.POSITIVE_INFINITY): void {
    const told = this.#roundsTold;
    for (const [id, path] of this.#paths) {
      if (!this.#isWantedPath(path)) continue;
      const up = this.#tally.arms(id, 'up', before, this.#knownUntil);
      const down = this.#tally.arms(id, 'down', before, this.#knownUntil);
      const rounds = Math.max(0, ...[...up.values(), ...down.values()].map(({ n }) => n));
      if (rounds <= told || up.size === 0 || down.size === 0) continue;
      this.#roundsTold = Math.max(this.#roundsTold, rounds);
      const said = this.#fate(up, down);
      const what = this.#arrivals.get(id) === said ? 'as before' : said;
      this.#arrivals.set(id, said);
      const name = `${path.client} ↔ ${path.server}${path.family === 'ipv6' ? ' IPv6' : ''}`;
      this.#say(`${rounds} rounds over ${name}: ${what}${this.#referenceSentence(path, before)}.`);
    }
  }

  /** What arrived of which arms; told once where both directions let the same arms through. */
  #fate(up: ReadonlyMap<string, Count>, down: ReadonlyMap<string, Count>): string {
    const passing = (arms: ReadonlyMap<string, Count>): string =>
      this.#arms.filter((arm) => (arms.get(arm)?.k ?? 0) > 0).join(', ');
    if (passing(up) === passing(down)) return this.#arrival('up and down', up, down);
    return `${this.#arrival('up', up)}; ${this.#arrival('down', down)}`;
  }

  /** Packets of every kind are counted together, which the report does not do: so it is said. */
  #arrival(ways: string, ...directions: readonly ReadonlyMap<string, Count>[]): string {
    const counts = directions.flatMap((arms) => [...arms]);
    const arrives = (arm: string): boolean => counts.some(([name, { k }]) => name === arm && k > 0);
    const tried = this.#arms.filter((arm) => counts.some(([name]) => name === arm));
    const arrived = tried.filter(arrives);
    const never = tried.filter((arm) => !arrives(arm));
    if (arrived.length > 0 && never.length > 0) {
      return `${ways} ${arrived.join(', ')} arrived, ${never.join(', ')} never`;
    }
    const sum = (of: keyof Count): number => counts.reduce((total, [, count]) => total + count[of], 0);
    const kinds = tried.length === 1 ? '' : ` of ${tried.length} kinds`;
    return `${ways} ${sum('k')} of ${sum('n')} packets${kinds} arrived`;
  }

  #referenceSentence({ client, server }: Path, before: number): string {
    const near = this.#tally.reference('client', client, before, this.#knownUntil);
    const far = this.#tally.reference('server', server, before, this.#knownUntil);
    const asked = near.n + far.n;
    return asked === 0 ? '' : `; the reference answered ${near.k + far.k} of ${asked} controls`;
  }

  #fallSilent({ path: id, reason }: Event<'lost'>): void {
    const path = this.#paths.get(id);
    if (path && this.#isWantedPath(path)) this.#say(`${this.#path(id)} fell silent: ${reason}.`);
  }

  #change({ path: id, to, cause }: Event<'path.state'>): void {
    const path = this.#paths.get(id);
    if (!path || !this.#isWantedPath(path)) return;
    this.#tellRounds();
    this.#say(
      `${this.#path(id)}: ${to}${cause === null ? '' : `, ${cause}`}. ${STATES_BY_CAUSE[`${to} ${cause}`] ?? STATES[to]}.`,
    );
  }

  /** Once, and only of ends that the wanted paths have. */
  #ofEnd(end: End, what: string, text: string): void {
    if (this.#wanted.length > 0 && !this.#wanted.some((path) => this.#is(end, path[end.host]))) return;
    this.#once(`${end.host} ${end.interface} ${what}`, text);
  }

  #once(key: string, text: string): void {
    if (this.#told.has(key)) return;
    this.#told.add(key);
    this.#say(text);
  }

  #say(text: string): void {
    this.#lines.push({ atMs: this.#knownUntil.client, text: text.replace(/\.{2,}$/, '.') });
  }

  #isWantedPath({ client, server }: Path): boolean {
    return (
      this.#wanted.length === 0 ||
      this.#wanted.some(
        (path) =>
          this.#is({ host: 'client', interface: client }, path.client) &&
          this.#is({ host: 'server', interface: server }, path.server),
      )
    );
  }

  /** People name an interface by its name or by its label. */
  #is({ host, interface: name }: End, given: string): boolean {
    return name === given || this.#labels.get(`${host} ${name}`) === given;
  }

  #end({ host, interface: name }: End): string {
    return `${host} ${this.#named(host, name)}`;
  }

  #path(id: string): string {
    const path = this.#paths.get(id);
    if (!path) return id;
    const { client, server, family } = path;
    return `${this.#named('client', client)} ↔ ${this.#named('server', server)} ${familyName(family)}`;
  }

  #named(host: Role, name: string): string {
    const label = this.#labels.get(`${host} ${name}`) ?? name;
    return label === name ? name : `${name} (${label})`;
  }
}

const MAPS: Readonly<Record<Mapping, string>> = {
  none: 'changes no address',
  eim: 'keeps one outside port',
  adm: 'takes another outside port for each address',
  apdm: 'takes another outside port for each destination',
  unknown: 'could not be measured',
};
/** RFC 792; RFC 4443 §3.3. */
const TIME_EXCEEDED = { ipv4: 11, ipv6: 3 } as const;

const LETS_IN: Readonly<Record<Filtering, string | null>> = {
  eif: 'lets everybody in',
  adf: 'lets in only hosts that were sent to',
  apdf: 'lets in only who was sent to',
  unknown: null,
};

function natSentence({ mapping, filtering, spoil, firewall }: NatModel): string {
  if (firewall) return `${firewall === 'stateful' ? 'is stateful and ' : ''}${LETS_IN[filtering] ?? ''}`;
  const spoiled = spoil !== null && spoil.k > 0 ? `is spoiled by an early packet (${spoil.k} of ${spoil.n})` : null;
  return [MAPS[mapping], LETS_IN[filtering], spoiled].filter((text) => text !== null).join(', ');
}

const STATES: Readonly<Record<PathState, string>> = {
  'not-gathered': 'An interface of it has nothing to send from',
  unprobed: 'It was never tried',
  misrouted: 'The packets took another interface, so that nothing is proven about this one',
  established: 'It works in both directions',
  unresponsive: 'What is sent arrives, but is not answered',
  inconclusive: 'What was seen proves nothing, and the report says what is missing',
  rejected: 'Something on the way says no',
  'one-way': 'Packets pass in one direction only',
  blocked: 'Packets leave by the right interface, the NATs would let them through, and yet they never arrive',
  failed: 'It does not come up, and nobody blocks it',
  lost: 'It worked, and then fell silent',
  superseded: 'It is no longer tried: another path was chosen',
};

/** Where the cause makes it something else. */
const STATES_BY_CAUSE: Readonly<Record<string, string>> = {
  'established stun-filtered': 'It works, but not with plain STUN: something on the way filters that',
  'blocked udp-blocked': 'No UDP passes at all, to nobody, while TCP on the same interface works',
  'blocked stun-filtered': 'Other packets pass, and STUN of every kind does not',
};
