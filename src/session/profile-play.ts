import type { TransportAddress } from '../base/address.js';
import { drain } from '../base/machine.js';
import { integerBetween } from '../base/random.js';
import { earliest, NEVER, type Ms } from '../base/time.js';
import type { ControlMessage } from '../control/messages.js';
import { ProfilePlayer } from '../profile/player.js';
import { profileSchema, type Profile } from '../profile/schema.js';
import type { PlayInput, PlayOutput, ProfileBase } from '../profile/types.js';
import type { Host, OpenSocket, SocketOwner } from './host.js';
import type { PeerAddresses } from './limits.js';
import { LocalAddresses } from './local-addresses.js';
import type { PresentInterfaces } from './near-interfaces.js';

/** As the client's plan has it: what a profile's file says, whatever it extends merged in. */
export interface ProfilePlan {
  readonly name: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** The profile of a plan; `null` where the far end sent what is none. */
export function profileOfPlan({ fields }: ProfilePlan): Profile | null {
  return profileSchema.safeParse(fields).data ?? null;
}

export interface ProfilePlayOptions {
  readonly name: string;
  readonly profile: Profile;
  readonly interfaces: PresentInterfaces;
  readonly references: readonly TransportAddress[];
  readonly peer: PeerAddresses;
  readonly sessionKey: Uint8Array;
  readonly pin: boolean;
}

/** So long is played, whatever is found: the first keepalives belong to a schedule. And no longer, where nothing is. */
const LEAST_MS: Ms = 20_000;
const MOST_MS: Ms = 45_000;
/** RFC 6335 §6. */
const DYNAMIC_PORTS = [49_152, 65_535] as const;
/** How long sockets may look for their reflexive addresses before the call begins. */
const PREPARE_MS: Ms = 1500;
/** A far end that is not ready by then does not play. */
const PATIENCE_MS: Ms = 10_000;

/**
 * Somebody else's schedule, played beside the run over the same interfaces on sockets of its own: what would it have
 * found here? Its packets are no evidence for any verdict, and only `profile` events of the record tell of them.
 */
export class ProfilePlay implements SocketOwner {
  readonly #host: Host;
  readonly #options: ProfilePlayOptions;
  readonly #player: ProfilePlayer;
  readonly #addresses: LocalAddresses;
  readonly #opening = new Set<string>();
  readonly #sockets = new Map<string, OpenSocket>();
  #preparedAt: Ms = NEVER;
  #ready = false;
  #farReady = false;
  #beganAt: Ms = NEVER;
  readonly #until: Ms;

