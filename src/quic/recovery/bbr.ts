import type { Ms } from '../../base/time.js';
import { type CongestionController, initialWindow } from './congestion.js';
import { DeliveryRate, type RateSample } from './delivery-rate.js';
import type { RttEstimator } from './rtt.js';
import type { SentPacket } from './sent-packets.js';

type State = 'startup' | 'drain' | 'down' | 'cruise' | 'refill' | 'up' | 'probe-rtt';

/** Of the pace, and of the window, in each state (draft-ietf-ccwg-bbr, "Summary of Control Behavior in the State Machine"). */
const GAINS: Readonly<Record<State, { readonly pacing: number; readonly window: number }>> = {
  startup: { pacing: 2.77, window: 2 },
  drain: { pacing: 0.5, window: 2 },
  down: { pacing: 0.9, window: 2 },
  cruise: { pacing: 1, window: 2 },
  refill: { pacing: 1, window: 2 },
  up: { pacing: 1.25, window: 2.25 },
  'probe-rtt': { pacing: 1, window: 0.5 },
};

/** The draft's constants: a little slower than measured, so that queues shrink; when loss is too much; what it leaves. */
const PACING_MARGIN = 0.99;
const LOSS_THRESHOLD = 0.02;
const BETA = 0.7;
const HEADROOM = 0.85;
const MIN_PIPE_DATAGRAMS = 4;
const STARTUP_GROWTH = 1.25;
const STARTUP_ROUNDS = 3;
const STARTUP_LOSSES = 6;
const MIN_RTT_VALID_MS: Ms = 10_000;
const PROBE_RTT_EVERY_MS: Ms = 5000;
const PROBE_RTT_MS: Ms = 200;
/** Where Reno would probe sooner, so does this (coexistence). */
const MOST_PROBE_ROUNDS = 63;
const PROBE_WAIT_MS: Ms = 2000;
const PROBE_WAIT_SPREAD_MS: Ms = 1000;
/** What the segments of one system call add to a window. */
const QUANTUM_DATAGRAMS = 3;

/**
 * BBRv3 (draft-ietf-ccwg-bbr) in reduced form: keeps a model of the path, the bandwidth it delivers and its least round-trip
 * time, and sends at that pace with about so much on its way. Loss below 2 % changes nothing. Left out of the draft:
 * the estimate of ACK aggregation, packet conservation in recovery, and the undoing of spurious losses; the waits between
 * probes are spread by a fixed sequence and not by chance.
 */
export class Bbr implements CongestionController {
  readonly name = 'bbr';
  window: number;
  #pacingRate: number | null = null;
  #datagramBytes: number;
  #state: State = 'startup';
  readonly #rate = new DeliveryRate();

  /** The model: bytes a millisecond, of this probing cycle and the one before; milliseconds; bytes. */
  #maxBandwidth: readonly [now: number, before: number] = [0, 0];
  #minRtt: Ms = Infinity;
  #minRttAt: Ms = 0;
  /** Bounds: what loss has shown to be too much, over many rounds and in the last ones. */
  #inflightLong = Infinity;
  #inflightShort = Infinity;
  #bandwidthShort = Infinity;

  #roundEndsAt = 0;
  #isRoundStart = false;
  #rounds = 0;
  /** In the round of the last losses: the best of what came. */
  #lossRoundEndsAt = 0;
  #bandwidthLatest = 0;
  #inflightLatest = 0;
  #lossesInRound = 0;

  #isFull = false;
  #fullBandwidth = 0;
  #fullRounds = 0;

  #probeAt: Ms = 0;
  #probeRounds = 0;
  #cycles = 0;
  #upRounds = 0;
  #upAcked = 0;
  #phaseRound = 0;
  #isFeedbackDue = false;

  #probeRttMin: Ms = Infinity;
  #probeRttMinAt: Ms = 0;
  #isProbeRttDue = false;
  #probeRttUntil: Ms | null = null;
  #priorWindow = 0;

  constructor(datagramBytes: number) {
    this.#datagramBytes = datagramBytes;
    this.window = initialWindow(datagramBytes);
  }

