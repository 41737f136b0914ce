import { sameAddress, type TransportAddress } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import { NEVER, type Ms } from '../base/time.js';
import type { ControlMessage } from '../control/messages.js';
import { candidatePriority } from '../ice/candidate.js';
import { CONTROL_ARM, type ArmName } from '../mutation/names.js';
import { buildProbe, recogniseProbe } from '../mutation/probe.js';
import type { ArmRegistry } from '../mutation/registry.js';
import { FIRST_PORT, type GuessPlan, portsToGuess } from '../verdict/port-guessing.js';
import type { Host, OpenSocket, SocketOwner } from './host.js';
import { LIMITS, type PeerAddresses } from './limits.js';
import type { PresentInterfaces } from './near-interfaces.js';
import { pathId } from './record.js';
import { ReferenceLeg } from './reference-leg.js';
import type { LateSockets, PathName } from './regather.js';

export interface GuessingOptions {
  readonly sockets: LateSockets;
  readonly interfaces: PresentInterfaces;
  readonly arms: ArmRegistry;
  readonly references: readonly TransportAddress[];
  readonly peer: PeerAddresses;
  readonly sessionKey: Uint8Array;
  readonly pin: boolean;
  /** This host's user asked for it; without that nothing is opened and nothing sent. */
  readonly allowed: boolean;
}

/** Beside the tries on fresh sockets, whose numbers are smaller. */
export const GUESS_ATTEMPT = 33;
const GATHER_MS: Ms = 3000;
/** How long the far end may take over its half; what comes after the last guess; and the checks. */
const FAR_PATIENCE_MS: Ms = 15_000;
const LATE_MS: Ms = 2000;
const CHECKS_MS: Ms = 8000;
/** Mappings that were hit and go to the ICE agent. */
const MOST_HITS = 4;
/** How often each mapping's own packet is sent: once to make it, again when its port may have been guessed. */
const WAVES = 3;
const MOST_TRIES = 4;

interface Opened {
  readonly socket: OpenSocket;
  hit: boolean;
}

interface Attempt {
  readonly path: string;
  readonly name: PathName;
  readonly arm: ArmName;
  readonly plan: GuessPlan;
  readonly on: HostInterface;
  /** Not yet open. */
  readonly opening: Set<string>;
  readonly opened: Opened[];
  /** Of the socket that was opened first: where its NAT is seen. */
  leg: ReferenceLeg | null;
  announced: boolean;
  /** Where the far end is: the guesser's one address, or the address whose ports are guessed. */
  far: TransportAddress | null;
  /** What is still to be sent, and when the next of it is due. */
  readonly queue: (() => void)[];
  nextAt: Ms;
  waves: number;
  waveAt: Ms;
  hits: number;
  state: 'gathering' | 'waiting' | 'guessing' | 'checking' | 'over';
  until: Ms;
}

/**
 * Guesses the port that a NAT draws anew for every destination (`--guess-ports` at both ends). The one end opens many
 * sockets and sends from each to the other's one address, so that its NAT has as many mappings there; then the other,
 * whose own NAT lets in only who was sent to, sends to as many ports of that NAT as was agreed. Where one of them is a
 * mapping's, both NATs are open for that pair of ports, and ICE goes on there. The mappings come first: a guess that came
 * before them would claim its port at a Linux NAT. What that is worth is known beforehand (`verdict/port-guessing.ts`).
 */
export class PortGuessing implements SocketOwner {
  readonly #host: Host;
  readonly #options: GuessingOptions;
  readonly #attempts = new Map<string, Attempt>();
  readonly #bySocket = new Map<string, Attempt>();
  #counter: number;

  constructor(host: Host, options: GuessingOptions) {
    this.#host = host;
    this.#options = options;
    // Apart from the counters of the matrix and of openers, which come from the same key.
    this.#counter = host.role === 'client' ? 0x2000_0000 : 0xa000_0000;
  }

