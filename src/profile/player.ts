import { inPrefix, sameAddress, type TransportAddress } from '../base/address.js';
import type { Machine } from '../base/machine.js';
import type { Random } from '../base/random.js';
import { NEVER, type Ms } from '../base/time.js';
import { undo } from '../mutation/header.js';
import { parseStrict } from '../stun/message.js';
import { Context } from './context.js';
import { isCellular, Probing, type Target } from './probing.js';
import { type Leg, ProfileRelays } from './relays.js';
import type { Profile } from './schema.js';
import type { CallRole, PlayInput, PlayOutput, ProfileBase, ProfileCandidate } from './types.js';

export interface PlayerOptions {
  readonly profile: Profile;
  readonly role: CallRole;
  /** Both ends sign with it: 32 bytes. */
  readonly key: Uint8Array;
  readonly random: Random;
  /** Reference hosts, in place of relays and STUN servers. */
  readonly servers: readonly TransportAddress[];
}

type Active =
  | { readonly on: 'direct'; readonly target: Target }
  | { readonly on: 'relay'; readonly leg: Leg }
  | { readonly on: 'nothing' };

const NOTHING: Active = { on: 'nothing' };

/**
 * Plays one end of a call by a profile: what is sent to whom and when, in which message; without sockets or clocks. It
 * imitates timing, order, counts, families and retries, not media, encryption or servers of others.
 */
export class ProfilePlayer implements Machine<PlayInput, PlayOutput> {
  readonly #context: Context;
  readonly #relays: ProfileRelays;
  readonly #probing: Probing;
  #bases: readonly ProfileBase[] = [];
  #far: readonly ProfileCandidate[] = [];
  readonly #mapped = new Map<string, TransportAddress>();
  /** Sockets that some server has told how it sees them. */
  readonly #asked = new Set<string>();
  #active: Active = NOTHING;
  /** Of the path in use: timers of another one are over. */
  #turn = 0;
  #beganAt: Ms = NEVER;
  #prepared = false;
  /** What was in use was lost once. */
  #fallen = false;
  /** An interface of this end went or came since the call began. */
  #changed = false;
  /** A better interface of this end came after that. */
  #returned = false;
  /** No relay is used before. */
  #relayFrom: Ms = 0;
  #ended = false;