  get isSlowStart(): boolean {
    return this.#state === 'startup';
  }

  /** For who looks on. */
  get state(): string {
    return this.#state;
  }

  get pacingRate(): number {
    // Nothing is known yet: the first window within the first round trip, as others do.
    return this.#pacingRate ?? (GAINS.startup.pacing * this.window) / Math.min(this.#minRtt, 333);
  }

  onSent(packet: SentPacket, inFlight: number, now: Ms): void {
    this.#rate.onSent(packet, inFlight, now);
  }

  onAppLimited(inFlight: number): void {
    if (inFlight < this.window) this.#rate.onAppLimited(inFlight);
  }

  onAcked(packet: SentPacket, rtt: RttEstimator, _isLimited: boolean, now: Ms): void {
    this.#rate.onAcked(packet, now);
    if (rtt.latest > 0) this.#onRtt(rtt.latest, now);
  }

  onLost(packet: SentPacket, now: Ms): void {
    this.#lossesInRound += 1;
    const { inFlight, lost } = this.#rate.onLost(packet);
    if (this.#state === 'up' || this.#isFeedbackDue) this.#judgeLoss(inFlight, lost, now);
  }

  /** A loss by itself means nothing here; marks of ECN are told by the same call. */
  onCongestion(): void {
    this.#lossesInRound += 1;
  }

  onPersistentCongestion(): void {
    this.window = this.#minPipe;
  }

  setDatagramBytes(bytes: number): void {
    this.#datagramBytes = bytes;
    this.window = Math.max(this.window, this.#minPipe);
  }

  onAckDone(inFlight: number, _rtt: RttEstimator, now: Ms): void {
    const sample = this.#rate.take(this.#minRtt === Infinity ? 0 : this.#minRtt);
    if (sample === null) return;
    this.#onRound(sample);
    this.#onSample(sample);
    this.#onStartup(sample);
    if (this.#state === 'drain' && inFlight <= this.#bdp()) this.#enterDown(now);
    this.#onProbing(sample, inFlight, now);
    this.#onProbeRtt(inFlight, now);
    this.#setPace();
    this.#setWindow(sample);
  }

  get #minPipe(): number {
    return MIN_PIPE_DATAGRAMS * this.#datagramBytes;
  }

  get #bandwidth(): number {
    return Math.min(Math.max(...this.#maxBandwidth), this.#bandwidthShort);
  }

  #bdp(gain = 1): number {
    if (this.#minRtt === Infinity) return initialWindow(this.#datagramBytes);
    return Math.max(gain * this.#bandwidth * this.#minRtt, this.#minPipe);
  }

  #onRound({ priorDelivered }: RateSample): void {
    this.#isRoundStart = priorDelivered >= this.#roundEndsAt;
    if (!this.#isRoundStart) return;
    this.#roundEndsAt = this.#rate.delivered;
    this.#rounds += 1;
    this.#probeRounds += 1;
  }

  /** Bandwidth, and what losses of the round before have to say about it. */
  #onSample({ rate, delivered, isAppLimited, priorDelivered }: RateSample): void {
    this.#bandwidthLatest = Math.max(this.#bandwidthLatest, rate);
    this.#inflightLatest = Math.max(this.#inflightLatest, delivered);
    const [now, before] = this.#maxBandwidth;
    if (rate > 0 && (!isAppLimited || rate >= Math.max(now, before)))
      this.#maxBandwidth = [Math.max(now, rate), before];
    if (priorDelivered < this.#lossRoundEndsAt) return;
    this.#lossRoundEndsAt = this.#rate.delivered;
    const isProbing = this.#state === 'refill' || this.#state === 'up' || this.#state === 'startup';
    if (this.#lossesInRound > 0 && !isProbing) {
      const short = this.#bandwidthShort === Infinity ? Math.max(...this.#maxBandwidth) : this.#bandwidthShort;
      const inflight = this.#inflightShort === Infinity ? this.window : this.#inflightShort;
      this.#bandwidthShort = Math.max(this.#bandwidthLatest, BETA * short);
      this.#inflightShort = Math.max(this.#inflightLatest, BETA * inflight);
    }
    if (this.#state !== 'startup') this.#lossesInRound = 0;
    this.#bandwidthLatest = rate;
    this.#inflightLatest = delivered;
  }

  /** The pipe is full when three rounds brought no quarter more, or when too much is lost. */
  #onStartup(sample: RateSample): void {
    if (this.#state !== 'startup' || !this.#isRoundStart) return;
    const bandwidth = Math.max(...this.#maxBandwidth);
    if (!sample.isAppLimited) {
      if (bandwidth >= this.#fullBandwidth * STARTUP_GROWTH) {
        this.#fullBandwidth = bandwidth;
        this.#fullRounds = 0;
      } else this.#fullRounds += 1;
    }
    const isTooMuch = sample.lost > LOSS_THRESHOLD * sample.inFlightAtSend && this.#lossesInRound >= STARTUP_LOSSES;
    if (isTooMuch) this.#inflightLong = Math.max(this.#bdp(), this.#inflightLatest);
    this.#lossesInRound = 0;
    if (this.#fullRounds < STARTUP_ROUNDS && !isTooMuch) return;
    this.#isFull = true;
    this.#state = 'drain';
  }

  #onProbing(sample: RateSample, inFlight: number, now: Ms): void {
    this.#learnLong(sample);
    switch (this.#state) {
      case 'down':
        if (this.#isTimeToProbe(now)) this.#enterRefill();
        else if (inFlight <= Math.min(this.#withHeadroom, this.#bdp())) this.#state = 'cruise';
        return;
      case 'cruise':
        if (this.#isTimeToProbe(now)) this.#enterRefill();
        return;
      case 'refill':
        // One round trip at the full pace, so that what comes next shows in the queue and nowhere else.
        if (this.#isRoundStart && this.#rounds > this.#phaseRound) this.#enterUp();
        return;
      case 'up':
        if (this.#isProbedEnough(sample)) this.#enterDown(now);
        return;
      default:
    }
  }

  /** What was on its way without too much loss is no bound; in `up` the bound itself is pushed. */
  #learnLong(sample: RateSample): void {
    const { lost, inFlightAtSend, newlyAcked } = sample;
    if (this.#isFeedbackDue && this.#state !== 'up' && this.#rounds > this.#phaseRound + 1) {
      this.#endCycle();
    }
    if (this.#inflightLong === Infinity || lost > LOSS_THRESHOLD * inFlightAtSend) return;
    this.#inflightLong = Math.max(this.#inflightLong, inFlightAtSend);
    if (this.#state !== 'up') return;
    if (this.#isRoundStart) this.#upRounds += 1;
    this.#upAcked += newlyAcked;
    const each = Math.max(this.window / 2 ** Math.min(this.#upRounds, 30), this.#datagramBytes);
    const steps = Math.floor(this.#upAcked / each);
    this.#upAcked -= steps * each;
    this.#inflightLong += steps * this.#datagramBytes;
  }

  #judgeLoss(inFlight: number, lost: number, now: Ms): void {
    if (lost <= LOSS_THRESHOLD * inFlight) return;
    this.#inflightLong = Math.max(inFlight, BETA * Math.min(this.#bdp(), this.window));
    if (this.#state === 'up') this.#enterDown(now);
    this.#endCycle();
  }

  /** What the probe had to say is known: its bandwidth stands beside that of the cycle before. */
  #endCycle(): void {
    this.#isFeedbackDue = false;
    const [now, before] = this.#maxBandwidth;
    this.#maxBandwidth = [0, now > 0 ? now : before];
  }

  /** No more comes although more is sent: a quarter more is on its way for a round trip at least. */
  #isProbedEnough({ isAppLimited }: RateSample): boolean {
    if (!this.#isRoundStart || this.#rounds <= this.#phaseRound) return false;
    const bandwidth = Math.max(...this.#maxBandwidth);
    if (bandwidth >= this.#fullBandwidth * STARTUP_GROWTH) {
      this.#fullBandwidth = bandwidth;
      this.#fullRounds = 0;
      return false;
    }
    if (!isAppLimited) this.#fullRounds += 1;
    return this.#fullRounds >= STARTUP_ROUNDS;
  }

  #isTimeToProbe(now: Ms): boolean {
    const rounds = Math.min(MOST_PROBE_ROUNDS, this.#bdp() / this.#datagramBytes);
    return now >= this.#probeAt || this.#probeRounds >= rounds;
  }

  #enterDown(now: Ms): void {
    if (this.#state === 'up') this.#isFeedbackDue = true;
    this.#state = 'down';
    this.#probeRounds = 0;
    this.#phaseRound = this.#rounds;
    this.#cycles += 1;
    this.#probeAt = now + PROBE_WAIT_MS + ((this.#cycles * 379) % PROBE_WAIT_SPREAD_MS);
  }

  #enterRefill(): void {
    this.#state = 'refill';
    this.#inflightShort = Infinity;
    this.#bandwidthShort = Infinity;
    this.#phaseRound = this.#rounds;
    this.#upRounds = 0;
    this.#upAcked = 0;
  }

  #enterUp(): void {
    this.#state = 'up';
    this.#phaseRound = this.#rounds;
    this.#fullBandwidth = Math.max(...this.#maxBandwidth);
    this.#fullRounds = 0;
  }

  get #withHeadroom(): number {
    return this.#inflightLong === Infinity ? Infinity : Math.max(HEADROOM * this.#inflightLong, this.#minPipe);
  }

  #onRtt(latest: Ms, now: Ms): void {
    const isOld = now > this.#probeRttMinAt + PROBE_RTT_EVERY_MS;
    if (isOld && this.#probeRttMin !== Infinity) this.#isProbeRttDue = true;
    if (isOld || latest < this.#probeRttMin) {
      this.#probeRttMin = latest;
      this.#probeRttMinAt = now;
    }
    if (this.#probeRttMin > this.#minRtt && now <= this.#minRttAt + MIN_RTT_VALID_MS) return;
    this.#minRtt = this.#probeRttMin;
    this.#minRttAt = this.#probeRttMinAt;
  }

  /** Every 5 s the pipe is drained for 200 ms to see how long the path is without a queue, unless it was seen by itself. */
  #onProbeRtt(inFlight: number, now: Ms): void {
    const isDue = this.#isProbeRttDue;
    this.#isProbeRttDue = false;
    if (this.#state !== 'probe-rtt') {
      if (!isDue) return;
      this.#priorWindow = this.window;
      this.#state = 'probe-rtt';
      this.#probeRttUntil = null;
      return;
    }
    if (this.#probeRttUntil === null) {
      if (inFlight > this.#bdp(GAINS['probe-rtt'].window)) return;
      this.#probeRttUntil = now + Math.max(PROBE_RTT_MS, this.#minRtt);
    } else if (now >= this.#probeRttUntil) {
      this.#probeRttMinAt = now;
      this.window = Math.max(this.window, this.#priorWindow);
      this.#inflightShort = Infinity;
      this.#bandwidthShort = Infinity;
      if (this.#isFull) {
        this.#enterDown(now);
        this.#state = 'cruise';
      } else this.#state = 'startup';
    }
  }

  #setPace(): void {
    const rate = GAINS[this.#state].pacing * this.#bandwidth * PACING_MARGIN;
    if (rate > 0 && (this.#isFull || rate > (this.#pacingRate ?? 0))) this.#pacingRate = rate;
  }

  #setWindow({ newlyAcked }: RateSample): void {
    const quantum = this.#state === 'probe-rtt' ? 0 : QUANTUM_DATAGRAMS * this.#datagramBytes;
    const wanted = this.#bdp(GAINS[this.#state].window) + quantum;
    if (this.#isFull) this.window = Math.min(this.window + newlyAcked, wanted);
    else if (this.window < wanted || this.#rate.delivered < initialWindow(this.#datagramBytes))
      this.window += newlyAcked;
    const isResting = this.#state === 'cruise' || this.#state === 'probe-rtt';
    const most = Math.min(isResting ? this.#withHeadroom : this.#inflightLong, this.#inflightShort);
    this.window = Math.max(Math.min(this.window, most), this.#minPipe);
  }
}