  constructor(host: Host, options: ProfilePlayOptions) {
    this.#host = host;
    this.#options = options;
    this.#until = host.now + PATIENCE_MS;
    const [least, most] = DYNAMIC_PORTS;
    const port = options.profile.sockets === 'one-port-per-call' ? integerBetween(host.random, least, most) : 0;
    this.#addresses = new LocalAddresses(host, this, { port, ports: [], pin: options.pin });
    this.#player = new ProfilePlayer({
      profile: options.profile,
      role: host.role === 'client' ? 'caller' : 'callee',
      key: options.sessionKey,
      random: host.random,
      servers: options.references,
    });
  }

  begin(): void {
    const { name, profile, references } = this.#options;
    const { title, relay, otherwise } = profile;
    this.#host.record({
      type: 'profile-plan',
      name,
      title,
      relays: relay?.count ?? 0,
      standIns: references.length,
      otherwise: otherwise ?? null,
      unchangedAnswers: profile.up['unchanged-answers'],
    });
    this.change();
  }

  /** The addresses that this host has now. */
  change(): void {
    const { opened, gone } = this.#addresses.change(this.#options.interfaces.all);
    for (const id of gone) {
      this.#host.close(id);
      this.#forget(id);
    }
    for (const id of opened) this.#opening.add(id);
    this.#bases();
  }

  /** Whether everything that it could find is found, or given up. */
  get done(): boolean {
    const { now } = this.#host;
    if (this.#beganAt === NEVER) return now >= this.#until;
    return now >= this.#beganAt + MOST_MS || (now >= this.#beganAt + LEAST_MS && this.#player.decided);
  }

  deadline(): Ms {
    const { now } = this.#host;
    const ends =
      this.#beganAt === NEVER
        ? [this.#until, this.#ready ? NEVER : this.#preparedAt + PREPARE_MS]
        : [this.#beganAt + LEAST_MS, this.#beganAt + MOST_MS];
    return earliest(this.#player.deadline(), ...ends.map((end) => (end > now ? end : NEVER)));
  }

  timeout(): void {
    if (this.#player.deadline() <= this.#host.now) this.#feed({ type: 'timeout' });
    this.#announceReady();
  }

  /** Takes what concerns it; false for every other message. */
  message(message: ControlMessage): boolean {
    if (message.type === 'profile-ready') {
      this.#farReady = true;
      this.#start();
    } else if (message.type === 'profile-candidates') {
      const candidates = message.candidates.filter(({ address }) => this.#options.peer.admits(address));
      if (candidates.length < message.candidates.length) this.#host.complain('profile.addresses-refused');
      this.#feed({ type: 'far', candidates });
    } else return false;
    return true;
  }

  opened(socket: OpenSocket): void {
    this.#opening.delete(socket.id);
    this.#sockets.set(socket.id, socket);
    this.#bases();
  }

  failed(id: string, code: string, message: string): void {
    this.#host.log('warn', 'profile.socket-failed', { socket: id, code, message });
    this.#forget(id);
    const other = code === 'EADDRINUSE' ? this.#addresses.instead(id) : null;
    if (other !== null) this.#opening.add(other);
    this.#bases();
  }

  datagram({ id }: OpenSocket, from: TransportAddress, bytes: Uint8Array): void {
    this.#feed({ type: 'datagram', base: id, from, bytes });
    this.#announceReady();
  }

  /** The call is over, while the sockets are still there. */
  stop(): void {
    this.#feed({ type: 'end' });
  }

  #forget(id: string): void {
    this.#opening.delete(id);
    this.#sockets.delete(id);
  }

  #bases(): void {
    if (this.#opening.size > 0) return;
    this.#feed({ type: 'bases', bases: [...this.#sockets.values()].map(baseOf) });
    if (this.#preparedAt < NEVER) return;
    this.#preparedAt = this.#host.now;
    this.#feed({ type: 'prepare' });
    this.#announceReady();
  }

  /** Signalling is not played: when the call begins, both ends have been told each other's addresses. */
  #announceReady(): void {
    const waited = this.#host.now >= this.#preparedAt + PREPARE_MS;
    if (this.#ready || this.#opening.size > 0 || !(waited || this.#player.prepared)) return;
    this.#ready = true;
    this.#host.message({ type: 'profile-ready' });
    this.#start();
  }

  #start(): void {
    if (!this.#ready || !this.#farReady || this.#beganAt < NEVER) return;
    this.#beganAt = this.#host.now;
    this.#feed({ type: 'begin' });
  }

  #feed(input: PlayInput): void {
    this.#player.handle(input, this.#host.now);
    for (const output of drain(this.#player)) this.#output(output);
  }

  #output(output: PlayOutput): void {
    if (output.type === 'event') this.#host.record({ type: 'profile', ...output.event });
    else if (output.type === 'candidates')
      this.#host.message({ type: 'profile-candidates', candidates: output.candidates });
    else {
      const socket = this.#sockets.get(output.base);
      if (socket) this.#host.sendData(socket, output.to, output.bytes);
    }
  }
}

function baseOf({ id, local, interface: { name, kind, addresses } }: OpenSocket): ProfileBase {
  const prefixLength = addresses.find(({ address }) => address === local.address)?.prefixLength ?? 32;
  return { id, interface: name, kind, address: local, prefixLength };
}
