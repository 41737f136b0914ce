import { addressBytes, type Family } from '../base/address.js';
import { equalBytes } from '../base/bytes.js';
import type { Ms } from '../base/time.js';
import { DEFAULT_FLOWS, FlowTable } from './bounded.js';
import { across, type Box, type Emit, IcmpBudget, type Side } from './box.js';
import { type ClassifierName, CLASSIFIERS } from './classifiers.js';
import { icmpError, type IcmpErrorName, isIcmpError, type Packet, type Protocol } from './packet.js';
import { PrefixSet } from './prefix.js';

/** Bytes of the transport payload: `(payload[offset + i] & mask[i]) === value[i]`; a shorter payload does not match. */
export interface BytesMatch {
  readonly offset: number;
  readonly value: readonly number[];
  /** All bits by default. */
  readonly mask?: readonly number[];
}

/** All that are named must hold. "Out" is from the filter's inside to its outside; "remote" the end outside. */
export interface Predicate {
  readonly heading?: 'out' | 'in';
  readonly family?: Family;
  /** UDP by default. */
  readonly protocol?: Protocol | 'any';
  readonly bytes?: readonly BytesMatch[];
  /** What offsets and masks cannot say: the rule of a classifier in use somewhere. */
  readonly classifier?: ClassifierName;
  /** The same for a rule of one's own. */
  readonly payload?: (payload: Uint8Array) => boolean;
  /** Larger than so many bytes of UDP payload. */
  readonly largerThanBytes?: number;
  /** The remote port is one of these. */
  readonly remotePorts?: readonly number[];
  /** The remote port is none of these. */
  readonly remotePortsExcept?: readonly number[];
  /** The remote address is in none of these networks. */
  readonly remoteExcept?: readonly string[];
  /** The first packet of its flow in either direction. */
  readonly firstOfFlow?: boolean;
}

export type FilterAction =
  | { readonly type: 'drop' }
  | { readonly type: 'reject'; readonly error: IcmpErrorName | readonly [number, number]; readonly from: string }
  | { readonly type: 'rewrite'; readonly offset: number; readonly bytes: Uint8Array }
  /**
   * An application-layer gateway on the inside of a NAT: the inside's IPv4 address in a payload that leaves becomes
   * `outside`, and `outside` in one that comes in the inside's.
   */
  | { readonly type: 'translate'; readonly outside: string }
  /** So many packets a second pass, the others are dropped. */
  | { readonly type: 'throttle'; readonly perSecond: number }
  /** The packet is dropped, and so is everything on its tuple for so long; what comes meanwhile does not prolong it. */
  | { readonly type: 'residual'; readonly forMs: Ms };

export interface FilterRule {
  readonly match: Predicate;
  readonly action: FilterAction;
}

interface Rule extends FilterRule {
  readonly except: PrefixSet | null;
  /** Packets that may pass now, and since when. */
  readonly credit: { tokens: number; at: Ms };
  /** Packets that it took. */
  hits: number;
}

/** How much of a second's packets may come at once. */
const BURST_SECONDS = 0.1;

/** After so long without a packet a flow is new again. */
const FLOW_IDLE_MS: Ms = 120_000;

/** What a middlebox does to packets that it recognises; the first rule that matches decides. */
export class Filter implements Box {
  readonly #rules: readonly Rule[];
  readonly #knowsFlows: boolean;
  readonly #flows: FlowTable<{ readonly key: string; expiresAt: Ms }>;
  readonly #blocked: FlowTable;
  readonly #budget = new IcmpBudget();

