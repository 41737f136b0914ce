import { sameAddress, formatTransportAddress, type TransportAddress } from '../base/address.js';
import type { InterfaceKind } from '../base/interface.js';
import type { Ms } from '../base/time.js';
import { mutate } from '../mutation/header.js';
import { type ArmName, PLAIN_ARM } from '../mutation/names.js';
import { BUILT_IN } from '../mutation/registry.js';
import { type StunMessage, transactionKey } from '../stun/message.js';
import type { Context } from './context.js';
import { buildAnswer, buildProbe } from './messages.js';
import type { ProfileBase, ProfileCandidate } from './types.js';

/** An address of the far end, from one socket. */
export interface Target {
  readonly base: ProfileBase;
  readonly far: ProfileCandidate;
  sent: number;
  firstAt: Ms;
  lastAt: Ms;
  triggered: boolean;
  state: 'probing' | 'found' | 'given-up' | 'stopped';
}

interface Outstanding {
  readonly target: Target;
  readonly at: Ms;
  readonly keepalive: boolean;
}

/** A far end may name as many addresses, and no more of our transactions are remembered. */
const MOST_TARGETS = 64;
const MOST_OUTSTANDING = 4096;

/** The probes between the two ends, by the profile's clock and count. */
export class Probing {
  readonly #context: Context;
  readonly #found: (target: Target) => void;
  readonly #targets = new Map<string, Target>();
  readonly #outstanding = new Map<string, Outstanding>();
  #sentAt: Ms = Number.NEGATIVE_INFINITY;

  constructor(context: Context, found: (target: Target) => void) {
    this.#context = context;
    this.#found = found;
  }

  get targets(): readonly Target[] {
    return [...this.#targets.values()];
  }

  /** Begins to probe at `from`, unless this address has had its probes. */
  begin(base: ProfileBase, far: ProfileCandidate, from: Ms): void {
    const key = keyOf(base, far.address);
    if (this.#targets.has(key) || this.#targets.size >= MOST_TARGETS) return;
    const target: Target = {
      ...{ base, far, sent: 0, firstAt: from, lastAt: from },
      ...{ triggered: false, state: 'probing' as const },
    };
    this.#targets.set(key, target);
    this.#context.at(from, () => {
      this.#tick(target);
    });
  }

