import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { sameAddress, transportAddress, type TransportAddress } from '../../src/base/address.js';
import { drain } from '../../src/base/machine.js';
import { SeededRandom } from '../../src/base/random.js';
import type { Ms } from '../../src/base/time.js';
import { parseProfile, type NamedProfile } from '../../src/profile/file.js';
import { standInAnswer } from '../../src/profile/messages.js';
import { ProfilePlayer } from '../../src/profile/player.js';
import type { CallRole, PlayEvent, PlayInput, ProfileBase, ProfileCandidate } from '../../src/profile/types.js';
import { ROOT } from '../support/sources.js';

const FOLDER = join(ROOT, 'profiles');

export const FILES = readdirSync(FOLDER)
  .map((file) => basename(file, '.yaml'))
  .sort();

export function textOf(name: string): string | null {
  return FILES.includes(name) ? readFileSync(join(FOLDER, `${name}.yaml`), 'utf8') : null;
}

export function profile(name: string): NamedProfile {
  return parseProfile(textOf(name) ?? '', `profiles/${name}.yaml`, textOf);
}

type Kind = ProfileBase['kind'];

export function base(name: string, kind: Kind, address: string): ProfileBase {
  return { id: name, interface: name, kind, address: transportAddress(address, 50_000), prefixLength: 24 };
}

export interface Told extends PlayEvent {
  readonly t: Ms;
}
export interface Sent {
  readonly t: Ms;
  readonly base: string;
  readonly to: TransportAddress;
  readonly bytes: Uint8Array;
}

export const RELAYS = [10, 20, 30, 40, 50, 60, 70, 80].map((last) => transportAddress(`192.0.2.${String(last)}`, 3478));
const KEY = new Uint8Array(32).fill(7);

interface End {
  readonly player: ProfilePlayer;
  bases: readonly ProfileBase[];
  readonly told: Told[];
  readonly sent: Sent[];
}

export interface PairOptions {
  readonly caller: readonly ProfileBase[];
  readonly callee: readonly ProfileBase[];
  /** One way between the two. */
  readonly delayMs?: Ms;
  /** Between them nothing arrives. */
  readonly silent?: boolean;
  /** The round trip of each relay; those without one do not answer. */
  readonly relays?: readonly Ms[];
  readonly key?: Uint8Array;
}

/** A caller and a callee of one profile on a virtual clock. */
export class Pair {
  readonly ends: Readonly<Record<CallRole, End>>;
  now: Ms = 0;
  readonly #options: Required<PairOptions>;
  readonly #queue: { readonly at: Ms; readonly act: () => void }[] = [];

  constructor({ profile: played }: NamedProfile, options: PairOptions) {
    this.#options = { delayMs: 20, silent: false, relays: [60, 40, 80, 100, 120], key: KEY, ...options };
    const end = (role: CallRole, key: Uint8Array): End => ({
      player: new ProfilePlayer({ profile: played, role, key, random: new SeededRandom(role), servers: RELAYS }),
      bases: options[role],
      told: [],
      sent: [],
    });
    this.ends = { caller: end('caller', KEY), callee: end('callee', this.#options.key) };
    for (const role of ['caller', 'callee'] as const) {
      this.feed(role, { type: 'bases', bases: options[role] });
      this.feed(role, { type: 'begin' });
    }
  }

  feed(role: CallRole, input: PlayInput): void {
    const end = this.ends[role];
    end.player.handle(input, this.now);
    for (const output of drain(end.player)) {
      if (output.type === 'event') end.told.push({ ...output.event, t: this.now });
      else if (output.type === 'candidates') this.#signal(role, output.candidates);
      else this.#send(role, output);
    }
  }

  setBases(role: CallRole, bases: readonly ProfileBase[]): void {
    this.ends[role].bases = bases;
    this.feed(role, { type: 'bases', bases });
  }

  runTo(until: Ms): void {
    for (;;) {
      const due = Math.min(...this.#roles().map((role) => this.ends[role].player.deadline()));
      const [next] = this.#queue;
      const at = Math.min(due, next?.at ?? Infinity);
      if (at > until) break;
      this.now = Math.max(this.now, at);
      if (next && next.at <= due) {
        this.#queue.shift();
        next.act();
      } else
        for (const role of this.#roles())
          if (this.ends[role].player.deadline() <= this.now) this.feed(role, { type: 'timeout' });
    }
    this.now = until;
  }

  /** What an end was told of, by word. */
  told(role: CallRole, what: PlayEvent['what']): Told[] {
    return this.ends[role].told.filter((event) => event.what === what);
  }

  #roles(): readonly CallRole[] {
    return ['caller', 'callee'];
  }

  #after(ms: Ms, act: () => void): void {
    const at = this.now + ms;
    let index = this.#queue.length;
    while (index > 0 && (this.#queue[index - 1]?.at ?? 0) > at) index -= 1;
    this.#queue.splice(index, 0, { at, act });
  }

  #signal(role: CallRole, candidates: readonly ProfileCandidate[]): void {
    this.#after(this.#options.delayMs, () => {
      this.feed(other(role), { type: 'far', candidates });
    });
  }

  #send(role: CallRole, { base: id, to, bytes }: { base: string; to: TransportAddress; bytes: Uint8Array }): void {
    this.ends[role].sent.push({ t: this.now, base: id, to, bytes });
    const from = this.ends[role].bases.find((one) => one.id === id)?.address;
    if (!from) return;
    const relay = RELAYS.findIndex((one) => sameAddress(one, to));
    if (relay >= 0) {
      const answer = standInAnswer(bytes, from);
      const roundTrip = this.#options.relays[relay];
      if (!answer || roundTrip === undefined) return;
      this.#after(roundTrip, () => {
        this.feed(role, { type: 'datagram', base: id, from: to, bytes: answer });
      });
      return;
    }
    if (this.#options.silent) return;
    this.#after(this.#options.delayMs, () => {
      const far = this.ends[other(role)].bases.find(({ address }) => sameAddress(address, to));
      if (far) this.feed(other(role), { type: 'datagram', base: far.id, from, bytes });
    });
  }
}

function other(role: CallRole): CallRole {
  return role === 'caller' ? 'callee' : 'caller';
}

export function gapsOf(events: readonly { readonly t: Ms }[]): Ms[] {
  return events.slice(1).map(({ t }, index) => t - (events[index]?.t ?? 0));
}