  /** `capacity`: flows that it remembers; of too many the first are forgotten. */
  constructor(rules: readonly FilterRule[], capacity = DEFAULT_FLOWS) {
    this.#rules = rules.map((rule) => ({
      ...rule,
      except: rule.match.remoteExcept ? new PrefixSet(rule.match.remoteExcept) : null,
      credit: { tokens: rule.action.type === 'throttle' ? burstOf(rule.action.perSecond) : 0, at: 0 },
      hits: 0,
    }));
    this.#flows = new FlowTable(capacity);
    this.#blocked = new FlowTable(capacity);
    this.#knowsFlows = rules.some(({ match }) => match.firstOfFlow === true);
  }

  /** How often each rule matched, in the order of the rules. */
  get hits(): readonly number[] {
    return this.#rules.map(({ hits }) => hits);
  }

  handle(packet: Packet, from: Side, now: Ms, emit: Emit): void {
    // An error is the answer of some box on the way; filters on UDP do not look at it.
    if (isIcmpError(packet)) {
      emit(packet, across(from));
      return;
    }
    const out = from === 'inside';
    if (this.#blocked.size > 0 && this.#blocked.get(flowOf(packet, out), now)) return;
    const isFirst = this.#knowsFlows && this.#isFirst(flowOf(packet, out), now);
    for (const rule of this.#rules) {
      if (!matches(rule, packet, out, isFirst)) continue;
      rule.hits += 1;
      this.#act(rule, packet, from, now, emit);
      return;
    }
    emit(packet, across(from));
  }

  #isFirst(key: string, now: Ms): boolean {
    const flow = this.#flows.get(key, now);
    const expiresAt = now + FLOW_IDLE_MS;
    if (flow) flow.expiresAt = expiresAt;
    else this.#flows.add({ key, expiresAt }, now);
    return flow === null;
  }

  #act({ action, credit }: Rule, packet: Packet, from: Side, now: Ms, emit: Emit): void {
    switch (action.type) {
      case 'drop':
        return;
      case 'reject': {
        const error = icmpError(packet, action.from, action.error);
        if (error && this.#budget.take(error.destination, now)) emit(error, from);
        return;
      }
      case 'rewrite':
        emit({ ...packet, payload: overwritten(packet.payload, action.offset, action.bytes) }, across(from));
        return;
      case 'translate': {
        const isOut = from === 'inside';
        const inside = addressBytes(isOut ? packet.source : packet.destination);
        const outside = addressBytes(action.outside);
        const payload = isOut ? replaced(packet.payload, inside, outside) : replaced(packet.payload, outside, inside);
        emit({ ...packet, payload }, across(from));
        return;
      }
      case 'throttle':
        credit.tokens = Math.min(
          burstOf(action.perSecond),
          credit.tokens + ((now - credit.at) * action.perSecond) / 1000,
        );
        credit.at = now;
        if (credit.tokens < 1) return;
        credit.tokens -= 1;
        emit(packet, across(from));
        return;
      case 'residual':
        this.#blocked.add({ key: flowOf(packet, from === 'inside'), expiresAt: now + action.forMs }, now);
        return;
    }
  }
}

function burstOf(perSecond: number): number {
  return Math.max(1, perSecond * BURST_SECONDS);
}

function matches({ match, except }: Rule, packet: Packet, out: boolean, isFirst: boolean): boolean {
  const { protocol = 'udp' } = match;
  if (protocol !== 'any' && packet.protocol !== protocol) return false;
  if (match.heading !== undefined && (match.heading === 'out') !== out) return false;
  if (match.family !== undefined && match.family !== packet.family) return false;
  if (match.firstOfFlow === true && !isFirst) return false;
  const remotePort = out ? packet.destinationPort : packet.sourcePort;
  if (match.remotePorts?.includes(remotePort) === false) return false;
  if (match.remotePortsExcept?.includes(remotePort) === true) return false;
  if (except?.has(out ? packet.destination : packet.source) === true) return false;
  if (match.largerThanBytes !== undefined && packet.payload.length <= match.largerThanBytes) return false;
  if (match.bytes?.every((one) => hasBytes(packet.payload, one)) === false) return false;
  if (match.classifier !== undefined && !CLASSIFIERS[match.classifier](packet.payload)) return false;
  return match.payload?.(packet.payload) !== false;
}

function hasBytes(payload: Uint8Array, { offset, value, mask }: BytesMatch): boolean {
  return (
    payload.length >= offset + value.length &&
    value.every((byte, index) => ((payload[offset + index] ?? 0) & (mask?.[index] ?? 0xff)) === byte)
  );
}

function overwritten(payload: Uint8Array, offset: number, bytes: Uint8Array): Uint8Array {
  const copy = payload.slice();
  if (offset < copy.length) copy.set(bytes.subarray(0, copy.length - offset), offset);
  return copy;
}

/** The same payload with `there` wherever `here` was; only where both are addresses of one family. */
function replaced(payload: Uint8Array, here: Uint8Array, there: Uint8Array): Uint8Array {
  if (here.length !== there.length) return payload;
  const copy = payload.slice();
  for (let at = 0; at + here.length <= payload.length; at += 1) {
    if (equalBytes(payload.subarray(at, at + here.length), here)) copy.set(there, at);
  }
  return copy;
}

/** Both directions of a flow have one name. */
function flowOf(packet: Packet, out: boolean): string {
  const { protocol, source, sourcePort, destination, destinationPort } = packet;
  return out
    ? `${protocol} ${source} ${sourcePort} ${destination} ${destinationPort}`
    : `${protocol} ${destination} ${destinationPort} ${source} ${sourcePort}`;
}