  get quiet(): boolean {
    return [...this.#attempts.values()].every(({ state }) => state === 'over');
  }

  tried(path: string): boolean {
    return this.#attempts.has(path);
  }

  /** The client: once for a path. False where that was, or where a run has had its tries. */
  begin(name: PathName, { arm, plan }: { readonly arm: ArmName; readonly plan: GuessPlan }): boolean {
    if (!this.#start(name, arm, plan)) return false;
    this.#host.message({ type: 'guess', ...name, arm, plan });
    this.#work();
    return true;
  }

  /** Takes what concerns guessing; false for every other message. */
  message(message: ControlMessage): boolean {
    switch (message.type) {
      case 'guess': {
        const { client, server, family, arm, plan } = message;
        const started =
          this.#host.role === 'server' &&
          this.#options.arms.find(arm)?.stun === true &&
          this.#start({ client, server, family }, arm, plan);
        if (!started) this.#host.complain('guess.refused', { client, server, family });
        break;
      }
      case 'guess-at': {
        const attempt = this.#attempts.get(message.path);
        if (!attempt || attempt.far) break;
        if (message.address.family === attempt.name.family && this.#options.peer.admits(message.address)) {
          attempt.far = message.address;
        } else this.#host.complain('guess.address-refused', { path: message.path });
        break;
      }
      default:
        return false;
    }
    this.#work();
    return true;
  }

  deadline(): Ms {
    let first = NEVER;
    for (const { state, until, queue, nextAt, waveAt, leg, announced } of this.#attempts.values()) {
      if (state === 'over') continue;
      first = Math.min(first, until, queue.length > 0 ? nextAt : NEVER, waveAt);
      if (!announced) first = Math.min(first, leg?.deadline() ?? NEVER);
    }
    return first;
  }

  timeout(): void {
    this.#work();
  }

  stop(): void {
    for (const attempt of this.#attempts.values()) this.#over(attempt);
  }

  opened(socket: OpenSocket): void {
    const attempt = this.#bySocket.get(socket.id);
    if (!attempt || attempt.state === 'over') return;
    attempt.opening.delete(socket.id);
    if (attempt.opened.length === 0) attempt.leg?.begin(this.#host.now);
    attempt.opened.push({ socket, hit: false });
    this.#work();
  }

  failed(id: string, code: string, message: string): void {
    const attempt = this.#bySocket.get(id);
    attempt?.opening.delete(id);
    this.#host.log('debug', 'guess.socket-failed', { path: attempt?.path, code, message });
    this.#work();
  }

  datagram(socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): void {
    const attempt = this.#bySocket.get(socket.id);
    const own = attempt?.opened.find((one) => one.socket.id === socket.id);
    if (!attempt || !own) return;
    if (own === attempt.opened[0] && attempt.leg?.datagram(socket, from, bytes) === true) {
      this.#work();
      return;
    }
    const probe = recogniseProbe(bytes, this.#options.sessionKey);
    if (probe?.arm !== CONTROL_ARM) {
      if (own.hit) this.#options.sockets.datagram(socket, from, bytes);
      return;
    }
    this.#record(socket, from, probe.id);
    this.#hit(attempt, own, from);
    this.#work();
  }

  #start(name: PathName, arm: ArmName, plan: GuessPlan): boolean {
    const path = pathId(name.client, name.server, name.family);
    const on = this.#options.interfaces.all.find((one) => one.name === name[this.#host.role]);
    const address = on?.addresses.find(({ family }) => family === name.family)?.address;
    const fits = plan.sockets <= LIMITS.guessSockets && plan.guesses <= LIMITS.guesses;
    if (!this.#options.allowed || !on || address === undefined || !fits) return false;
    if (this.#attempts.has(path) || this.#attempts.size >= LIMITS.guessedPaths) return false;
    const reference = this.#options.references.find(({ family }) => family === name.family);
    if (!reference) return false;
    const attempt: Attempt = {
      path,
      name,
      arm,
      plan,
      on,
      opening: new Set(),
      opened: [],
      leg: new ReferenceLeg(this.#host, reference, CONTROL_ARM, this.#options.arms),
      announced: false,
      far: null,
      queue: [],
      nextAt: NEVER,
      waves: 0,
      waveAt: NEVER,
      hits: 0,
      state: 'gathering',
      until: this.#host.now + GATHER_MS,
    };
    this.#attempts.set(path, attempt);
    for (let index = 0; index < (this.#guesses(attempt) ? 1 : plan.sockets); index += 1) {
      const id = this.#host.open(this, on, { family: name.family, address, port: 0 }, this.#options.pin);
      attempt.opening.add(id);
      this.#bySocket.set(id, attempt);
    }
    const { guesser, sockets, guesses, probability, pattern } = plan;
    this.#host.record({
      type: 'way',
      path,
      attempt: GUESS_ATTEMPT,
      way: 'port-guess',
      arm,
      ttl: null,
      guess: { guesser, sockets, guesses, probability, pattern },
    });
    this.#host.log('info', 'path.guessing', { path, guesser, sockets, guesses, probability, pattern });
    return true;
  }

  #guesses({ plan }: Attempt): boolean {
    return plan.guesser === this.#host.role;
  }

  #work(): void {
    for (const attempt of this.#attempts.values()) if (attempt.state !== 'over') this.#advance(attempt);
  }

  #advance(attempt: Attempt): void {
    const { now } = this.#host;
    if (attempt.state === 'gathering') this.#gather(attempt);
    if (attempt.state === 'waiting' && attempt.far) this.#begin(attempt, attempt.far);
    while (attempt.queue.length > 0 && attempt.nextAt <= now) {
      attempt.queue.shift()?.();
      attempt.nextAt += 1000 / LIMITS.guessesPerSecond;
      if (attempt.queue.length === 0) this.#sent(attempt);
    }
    if (attempt.waveAt <= now) this.#wave(attempt);
    if (attempt.hits > 0) {
      const state = this.#options.sockets.stateOf(groupOf(attempt.path));
      if (state === 'up') this.#over(attempt);
    }
    if (attempt.until <= now) this.#over(attempt);
  }

  /** The guesser tells where it is; the other end gets its sockets ready and waits for that. */
  #gather(attempt: Attempt): void {
    const [first] = attempt.opened;
    const { leg, opening } = attempt;
    if (!first || !leg) return;
    if (!leg.mapped) leg.gather(first.socket);
    if (!leg.mapped || opening.size > 0) return;
    attempt.state = 'waiting';
    attempt.until = this.#host.now + FAR_PATIENCE_MS;
    if (this.#guesses(attempt)) this.#announce(attempt, leg.mapped);
  }

  #announce(attempt: Attempt, address: TransportAddress): void {
    attempt.announced = true;
    this.#host.message({ type: 'guess-at', path: attempt.path, address });
  }

  #begin(attempt: Attempt, far: TransportAddress): void {
    const { now } = this.#host;
    attempt.state = 'guessing';
    attempt.nextAt = now;
    const { guesses, sockets } = attempt.plan;
    // Both ends wait for the whole of it: all waves, all guesses, and what a control channel may take.
    const packets = WAVES * sockets + guesses;
    attempt.until = now + (packets * 1000) / LIMITS.guessesPerSecond + FAR_PATIENCE_MS;
    if (this.#guesses(attempt)) {
      const [own] = attempt.opened;
      if (!own) return;
      for (const port of portsToGuess(attempt.plan, far.port, this.#host.random)) {
        attempt.queue.push(() => {
          this.#send(attempt, own.socket, { ...far, port });
        });
      }
    } else this.#wave(attempt);
  }

  /** From every socket a packet: the first time that makes its mapping. */
  #wave(attempt: Attempt): void {
    attempt.waveAt = NEVER;
    const { far } = attempt;
    if (!far) return;
    attempt.waves += 1;
    attempt.nextAt = this.#host.now;
    for (const { socket } of attempt.opened) {
      attempt.queue.push(() => {
        this.#send(attempt, socket, far);
      });
    }
  }

  /** All is sent that was to be. */
  #sent(attempt: Attempt): void {
    const { now } = this.#host;
    const { leg, plan } = attempt;
    if (this.#guesses(attempt)) {
      attempt.until = now + (plan.sockets * 1000) / LIMITS.guessesPerSecond + LATE_MS + CHECKS_MS;
      return;
    }
    // Its mappings are made: where the guesses have to go, and the port that the NAT had chosen just before.
    if (attempt.waves === 1 && leg?.mapped) this.#announce(attempt, leg.mapped);
    if (attempt.waves < WAVES) attempt.waveAt = now + ((plan.guesses / (WAVES - 1)) * 1000) / LIMITS.guessesPerSecond;
    else attempt.until = now + LATE_MS + CHECKS_MS;
  }

  /** A packet got through: here is a mapping that was guessed. */
  #hit(attempt: Attempt, own: Opened, from: TransportAddress): void {
    const { far, arm, path } = attempt;
    if (from.address !== far?.address || from.port < FIRST_PORT) return;
    if (!this.#guesses(attempt) && !sameAddress(from, far)) return;
    const known = own.hit && !this.#guesses(attempt);
    if (known || attempt.hits >= MOST_HITS || attempt.state === 'over') return;
    attempt.hits += 1;
    // That the other end hears of it, too, whichever of the two was first.
    for (let tries = 0; tries < MOST_TRIES; tries += 1) this.#send(attempt, own.socket, from);
    const group = groupOf(path);
    if (!own.hit) {
      own.hit = true;
      this.#options.sockets.adopt(own.socket, group, arm);
    }
    this.#options.sockets.candidate({
      component: 1,
      type: 'srflx',
      foundation: 'guessed',
      priority: candidatePriority('srflx', attempt.hits),
      address: from,
      interface: this.#host.role === 'client' ? attempt.name.server : attempt.name.client,
      kind: null,
      label: null,
      group,
    });
    attempt.state = 'checking';
    attempt.queue.length = 0;
    attempt.waveAt = NEVER;
    attempt.until = this.#host.now + CHECKS_MS;
  }

  #send({ name }: Attempt, socket: OpenSocket, to: TransportAddress): void {
    this.#counter += 1;
    const { sessionKey: key } = this.#options;
    const { id, bytes } = buildProbe(CONTROL_ARM, { key, counter: this.#counter, random: this.#host.random });
    const towards = this.#host.role === 'client' ? name.server : name.client;
    this.#host.send(socket, to, bytes, {
      leg: 'peer',
      purpose: 'guess',
      id,
      arm: CONTROL_ARM,
      towards,
      round: GUESS_ATTEMPT,
    });
  }

  #record({ interface: on, local }: OpenSocket, from: TransportAddress, id: string): void {
    this.#host.record({
      type: 'received',
      leg: 'peer',
      purpose: 'guess',
      id,
      arm: CONTROL_ARM,
      interface: on.name,
      family: local.family,
      from: { ...from },
    });
  }

  /** Sockets that nobody hit are closed; those that were belong to the agent. */
  #over(attempt: Attempt): void {
    if (attempt.state === 'over') return;
    attempt.state = 'over';
    attempt.queue.length = 0;
    attempt.waveAt = NEVER;
    for (const id of attempt.opening) this.#host.close(id);
    for (const { socket, hit } of attempt.opened) if (!hit) this.#host.close(socket.id);
  }
}

/** As the groups of late candidates are named: `attemptOf` reads the number. */
function groupOf(path: string): string {
  return `${path}#${String(GUESS_ATTEMPT)}`;
}