  constructor({ profile, role, key, random, servers }: PlayerOptions) {
    const token = random.bytes(profile.relay?.token ?? 0);
    this.#context = new Context({ profile, role, keys: { key, token }, random });
    this.#relays = new ProfileRelays(this.#context, servers, {
      answered: (leg) => {
        this.#relayAnswered(leg);
      },
      mapped: (base, address) => {
        this.#asked.add(base.id);
        if (sameAddress(base.address, address)) return;
        this.#mapped.set(base.id, address);
        this.#announce();
      },
    });
    this.#probing = new Probing(this.#context, (target) => {
      if (this.#active.on !== 'direct') this.#use({ on: 'direct', target });
    });
  }

  handle(input: PlayInput, now: Ms): void {
    this.#context.now = now;
    if (this.#ended) return;
    switch (input.type) {
      case 'prepare':
        this.#prepared = true;
        this.#relays.gather(this.#inUse());
        this.#announce();
        break;
      case 'begin':
        this.#begin();
        break;
      case 'bases':
        this.#setBases(input.bases);
        break;
      case 'far':
        this.#setFar(input.candidates);
        break;
      case 'datagram':
        this.#datagram(input);
        break;
      case 'end':
        this.#end();
        break;
      case 'timeout':
        break;
    }
    this.#context.runDue();
  }

  poll(): PlayOutput | undefined {
    return this.#context.outputs.shift();
  }

  deadline(): Ms {
    return this.#context.deadline();
  }

  /** Whether every address was found, given up, or is no longer probed. */
  get decided(): boolean {
    return this.#hasBegun && this.#probing.targets.every(({ state }) => state !== 'probing');
  }

  /** Whether every socket that a far end may send to knows its reflexive address. */
  get prepared(): boolean {
    return this.#inUse().every(({ id }) => this.#asked.has(id));
  }

  get #hasBegun(): boolean {
    return this.#beganAt < NEVER;
  }

  /** The sockets that the profile uses: of all interfaces, or of the best one that is there. */
  #inUse(bases: readonly ProfileBase[] = this.#bases): readonly ProfileBase[] {
    const { interfaces } = this.#context.profile;
    if (interfaces === 'all') return bases;
    const first = interfaces.flatMap((kind) => bases.filter((base) => base.kind === kind))[0];
    return bases.filter((base) => base.interface === first?.interface);
  }

  #begin(): void {
    if (this.#hasBegun) return;
    this.#beganAt = this.#context.now;
    this.#context.tell('began', null);
    this.#enter(this.#inUse());
    this.#probe();
    for (const train of this.#context.profile.trains) {
      if (train.by !== 'both' && train.by !== this.#context.role) continue;
      this.#context.at(this.#beganAt + train.after, () => {
        const used = this.#inUse();
        const idle = this.#bases.filter((one) => !used.includes(one));
        const base = train.on === 'active' ? used[0] : (idle.find(({ kind }) => isCellular(kind)) ?? idle[0]);
        if (base) this.#relays.train(base, train);
      });
    }
  }

  /** These sockets take part from now on. */
  #enter(bases: readonly ProfileBase[]): void {
    this.#relays.ask(bases);
    if (this.#context.profile.gather) this.#relays.gather(bases);
    this.#announce();
  }

  #announce(): void {
    if (!this.#hasBegun && !this.#prepared) return;
    const candidates = this.#inUse().flatMap((base): ProfileCandidate[] => {
      const { interface: name, kind, address } = base;
      const mapped = this.#mapped.get(base.id);
      const own = { interface: name, kind, address, reflexive: false };
      return mapped ? [own, { ...own, address: mapped, reflexive: true }] : [own];
    });
    this.#context.outputs.push({ type: 'candidates', candidates });
  }

  /** Every address that is not known yet, in the order of families. */
  #probe(): void {
    const { profile, now } = this.#context;
    const { direct, families, up } = profile;
    const mayProbe = !this.#fallen || up.probes === 'both' || (up.probes === 'changed' && this.#returned);
    const found = this.#probing.targets.some(({ state }) => state === 'found');
    if (!this.#hasBegun || !mayProbe || (found && direct['stop-on-first'])) return;
    const from = this.#fallen ? now : Math.max(now, this.#beganAt + direct.after);
    for (const family of families) {
      const far = this.#far.filter(({ address }) => address.family === family);
      for (const base of this.#inUse().filter(({ address }) => address.family === family))
        for (const candidate of far) if (this.#reaches(base, candidate)) this.#probing.begin(base, candidate, from);
    }
  }

  #reaches(base: ProfileBase, { address, reflexive }: ProfileCandidate): boolean {
    if (this.#context.profile.direct.where === 'anywhere') return true;
    return !reflexive && inPrefix(address.address, base.address.address, base.prefixLength);
  }

  #setBases(bases: readonly ProfileBase[]): void {
    const before = this.#bases;
    this.#bases = bases;
    if (!this.#hasBegun) return;
    const gone = before.filter((base) => !bases.some(({ id }) => id === base.id));
    const come = bases.filter((base) => !before.some(({ id }) => id === base.id));
    for (const base of gone) {
      this.#context.tell('interface-down', base);
      this.#mapped.delete(base.id);
      this.#relays.forget(base.id);
    }
    for (const base of come) this.#context.tell('interface-up', base);
    if (gone.length + come.length === 0) return;
    const isGone = (base: ProfileBase): boolean => gone.some(({ id }) => id === base.id);
    this.#probing.forget(({ base }) => isGone(base));
    this.#changed = true;
    const used = this.#inUse(before);
    const entering = this.#inUse().filter((base) => !used.some(({ id }) => id === base.id));
    const active = this.#activeBase();
    if (active && isGone(active)) this.#lost(entering);
    else if (entering.length > 0) this.#better(entering);
    else this.#announce();
  }

  #activeBase(): ProfileBase | null {
    const active = this.#active;
    return active.on === 'direct' ? active.target.base : active.on === 'relay' ? active.leg.base : null;
  }

  #setFar(candidates: readonly ProfileCandidate[]): void {
    this.#far = candidates;
    const isThere = (address: TransportAddress): boolean => {
      // A peer-reflexive address is there as long as any of its interface is.
      return candidates.some((one) => sameAddress(one.address, address) || one.address.address === address.address);
    };
    const active = this.#active;
    const lost =
      active.on === 'direct' &&
      !isThere(active.target.far.address) &&
      !candidates.some((one) => one.interface === active.target.far.interface);
    this.#probing.forget((target) => !candidates.some((one) => one.interface === target.far.interface));
    if (lost) this.#lost([]);
    this.#probe();
  }

  /** What was in use is no more. */
  #lost(entering: readonly ProfileBase[]): void {
    const { down } = this.#context.profile;
    this.#use(NOTHING);
    this.#fallen = true;
    if (down.then === 'nothing') return;
    if (down.then === 'gather') {
      const other = this.#probing.targets.find(({ state }) => state === 'found');
      if (other) this.#use({ on: 'direct', target: other });
      else this.#probing.forgetAll();
      this.#enter(entering);
      this.#probe();
      return;
    }
    this.#probing.stop();
    const ready = this.#relays.best(this.#inUse());
    if (ready) {
      this.#announce();
      this.#use({ on: 'relay', leg: ready });
      return;
    }
    this.#relayFrom = this.#context.now + down.rebuild;
    this.#enter(entering);
  }

  /** An interface that the profile prefers to those before is there. */
  #better(entering: readonly ProfileBase[]): void {
    const { up, gather } = this.#context.profile;
    this.#returned = true;
    if (up.relay) this.#relays.ask(entering);
    if (gather) this.#relays.gather(entering);
    this.#announce();
    if (up.probes !== 'nobody') this.#probe();
  }

  #relayAnswered(leg: Leg): void {
    const isUsed = (base: ProfileBase): boolean => this.#inUse().some(({ id }) => id === base.id);
    const wanted = (): boolean =>
      isUsed(leg.base) &&
      (this.#active.on === 'nothing' || (this.#active.on === 'relay' && !isUsed(this.#active.leg.base)));
    this.#context.at(Math.max(this.#context.now, this.#relayFrom), () => {
      if (wanted()) this.#use({ on: 'relay', leg });
    });
  }

  #use(active: Active): void {
    if (active.on === 'nothing' && this.#active.on === 'nothing') return;
    this.#active = active;
    this.#turn += 1;
    const base = this.#activeBase();
    const far = active.on === 'direct' ? active.target.far.interface : null;
    this.#context.tell('active', base, far, { on: active.on });
    if (active.on === 'direct') this.#keepAlive(active.target);
  }

  /** The path that is used, and the relay that is not. */
  #keepAlive(target: Target): void {
    const { keepalive } = this.#context.profile;
    const { active, idle } = keepalive ?? {};
    if (active && (active.by === 'both' || active.by === this.#context.role)) {
      const cellular = isCellular(target.base.kind) && isCellular(target.far.kind);
      this.#repeat((cellular ? active['first-cellular'] : undefined) ?? active.first, active.every, () => {
        this.#probing.keepAlive(target, active.priority);
      });
    }
    if (idle) {
      this.#repeat(idle.every, idle.every, () => {
        const leg = this.#relays.best([target.base]);
        if (leg) this.#relays.keepIdle(leg, idle);
      });
    }
  }

  /** As long as what is in use now stays so. */
  #repeat(first: Ms, every: Ms, act: () => void): void {
    const turn = this.#turn;
    const at = this.#context.now + first;
    this.#context.at(at, () => {
      if (this.#turn !== turn || this.#ended) return;
      act();
      this.#repeat(every, every, act);
    });
  }

  #datagram({ base: id, from, bytes }: Extract<PlayInput, { type: 'datagram' }>): void {
    const base = this.#bases.find((one) => one.id === id);
    if (!base) return;
    const undone = this.#hasBegun ? undo(bytes, [this.#context.keys.key]) : null;
    if (undone) {
      const { message } = undone;
      if (message.class === 'success') this.#probing.take(base, from, message);
      if (message.class !== 'request') return;
      const { up } = this.#context.profile;
      const answers = !this.#fallen || this.#changed || up['unchanged-answers'];
      this.#probing.heard(base, from, undone, { far: this.#whose(base, from), answers });
      return;
    }
    const parsed = parseStrict(bytes);
    if (parsed.ok) this.#relays.take(base, from, parsed.message);
  }

  /** The candidate that an address belongs to, where it is not named itself: the same host's, or the only one's. */
  #whose({ address: { family } }: ProfileBase, from: TransportAddress): ProfileCandidate | null {
    const own = this.#far.filter(({ address }) => address.family === family);
    const known =
      own.find(({ address }) => sameAddress(address, from)) ?? own.find((one) => one.address.address === from.address);
    const interfaces = new Set(own.map((one) => one.interface));
    return known ?? (interfaces.size === 1 ? (own[0] ?? null) : null);
  }

  #end(): void {
    const { end } = this.#context.profile;
    if (end !== undefined) this.#relays.end(end);
    this.#ended = true;
    this.#context.clear();
  }
}
