import { NEVER, type Ms } from '../../base/time.js';
import { type QuicError, quicError } from '../wire/errors.js';
import type { AckFrame } from '../wire/frames.js';
import type { CongestionController } from './congestion.js';
import { EcnValidator } from './ecn.js';
import { longestLossMs, LossDetector } from './loss-detector.js';
import { MtuSearch } from './mtu.js';
import { Pacer } from './pacer.js';
import { RttEstimator } from './rtt.js';
import type { SentPacket } from './sent-packets.js';

/** Each has its own packet numbers; paths other than the first have application data alone. */
export type Space = 'initial' | 'handshake' | 'application';
const SPACES: readonly Space[] = ['initial', 'handshake', 'application'];

/** kPersistentCongestionThreshold (RFC 9002 §7.6.1). */
const PERSISTENT_PTOS = 3;
const IN_USE_DATAGRAMS = 3;
/** Backoff of 2^10 is longer than any idle timeout. */
const MAX_BACKOFF = 10;

export interface AckResult<Content> {
  /** Acknowledged for the first time, in order. */
  readonly acked: readonly SentPacket<Content>[];
  readonly lost: readonly SentPacket<Content>[];
}

export interface RecoveryOptions {
  readonly controller: CongestionController;
  readonly mtu?: MtuSearch;
  readonly isServer: boolean;
}

/** What the connection knows that a path's timers depend on (RFC 9002 A.8). */
export interface HandshakeState {
  readonly isConfirmed: boolean;
  readonly hasHandshakeKeys: boolean;
  /** The far end's max_ack_delay. */
  readonly maxAckDelayMs: Ms;
}

const isEliciting = ({ isAckEliciting }: SentPacket): boolean => isAckEliciting;

/** Loss recovery and congestion control of one path (RFC 9002 appendices A and B). */
export class PathRecovery<Content> {
  rtt = new RttEstimator();
  controller: CongestionController;
  mtu: MtuSearch;
  bytesInFlight = 0;
  /** Timeouts in a row without an acknowledgment. */
  ptoCount = 0;
  /** A server that may not send does not wait for answers either (RFC 9002 §6.2.2.1). */
  isAmplificationLimited = false;
  readonly #isServer: boolean;
  #pacer: Pacer;
  readonly #detectors: Readonly<Record<Space, LossDetector<Content>>>;
  readonly #ecn: Readonly<Record<Space, EcnValidator>>;
  #state: HandshakeState = { isConfirmed: false, hasHandshakeKeys: false, maxAckDelayMs: 25 };
  /** A client only: whether the server has shown that it takes this address for proven. */
  #isAddressValidated: boolean;
  /** Application packets before this one were sent to other addresses: they say nothing about the path that is. */
  #since = 0;
  /** What the client's timer counts from while nothing is on its way. */
  #idleFrom: Ms = 0;

  constructor({ controller, mtu = new MtuSearch(), isServer }: RecoveryOptions) {
    this.controller = controller;
    this.mtu = mtu;
    this.#isServer = isServer;
    this.#isAddressValidated = isServer;
    this.#pacer = new Pacer(mtu.datagramBytes);
    const detector = () => new LossDetector<Content>();
    this.#detectors = { initial: detector(), handshake: detector(), application: detector() };
    this.#ecn = { initial: new EcnValidator(), handshake: new EcnValidator(), application: new EcnValidator() };
  }

  setState(state: HandshakeState): void {
    this.#state = state;
    if (state.isConfirmed) this.#isAddressValidated = true;
  }

  largestAcked(space: Space): number {
    return this.#detectors[space].largestAcked;
  }

  ecnState(space: Space): EcnValidator['state'] {
    return this.#ecn[space].state;
  }

  /** Whether the next packet of a space is to be sent with ECT(0). */
  marks(space: Space): boolean {
    return this.#ecn[space].marks;
  }

  /** Whether `bytes` more may be on their way. */
  hasRoom(bytes: number): boolean {
    return this.bytesInFlight + bytes <= this.controller.window;
  }

  /** When a datagram of `bytes` may leave, by the pacer alone. */
  releaseAt(bytes: number, now: Ms): Ms {
    return this.#pacer.releaseAt(bytes, this.controller, this.rtt, now);
  }

