import { z } from 'zod';
import { INTERFACE_KINDS } from '../base/interface.js';
import { ARM_NAMES } from '../mutation/names.js';
import { fields, listOf, word } from '../yaml/fields.js';
import * as quantity from '../yaml/quantities.js';

/**
 * A behaviour profile as its file has it (docs/profiles.md): when somebody else's program asks what of whom. What a far
 * end sends is read with the same schema: everything in it is bounded.
 */

const optional = z.exactOptional;
const FAMILIES = ['ipv4', 'ipv6'] as const;
export const PROFILE_MOST = { relays: 16, probes: 64, trains: 8, perTrain: 64, bytes: 1200, sentences: 12 } as const;

const sentence = quantity.readable('a sentence of at most 500 characters', (text) =>
  text !== '' && text.length <= 500 ? text : null,
);
/** The first 16 bits of a message: class and method (RFC 8489 §5); the top two are 0. */
const messageType = quantity.readable('a message type, like 0x0801', (text) => {
  const type = /^0x[0-9a-f]{4}$/i.test(text) ? Number(text) : Infinity;
  return type <= 0x3fff ? type : null;
});
const attributeType = quantity.readable('an attribute, like 0x4024', (text) =>
  /^0x[0-9a-f]{4}$/i.test(text) ? Number(text) : null,
);
/** No profile may make an end send faster than this. */
const LEAST_GAP_MS = 5;
const gap = quantity.duration.refine((ms) => ms >= LEAST_GAP_MS, { error: `takes ${LEAST_GAP_MS} ms at least` });
const families = listOf(word(FAMILIES), FAMILIES.length);
const who = word(['caller', 'callee', 'both']);
const probes = quantity.integer(0, PROFILE_MOST.probes);
const bytes = quantity.byteCount.refine((count) => count <= PROFILE_MOST.bytes, {
  error: `takes ${PROFILE_MOST.bytes} bytes at most`,
});

export const profileSchema = fields({
  title: sentence,
  observed: listOf(sentence, PROFILE_MOST.sentences),
  /** `all`, or kinds in order: the first that is there is used, the others are idle. */
  interfaces: z.union([z.literal('all'), listOf(word(INTERFACE_KINDS), INTERFACE_KINDS.length)]),
  /** Which family is tried first. */
  families,
  /** Whether all sockets of a call have one port, also those of an interface that comes back. */
  sockets: optional(word(['one-port-per-call', 'any-port'])),
  /** Relay servers: several asked at once, the fastest answer is used. */
  relay: optional(
    fields({
      count: quantity.integer(1, PROFILE_MOST.relays),
      /** All are asked within this. */
      burst: quantity.duration,
      copies: quantity.integer(1, 4),
      request: messageType,
      reply: messageType,
      /** Attribute 0x4000, and others that stand beside it. */
      token: bytes,
      attributes: optional(listOf(attributeType, 8)),
      families,
    }),
  ),
  /** Whether a STUN server is asked for the reflexive address. */
  gather: quantity.yesOrNo,
  direct: fields({
    /** `same-link`: only where both ends have an address of one network. */
    where: word(['anywhere', 'same-link']),
    /** Since the call began. */
    after: quantity.duration,
    /** Between two probes of one address; `doubles`: each time twice as long. */
    every: gap,
    doubles: quantity.yesOrNo,
    most: probes,
    /** Between any two probes (Ta of RFC 8445). */
    pace: quantity.duration,
    /** After the last probe, until the address is given up. */
    wait: quantity.duration,
    /** One that is found ends the search for others. */
    'stop-on-first': quantity.yesOrNo,
    /** Who is probed probes back at once. */
    triggered: quantity.yesOrNo,
    /** What a probe has: MESSAGE-INTEGRITY alone, or what RFC 8445 asks for. */
    attributes: word(['integrity', 'ice']),
    /** Other figures for IPv4 out of a cellular network. */
    'from-cellular': optional(fields({ every: gap, most: probes })),
    /** In what form probes go that have a cellular end. */
    'cellular-arm': optional(word(ARM_NAMES)),
  }),
  keepalive: optional(
    fields({
      active: optional(
        fields({
          /** Since the path is in use; `first-cellular` where both of its ends are cellular. */
          first: gap,
          'first-cellular': optional(gap),
          every: gap,
          by: who,
          /** PRIORITY. */
          priority: optional(quantity.integer(0, 999_999_999)),
        }),
      ),
      idle: optional(fields({ every: gap, request: messageType, reply: messageType })),
    }),
  ),
  /** Packets to a relay, one after the other under one transaction id. */
  trains: z
    .array(
      fields({
        after: quantity.duration,
        on: word(['idle', 'active']),
        by: who,
        count: quantity.integer(1, PROFILE_MOST.perTrain),
        gap,
        request: messageType,
        reply: messageType,
        /** Of the whole message. */
        length: bytes,
      }),
    )
    .max(PROFILE_MOST.trains, { error: `has more than ${PROFILE_MOST.trains} trains` })
    .prefault([]),
  /** The interface of the path in use is gone. */
  down: fields({
    /** `relay`: over what is left, and no more probes; `gather`: everything anew; `nothing`. */
    then: word(['relay', 'gather', 'nothing']),
    /** No sooner does a new relay carry anything. */
    rebuild: quantity.duration,
  }),
  /** A better interface is there again. */
  up: fields({
    relay: quantity.yesOrNo,
    /** Who probes again. */
    probes: word(['nobody', 'changed', 'both']),
    /** Whether an end whose own interfaces did not change answers then. */
    'unchanged-answers': quantity.yesOrNo,
  }),
  /** Sent to every relay at the end. */
  end: optional(messageType),
  /** What it does where no path was found: it is told, not done. */
  otherwise: optional(sentence),
});

export type Profile = z.output<typeof profileSchema>;
