import { type Machine, Queue } from '../base/machine.js';
import { earliest, NEVER, type Ms } from '../base/time.js';
import { TcpReceiver } from './tcp-receiver.js';
import {
  flagsOf,
  has,
  LEAST_MSS_BYTES,
  lengthOf,
  mssOf,
  mssOption,
  offsetOf,
  sequenceOf,
  type TcpSegment,
} from './tcp-segment.js';
import { type TcpPiece, TcpSender } from './tcp-sender.js';

export type TcpInput =
  /** Active open. Without it a connection waits for a SYN. */
  | { readonly type: 'connect' }
  | { readonly type: 'segment'; readonly segment: TcpSegment }
  | { readonly type: 'write'; readonly bytes: Uint8Array }
  /** Nothing more will be written: `shutdown(SHUT_WR)`. */
  | { readonly type: 'end' }
  /** Nobody will write or read any more: `close`, or the end of the process. */
  | { readonly type: 'close' }
  /** `close` with a linger time of 0. */
  | { readonly type: 'abort' }
  /** Whether data may be told; what comes meanwhile fills the window. */
  | { readonly type: 'read'; readonly reads: boolean }
  /** What an ICMP error or the host itself said about a segment that was sent. */
  | { readonly type: 'unreachable'; readonly code: string; readonly sequence: number }
  | { readonly type: 'too-big'; readonly mssBytes: number; readonly sequence: number }
  | { readonly type: 'timeout' };

export type TcpOutput =
  | { readonly type: 'segment'; readonly segment: TcpSegment }
  | { readonly type: 'open' }
  | { readonly type: 'data'; readonly bytes: Uint8Array }
  /** The far end writes nothing more. */
  | { readonly type: 'end' }
  /** By the kernel's name. */
  | { readonly type: 'failed'; readonly code: string };

export interface TcpConnectionOptions {
  readonly initialSequence: number;
  /** What a segment may hold on the way as far as it is known. */
  readonly mssBytes: number;
  /** What the far end takes when it does not say (RFC 9293 §3.7.1). */
  readonly defaultMssBytes: number;
}

/** `established` up to the last FIN: which of them went is known to sender and receiver. */
type State = 'listen' | 'syn-sent' | 'syn-received' | 'established' | 'time-wait' | 'closed';

/** How often Linux sends again before it gives up: `tcp_syn_retries`, `tcp_synack_retries`, `tcp_retries2`. */
const RETRIES: Readonly<Partial<Record<State, number>>> = { 'syn-sent': 6, 'syn-received': 5, established: 15 };
/** How long Linux waits for a second segment to acknowledge with the first. */
const DELAYED_ACK_MS: Ms = 40;
/** Linux: in TIME-WAIT, and in FIN-WAIT-2 where nobody is left to read. */
const LINGER_MS: Ms = 60_000;
/** Linux, `tcp_invalid_ratelimit`. */
const CHALLENGE_MS: Ms = 500;
const NOTHING: Uint8Array = new Uint8Array(0);

/**
 * One end of a TCP connection (RFC 9293), as Linux has it without timestamps, window scaling and selective
 * acknowledgments, and with TCP_NODELAY. `isClosed` once nothing more will ever come of it.
 */
export class TcpConnection implements Machine<TcpInput, TcpOutput> {
  readonly #options: TcpConnectionOptions;
  readonly #sender: TcpSender;
  readonly #receiver = new TcpReceiver();
  readonly #outputs = new Queue<TcpOutput>();
  #state: State = 'listen';
  #initialRemote = 0;
  #now: Ms = 0;
  #isAckDue = false;
  #ackAt: Ms = NEVER;
  #lingerUntil: Ms = NEVER;
  #nextChallengeAt: Ms = 0;
  /** Of the far end's segment that last said its window. */
  #windowFrom = 0;
  #reads = true;
  #isEndTold = false;
  /** Closed by its user. */
  #isOrphan = false;
  #endedFirst = false;
  /** RFC 5461: what an ICMP error said while the connection was up; the reason when it times out. */
  #soft: string | null = null;

