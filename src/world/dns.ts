import dns from 'dns-packet';
import type { Family } from '../base/address.js';
import { viewOf } from '../base/bytes.js';
import type { Ms } from '../base/time.js';
import { across, type Box, type Emit, IcmpBudget, type Side } from './box.js';
import { embed } from './nat64.js';
import { destinationOf, echoReply, icmpError, isEchoRequest, type Packet, sourceOf, udpPacket } from './packet.js';

/** The names of a world, in lower case and without a dot at the end, and the addresses that they have. */
export type Zone = Readonly<Record<string, Readonly<Partial<Record<Family, readonly string[]>>>>>;

/** RFC 7050 §2.2: by its AAAA a host finds the NAT64 prefix of its network; it has none of its own. */
export const IPV4_ONLY: Zone = { 'ipv4only.arpa': { ipv4: ['192.0.0.170', '192.0.0.171'] } };

const PORT = 53;
const TTL_SECONDS = 300;
/** RFC 1035 §4.1.1. */
const RCODES = { noError: 0, formatError: 1, nameError: 3, notImplemented: 4, refused: 5 } as const;
const FLAGS = { response: 0x8000, operation: 0x7800 } as const;
/** What comes back as it was asked: recursion desired, checking disabled (RFC 4035 §3.2.2). */
const ECHOED_FLAGS = dns.RECURSION_DESIRED | dns.CHECKING_DISABLED;
/** Of ours, on the wire nothing else comes: what needs escapes in text is nobody's name here. */
const PLAIN_NAME = /^(?:[\w-]{1,63}(?:\.|$))+$/;
const MOST_NAME_CHARACTERS = 253;
/** What is sent without being fragmented; longer queries are nonsense. */
const UDP_PAYLOAD_BYTES = 1232;
const HEADER_BYTES = 12;

/**
 * A resolver's answer to one DNS message (RFC 1035), with AAAA records made from A records for `dns64Prefix` where a
 * name has no others (RFC 6147). `null`: it is no query, and not answered.
 */
export function answerQuery(message: Uint8Array, zone: Zone, dns64Prefix: string | null): Uint8Array | null {
  if (message.length < HEADER_BYTES) return null;
  const [id, flags] = [viewOf(message).getUint16(0), viewOf(message).getUint16(2)];
  if ((flags & FLAGS.response) !== 0) return null;
  const reply = (rcode: number, more: dns.Packet = {}): Uint8Array =>
    Uint8Array.from(
      dns.encode({
        type: 'response',
        id,
        // The operation is that of the query, also where it is not known here.
        flags: (flags & FLAGS.operation) | (flags & ECHOED_FLAGS) | dns.RECURSION_AVAILABLE | rcode,
        ...more,
      }),
    );
  if ((flags & FLAGS.operation) !== 0) return reply(RCODES.notImplemented);
  const query = message.length > UDP_PAYLOAD_BYTES ? null : decoded(message);
  const [question, another] = query?.questions ?? [];
  if (!query || !question || another || !isPlain(question.name)) return reply(RCODES.formatError);
  const edns = query.additionals?.find(({ type }) => type === 'OPT') as dns.OptAnswer | undefined;
  const echoed = { questions: [question], additionals: edns ? [OPT] : [] };
  if (question.class !== 'IN') return reply(RCODES.refused, echoed);
  // RFC 6147 §3: who checks signatures cannot use what was made here.
  const validates = query.flag_cd && edns?.flag_do === true;
  const found = find(question, zone, validates ? null : dns64Prefix);
  return found === null ? reply(RCODES.nameError, echoed) : reply(RCODES.noError, { ...echoed, answers: found });
}

const OPT: dns.OptAnswer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: UDP_PAYLOAD_BYTES,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

function decoded(message: Uint8Array): dns.DecodedPacket | null {
  try {
    return dns.decode(Buffer.from(message.buffer, message.byteOffset, message.length));
  } catch {
    return null;
  }
}

function isPlain(name: string): boolean {
  return name === '.' || (name.length <= MOST_NAME_CHARACTERS && PLAIN_NAME.test(name));
}

/** The records of a name, none where it has none of the type; `null`: there is no such name. */
function find({ name, type }: dns.Question, zone: Zone, dns64Prefix: string | null): dns.Answer[] | null {
  const wanted = name.toLowerCase();
  const addresses = Object.hasOwn(zone, wanted) ? zone[wanted] : undefined;
  const isAbove = wanted === '.' || Object.keys(zone).some((known) => known.endsWith(`.${wanted}`));
  if (!addresses) return isAbove ? [] : null;
  const { ipv4 = [], ipv6 = [] } = addresses;
  const record = (kind: 'A' | 'AAAA') => (data: string) => ({ type: kind, name, ttl: TTL_SECONDS, data });
  if (type === 'A') return ipv4.map(record('A'));
  if (type !== 'AAAA') return [];
  const synthesised = dns64Prefix === null ? [] : ipv4.map((address) => embed(address, dns64Prefix));
  return (ipv6.length > 0 ? ipv6 : synthesised).map(record('AAAA'));
}

export interface ResolverOptions {
  /** Its own; it answers UDP queries to them. */
  readonly addresses: Readonly<Partial<Record<Family, string>>>;
  readonly zone: Zone;
  /** The prefix of the NAT64 that it works for (DNS64); `null`: it invents nothing. */
  readonly dns64Prefix: string | null;
}

/** A carrier's resolver, for its customers alone. */
export class Resolver implements Box {
  readonly #options: ResolverOptions;
  readonly #budget = new IcmpBudget();

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  handle(packet: Packet, from: Side, now: Ms, emit: Emit): void {
    const { addresses, zone, dns64Prefix } = this.#options;
    if (from === 'outside' || packet.destination !== addresses[packet.family]) {
      emit(packet, across(from));
      return;
    }
    if (isEchoRequest(packet)) emit(echoReply(packet), from);
    if (packet.protocol !== 'udp') return;
    if (packet.destinationPort === PORT) {
      const answer = answerQuery(packet.payload, zone, dns64Prefix);
      if (answer) emit(udpPacket(destinationOf(packet), sourceOf(packet), answer), from);
      return;
    }
    const error = icmpError(packet, packet.destination, 'port-unreachable');
    if (error && this.#budget.take(error.destination, now)) emit(error, from);
  }
}