  /** Nothing more is probed; what was found stays. */
  stop(): void {
    for (const target of this.#targets.values()) if (target.state === 'probing') target.state = 'stopped';
  }

  /** All addresses may have all their probes again. */
  forgetAll(): void {
    for (const target of this.#targets.values()) target.state = 'stopped';
    this.#targets.clear();
  }

  forget(gone: (target: Target) => boolean): void {
    for (const [key, target] of this.#targets) {
      if (!gone(target)) continue;
      target.state = 'stopped';
      this.#targets.delete(key);
    }
  }

  keepAlive(target: Target, priority: number | undefined): void {
    this.#send(target, true, priority);
    this.#context.tell('keepalive', target.base, target.far.interface);
  }

  /** The far end's probe came; `answers`: whether it is answered. `null`: nobody knows whose address that is. */
  heard(
    base: ProfileBase,
    from: TransportAddress,
    { message, arm }: { readonly message: StunMessage; readonly arm: ArmName },
    { far, answers }: { readonly far: ProfileCandidate | null; readonly answers: boolean },
  ): void {
    const { profile, keys } = this.#context;
    this.#context.tell('heard', base, far?.interface ?? null);
    if (!answers) return;
    this.#context.send(base, from, inArm(arm, buildAnswer(message, from, keys, profile.direct.attributes), keys.key));
    this.#context.tell('answer', base, far?.interface ?? null);
    const target = this.#targets.get(keyOf(base, from));
    if (!profile.direct.triggered || !far) return;
    if (!target) this.begin(base, { ...far, address: from }, this.#context.now);
    else if (target.state === 'probing' && !target.triggered && target.sent < this.#most(target)) {
      target.triggered = true;
      this.#probe(target);
      if (target.sent === this.#most(target)) this.#expire(target);
    }
  }

  /** Whether a message answers a probe of ours. */
  take(base: ProfileBase, from: TransportAddress, message: StunMessage): boolean {
    const key = transactionKey(message.transactionId);
    const outstanding = this.#outstanding.get(key);
    if (!outstanding) return false;
    const { target, at, keepalive } = outstanding;
    if (target.base.id !== base.id || !sameAddress(target.far.address, from)) return true;
    this.#outstanding.delete(key);
    const ms = this.#context.now - at;
    if (keepalive) this.#context.tell('keepalive-answered', base, target.far.interface, { ms });
    if (keepalive || target.state === 'found' || !this.#targets.has(keyOf(base, from))) return true;
    target.state = 'found';
    this.#context.tell('found', base, target.far.interface, { ms });
    if (this.#context.profile.direct['stop-on-first']) this.stop();
    this.#found(target);
    return true;
  }

  #tick(target: Target): void {
    if (target.state !== 'probing') return;
    const { now, profile } = this.#context;
    const again = (at: Ms): void => {
      this.#context.at(at, () => {
        this.#tick(target);
      });
    };
    if (target.sent >= this.#most(target)) {
      this.#expire(target);
      return;
    }
    const slot = this.#sentAt + profile.direct.pace;
    if (now < slot) {
      again(slot);
      return;
    }
    this.#probe(target);
    const every = this.#special(target)?.every ?? profile.direct.every;
    if (target.sent < this.#most(target))
      again(now + (profile.direct.doubles ? every * 2 ** (target.sent - 1) : every));
    else this.#expire(target);
  }

  #expire(target: Target): void {
    this.#context.at(target.lastAt + this.#context.profile.direct.wait, () => {
      if (target.state !== 'probing') return;
      target.state = 'given-up';
      this.#context.tell('gave-up', target.base, target.far.interface, { ms: target.lastAt - target.firstAt });
    });
  }

  #probe(target: Target): void {
    const { now } = this.#context;
    if (target.sent === 0) target.firstAt = now;
    target.sent += 1;
    target.lastAt = now;
    this.#sentAt = now;
    this.#send(target, false, undefined);
    this.#context.tell('probe', target.base, target.far.interface);
  }

  #send(target: Target, keepalive: boolean, priority: number | undefined): void {
    const { profile, keys, random, role, now } = this.#context;
    const { id, key } = this.#context.transaction();
    const bytes = buildProbe(id, keys, {
      attributes: profile.direct.attributes,
      random,
      controlling: role === 'caller',
      ...(priority !== undefined && { of: priority }),
    });
    if (this.#outstanding.size >= MOST_OUTSTANDING) this.#outstanding.clear();
    this.#outstanding.set(key, { target, at: now, keepalive });
    const cellular = isCellular(target.base.kind) || isCellular(target.far.kind);
    const arm = cellular ? (profile.direct['cellular-arm'] ?? PLAIN_ARM) : PLAIN_ARM;
    this.#context.send(target.base, target.far.address, inArm(arm, bytes, keys.key));
  }

  #most(target: Target): number {
    return this.#special(target)?.most ?? this.#context.profile.direct.most;
  }

  #special({ base, far }: Target) {
    const outside = isCellular(base.kind) && !isCellular(far.kind) && base.address.family === 'ipv4';
    return outside ? this.#context.profile.direct['from-cellular'] : undefined;
  }
}

export function isCellular(kind: InterfaceKind): boolean {
  return kind === 'cellular' || kind === 'tethered';
}

function inArm(name: ArmName, message: Uint8Array, key: Uint8Array): Uint8Array {
  const arm = BUILT_IN.find(name);
  return arm ? mutate(arm, message, key) : message;
}

function keyOf(base: ProfileBase, address: TransportAddress): string {
  return `${base.id}>${formatTransportAddress(address)}`;
}