  constructor(options: TcpConnectionOptions) {
    this.#options = options;
    this.#sender = new TcpSender(options.mssBytes);
  }

  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** How much a segment may hold by now. */
  get mssBytes(): number {
    return this.#sender.mssBytes;
  }

  handle(input: TcpInput, now: Ms): void {
    if (this.isClosed) return;
    this.#now = now;
    switch (input.type) {
      case 'connect':
        this.#state = 'syn-sent';
        break;
      case 'segment':
        this.#take(input.segment);
        break;
      case 'write':
        this.#sender.write(input.bytes);
        break;
      case 'end':
        this.#sender.end();
        break;
      case 'close':
        this.#close();
        break;
      case 'abort':
        this.#abort();
        break;
      case 'read':
        this.#read(input.reads);
        break;
      case 'unreachable':
        if (!this.#isUnderWay(input.sequence)) break;
        if (this.#state === 'established') this.#soft = input.code;
        else if (this.#state !== 'time-wait') this.#fail(input.code);
        break;
      case 'too-big':
        if (this.#isUnderWay(input.sequence)) this.#sender.shrink(Math.max(LEAST_MSS_BYTES, input.mssBytes));
        break;
      case 'timeout':
        this.#timeout();
    }
    this.#deliver();
    this.#finish();
  }

  poll(): TcpOutput | undefined {
    const output = this.#outputs.shift();
    if (output || this.isClosed || this.#state === 'listen' || this.#state === 'time-wait') {
      return output ?? this.#acknowledge();
    }
    const piece = this.#sender.next(this.#now);
    return piece ? this.#segment(piece) : this.#acknowledge();
  }

  deadline(): Ms {
    if (this.isClosed) return NEVER;
    return earliest(this.#sender.deadline, this.#ackAt, this.#lingerUntil);
  }

  /** Whether `segment` begins a new connection of the same ends, which this one's remains may not keep from (RFC 6191). */
  isReplacedBy({ header }: TcpSegment): boolean {
    if (this.#state !== 'time-wait' || !has(header, 'syn') || has(header, 'ack')) return false;
    return this.#remoteOffset(header.sequence) > this.#receiver.next;
  }

  #segment(piece: TcpPiece): TcpOutput {
    if (piece.fin && !this.#receiver.isEnded) this.#endedFirst = true;
    const flags =
      flagsOf(...(piece.syn ? (['syn'] as const) : []), ...(piece.fin ? (['fin'] as const) : [])) |
      (piece.last && piece.bytes.length > 0 ? flagsOf('psh') : 0) |
      (this.#state === 'syn-sent' ? 0 : flagsOf('ack'));
    const options = piece.syn ? mssOption(this.#options.mssBytes) : NOTHING;
    return this.#say(piece.offset, flags, options, piece.bytes);
  }

  #acknowledge(): TcpOutput | undefined {
    if (!this.#isAckDue || this.isClosed) return undefined;
    return this.#say(this.#sender.fresh, flagsOf('ack'));
  }

  /** Whatever is said acknowledges what was heard. */
  #say(offset: number, flags: number, options = NOTHING, payload = NOTHING): TcpOutput {
    this.#isAckDue = false;
    this.#ackAt = NEVER;
    const isAck = (flags & flagsOf('ack')) !== 0;
    const header = {
      sequence: sequenceOf(offset, this.#options.initialSequence),
      acknowledgment: isAck ? sequenceOf(this.#receiver.next, this.#initialRemote) : 0,
      flags,
      window: this.#receiver.windowBytes,
      options,
    };
    return { type: 'segment', segment: { header, payload } };
  }

  #take(segment: TcpSegment): void {
    switch (this.#state) {
      case 'listen':
        if (has(segment.header, 'syn')) this.#synchronize(segment, 'syn-received');
        return;
      case 'syn-sent':
        this.#answered(segment);
        return;
      default:
        this.#synchronized(segment);
    }
  }

  #synchronize({ header }: TcpSegment, state: 'syn-received' | 'established'): void {
    this.#state = state;
    this.#initialRemote = header.sequence;
    this.#receiver.next = 1;
    this.#windowFrom = 0;
    this.#sender.negotiate(Math.max(LEAST_MSS_BYTES, mssOf(header) ?? this.#options.defaultMssBytes));
    this.#sender.open(header.window, this.#now);
  }

  /** RFC 9293 §3.10.7.3. */
  #answered(segment: TcpSegment): void {
    const { header } = segment;
    const isAck = has(header, 'ack');
    const acknowledged = this.#localOffset(header.acknowledgment);
    if (isAck && acknowledged !== 1) {
      if (!has(header, 'rst')) this.#outputs.push(this.#say(acknowledged, flagsOf('rst')));
    } else if (has(header, 'rst')) {
      if (isAck) this.#fail('ECONNREFUSED');
    } else if (has(header, 'syn') && isAck) {
      this.#synchronize(segment, 'established');
      this.#sender.acknowledge(1, false, this.#now);
      this.#isAckDue = true;
      this.#tell({ type: 'open' });
    } else if (has(header, 'syn')) {
      // Both ends opened at once (RFC 9293 §3.5).
      this.#synchronize(segment, 'syn-received');
      this.#sender.repeat();
    }
  }

  /** RFC 9293 §3.10.7.4, with the challenges of RFC 5961. */
  #synchronized(segment: TcpSegment): void {
    const { header, payload } = segment;
    const offset = this.#remoteOffset(header.sequence);
    const isAcceptable = this.#receiver.accepts(offset, lengthOf(segment));
    if (has(header, 'rst')) {
      if (offset === this.#receiver.next && this.#state !== 'time-wait') this.#reset();
      else if (isAcceptable) this.#challenge(segment);
      return;
    }
    if (!isAcceptable || has(header, 'syn')) {
      if (this.#state === 'syn-received' && has(header, 'syn') && offset === 0) this.#sender.repeat();
      else this.#challenge(segment);
      if (this.#state === 'time-wait' && has(header, 'fin')) this.#lingerUntil = this.#now + LINGER_MS;
      // The answer of a far end that opened at the same time repeats its SYN (RFC 9293 §3.5).
      if (this.#state !== 'syn-received' || !has(header, 'syn')) return;
    }
    if (!has(header, 'ack')) return;
    const acknowledged = this.#localOffset(header.acknowledgment);
    if (this.#state === 'syn-received') {
      if (acknowledged < 1 || acknowledged > this.#sender.fresh) {
        this.#outputs.push(this.#say(acknowledged, flagsOf('rst')));
        return;
      }
      this.#state = 'established';
      this.#tell({ type: 'open' });
    }
    if (acknowledged > this.#sender.fresh) {
      this.#challenge(segment);
      return;
    }
    if (acknowledged >= this.#sender.una) {
      const isBare = lengthOf(segment) === 0;
      const isNews = offset >= this.#windowFrom && this.#sender.open(header.window, this.#now);
      this.#windowFrom = Math.max(this.#windowFrom, offset);
      this.#sender.acknowledge(acknowledged, isBare && !isNews, this.#now);
    }
    if (isAcceptable) this.#receive(offset, payload, has(header, 'fin'));
  }

  /** Says where this end stands; seldom to what says nothing, or two ends that disagree would go on for ever. */
  #challenge(segment: TcpSegment): void {
    if (segment.payload.length === 0) {
      if (this.#now < this.#nextChallengeAt) return;
      this.#nextChallengeAt = this.#now + CHALLENGE_MS;
    }
    this.#isAckDue = true;
  }

  #receive(offset: number, payload: Uint8Array, fin: boolean): void {
    const receiver = this.#receiver;
    if ((payload.length === 0 && !fin) || receiver.isEnded) return;
    // Nobody is left who could read it (RFC 9293 §3.6.1, RFC 2525 §2.17).
    if (this.#isOrphan && offset + payload.length > receiver.next) {
      this.#abort();
      return;
    }
    const hadGap = receiver.hasGap;
    const before = receiver.next;
    const isNext = receiver.take(offset, payload, fin);
    const wasCut = receiver.next < offset + payload.length;
    // Gaps are told of and closed at once, and every second segment is (RFC 5681 §4.2).
    if (!isNext || hadGap || wasCut || fin || receiver.next === before || this.#ackAt !== NEVER) this.#isAckDue = true;
    else this.#ackAt = this.#now + DELAYED_ACK_MS;
  }

  #deliver(): void {
    if (!this.#reads || this.isClosed) return;
    for (let bytes = this.#receiver.fetch(); bytes; bytes = this.#receiver.fetch()) this.#tell({ type: 'data', bytes });
    if (!this.#receiver.isEnded || this.#isEndTold) return;
    this.#isEndTold = true;
    this.#tell({ type: 'end' });
  }

  /** Both have said all and heard all. */
  #finish(): void {
    if (this.#state !== 'established' || !this.#sender.isFinAcknowledged) return;
    if (this.#receiver.isEnded) {
      this.#ackAt = NEVER;
      if (this.#endedFirst) {
        this.#state = 'time-wait';
        this.#lingerUntil = this.#now + LINGER_MS;
      } else this.#state = 'closed';
    } else if (this.#isOrphan && this.#lingerUntil === NEVER) this.#lingerUntil = this.#now + LINGER_MS;
  }

  #timeout(): void {
    if (this.#now >= this.#ackAt) this.#isAckDue = true;
    if (this.#now >= this.#lingerUntil) this.#state = 'closed';
    const limit = RETRIES[this.#state];
    if (this.#now < this.#sender.deadline || limit === undefined) return;
    if (this.#sender.expiries >= limit) this.#fail(this.#soft ?? 'ETIMEDOUT');
    // As Linux asks: with an old sequence number, which has to be answered.
    else if (this.#sender.expire(this.#now) === 'probe') {
      this.#outputs.push(this.#say(this.#sender.una - 1, flagsOf('ack')));
    }
  }

  #read(reads: boolean): void {
    const wasShut = reads && !this.#reads && this.#receiver.hasUnread;
    this.#reads = reads;
    // The far end must hear that there is room again.
    if (wasShut) this.#isAckDue = true;
  }

  #close(): void {
    if (this.#state === 'listen' || this.#state === 'syn-sent') this.#state = 'closed';
    // Unread data would be lost without anybody knowing (RFC 2525 §2.17).
    else if (this.#receiver.hasUnread) this.#abort();
    else {
      this.#isOrphan = true;
      this.#sender.end();
    }
  }

  #abort(): void {
    if (this.#state !== 'listen' && this.#state !== 'syn-sent' && this.#state !== 'time-wait') {
      this.#outputs.push(this.#say(this.#sender.fresh, flagsOf('rst', 'ack')));
    }
    this.#state = 'closed';
  }

  #reset(): void {
    // Whoever has heard the far end's FIN learns of it with its next write.
    this.#fail(this.#receiver.isEnded ? 'EPIPE' : 'ECONNRESET');
  }

  #fail(code: string): void {
    this.#state = 'closed';
    this.#tell({ type: 'failed', code });
  }

  #tell(output: TcpOutput): void {
    if (!this.#isOrphan) this.#outputs.push(output);
  }

  #isUnderWay(sequence: number): boolean {
    const offset = this.#localOffset(sequence);
    return offset >= this.#sender.una && offset < this.#sender.fresh;
  }

  #localOffset(sequence: number): number {
    return offsetOf(sequence, this.#options.initialSequence, this.#sender.una);
  }

  #remoteOffset(sequence: number): number {
    return offsetOf(sequence, this.#initialRemote, this.#receiver.next);
  }
}