  /**
   * How long until a datagram of `bytes` may leave: by the pacer, or until what is on its way the longest is acknowledged.
   * What is late already may be later by as much again.
   */
  waitMs(bytes: number, now: Ms): Ms {
    if (this.hasRoom(bytes)) return this.releaseAt(bytes, now) - now;
    const { smoothed } = this.rtt;
    const since = this.#detectors.application.elicitingAt(0) ?? now;
    // Where the window has become smaller than what is on its way, more than one has to arrive.
    const excess = Math.max(0, this.bytesInFlight - this.controller.window) / this.controller.window;
    return Math.abs(since + smoothed - now) + excess * smoothed;
  }

  /** Nothing waits to be sent, although the window would take it. */
  onAppLimited(): void {
    this.controller.onAppLimited?.(this.bytesInFlight);
  }

  /** The probe timeout without backoff. */
  pto(): Ms {
    return this.rtt.pto(this.#state.maxAckDelayMs);
  }

  onSent(space: Space, packet: SentPacket<Content>): void {
    this.#detectors[space].onSent(packet);
    this.#ecn[space].onSent(packet.isMarked);
    if (!packet.inFlight) return;
    this.controller.onSent?.(packet, this.bytesInFlight, packet.sentAt);
    this.bytesInFlight += packet.bytes;
    this.#idleFrom = packet.sentAt;
    this.#pacer.onSent(packet.bytes, this.controller, this.rtt, packet.sentAt);
    if (packet.mtuProbe) this.mtu.onProbeSent(packet.bytes);
  }

  /** RFC 9002 A.7. `delayMs`: the frame's, decoded. An error ends the connection. */
  onAck(space: Space, ack: AckFrame, delayMs: Ms, now: Ms): AckResult<Content> | QuicError {
    const detector = this.#detectors[space];
    const before = detector.largestAcked;
    const acked = detector.onAck(ack.ranges);
    if (acked === null) return quicError('PROTOCOL_VIOLATION', 'a packet was acknowledged that was never sent', 0x02);
    const last = acked.at(-1);
    if (last === undefined) return { acked: [], lost: [] };
    const { largestAcked } = detector;
    const isOfPath = space !== 'application' || last.packetNumber >= this.#since;
    if (isOfPath && last.packetNumber === ack.ranges[0]?.largest && acked.some(isEliciting)) {
      const believed = this.#state.isConfirmed ? Math.min(delayMs, this.#state.maxAckDelayMs) : delayMs;
      this.rtt.sample(now - last.sentAt, space === 'initial' ? 0 : believed, now);
    }
    if (largestAcked > before && this.#ecn[space].onAck(acked, ack.ecn) && isOfPath)
      this.controller.onCongestion(last.sentAt, now);
    if (space === 'handshake') this.#isAddressValidated = true;
    // Asked before anything is taken out of flight.
    const isLimited = this.#isWindowInUse();
    const lost = detector.detectLost(this.rtt, now);
    // First what arrived: it shows that what is lost was not too large.
    for (const packet of acked) {
      if (!packet.mtuProbe && this.#counts(space, packet)) this.mtu.onAcked(packet.bytes, packet.sentAt);
    }
    this.#onLost(space, lost, now);
    for (const packet of acked) if (this.#counts(space, packet)) this.#onAcked(packet, isLimited, now);
    this.controller.onAckDone?.(this.bytesInFlight, this.rtt, now);
    if (this.#isAddressValidated) this.ptoCount = 0;
    this.#idleFrom = now;
    return { acked, lost };
  }

  /** The earliest of loss timers and probe timeout (RFC 9002 A.8). */
  deadline(): Ms {
    const loss = Math.min(...SPACES.map((space) => this.#detectors[space].lossTime));
    if (loss !== NEVER) return loss;
    return this.isAmplificationLimited ? NEVER : this.#pto().at;
  }

  /** RFC 9002 A.9. `probe`: the space in which one or two packets have to be sent now, whatever the window says. */
  onTimeout(now: Ms): { readonly lost: readonly SentPacket<Content>[]; readonly probe: Space | null } {
    const lost: SentPacket<Content>[] = [];
    for (const space of SPACES) {
      const detector = this.#detectors[space];
      if (detector.lossTime > now) continue;
      const found = detector.detectLost(this.rtt, now);
      this.#onLost(space, found, now);
      lost.push(...found);
    }
    const isLossPending = SPACES.some((space) => this.#detectors[space].lossTime !== NEVER);
    if (lost.length > 0 || isLossPending || this.isAmplificationLimited) return { lost, probe: null };
    const { at, space } = this.#pto();
    if (at > now) return { lost, probe: null };
    this.ptoCount += 1;
    this.#idleFrom = now;
    return { lost, probe: space };
  }

  /** The oldest packet of a space that waits: what a probe sends again. */
  oldest(space: Space): SentPacket<Content> | undefined {
    return this.#detectors[space].oldest;
  }

  /** What a space has on its way. */
  outstanding(space: Space): Iterable<SentPacket<Content>> {
    return this.#detectors[space].waiting;
  }

  /** When the second oldest was sent that asks for an ACK: it has to be answered at once (RFC 9000 §13.2.2); `null`: no such. */
  secondElicitingAt(space: Space): Ms | null {
    return this.#detectors[space].elicitingAt(1);
  }

  ackElicitingInFlight(space: Space): number {
    return this.#detectors[space].ackElicitingInFlight;
  }

  /** The keys of a space are gone (RFC 9002 A.11), or the path is; returns what was on its way. */
  discard(space: Space): SentPacket<Content>[] {
    const packets = this.#detectors[space].discard();
    for (const packet of packets) if (this.#counts(space, packet)) this.bytesInFlight -= packet.bytes;
    this.ptoCount = 0;
    return packets;
  }

  /** The path leads elsewhere: all that was learnt of it is void, and what is on its way counts no more (RFC 9000 §9.4). */
  restart(controller: CongestionController, mtu: MtuSearch): void {
    this.rtt = new RttEstimator();
    this.controller = controller;
    this.mtu = mtu;
    this.#pacer = new Pacer(mtu.datagramBytes);
    this.#since = this.#detectors.application.largestSent + 1;
    this.bytesInFlight = 0;
    this.ptoCount = 0;
  }

  #counts(space: Space, packet: SentPacket): boolean {
    return packet.inFlight && (space !== 'application' || packet.packetNumber >= this.#since);
  }

  /** RFC 9002 §7.8: a few packets of room are no sign of idleness, and half a window is none in slow start. */
  #isWindowInUse(): boolean {
    const { window, isSlowStart } = this.controller;
    if (isSlowStart && this.bytesInFlight * 2 >= window) return true;
    return !this.hasRoom(this.mtu.datagramBytes * IN_USE_DATAGRAMS);
  }

  #onAcked(packet: SentPacket<Content>, isLimited: boolean, now: Ms): void {
    this.bytesInFlight -= packet.bytes;
    if (packet.mtuProbe) {
      this.mtu.onProbeAcked(packet.bytes, now);
      this.controller.setDatagramBytes(this.mtu.datagramBytes);
    }
    this.controller.onAcked(packet, this.rtt, isLimited, now);
  }

  #onLost(space: Space, lost: readonly SentPacket<Content>[], now: Ms): void {
    let last: Ms | null = null;
    for (const packet of lost) {
      this.#ecn[space].onLost(packet.isMarked);
      if (!this.#counts(space, packet)) continue;
      this.bytesInFlight -= packet.bytes;
      if (packet.mtuProbe) {
        this.mtu.onProbeLost(packet.bytes, now);
        continue;
      }
      last = packet.sentAt;
      this.controller.onLost?.(packet, now);
      if (this.mtu.onLost(packet.bytes, packet.sentAt)) this.controller.setDatagramBytes(this.mtu.datagramBytes);
    }
    if (last === null) return;
    this.controller.onCongestion(last, now);
    if (longestLossMs(lost, this.rtt.firstSampleAt) > PERSISTENT_PTOS * this.pto()) {
      this.controller.onPersistentCongestion();
    }
  }

  /** RFC 9002 A.8, GetPtoTimeAndSpace. */
  #pto(): { readonly at: Ms; readonly space: Space } {
    const backoff = 2 ** Math.min(this.ptoCount, MAX_BACKOFF);
    const duration = this.rtt.pto(0) * backoff;
    const isIdle = SPACES.every((space) => this.#detectors[space].ackElicitingInFlight === 0);
    if (isIdle) {
      // A server may be waiting for proof of this client's address; nobody else has to be asked.
      if (this.#isServer || this.#isAddressValidated) return { at: NEVER, space: 'initial' };
      return { at: this.#idleFrom + duration, space: this.#state.hasHandshakeKeys ? 'handshake' : 'initial' };
    }
    let first: { at: Ms; space: Space } = { at: NEVER, space: 'initial' };
    for (const space of SPACES) {
      const { ackElicitingInFlight, lastAckElicitingAt } = this.#detectors[space];
      if (ackElicitingInFlight === 0) continue;
      if (space === 'application' && !this.#state.isConfirmed) continue;
      const extra = space === 'application' ? this.#state.maxAckDelayMs * backoff : 0;
      const at = lastAckElicitingAt + duration + extra;
      if (at < first.at) first = { at, space };
    }
    return first;
  }
}
