import { z } from 'zod';
import { addressBytes } from '../base/address.js';
import { choice, fields, listOf, renamed, word } from '../yaml/fields.js';
import { byteCount, duration, hexBytes, integer, packetRate, readable, yesOrNo } from '../yaml/quantities.js';
import { type ActionDescription, type BoxDescription, SERVER_NETWORKS } from './box-description.js';
import { CLASSIFIER_NAMES } from './classifiers.js';
import { ICMP_ERRORS, type IcmpErrorName } from './packet.js';
import { parsePrefix } from './prefix.js';

/** How scenario files write what carriers are composed of. */

const MOST_BOXES = 16;
const MOST_RULES = 32;
const MOST_BYTES = 1500;
const MOST_MEMBERS = 64;
const FAMILIES = ['ipv4', 'ipv6'] as const;
const port = integer(1, 0xffff);
const optional = z.exactOptional;
const nothing = z.literal('', { error: 'takes nothing' });
/** Fields of which none is needed: the word alone will do. */
const bare = <Given extends object>(schema: z.ZodType<Given>) => z.union([nothing.transform(() => ({})), schema]);

export const familiesSchema = listOf(word(FAMILIES), FAMILIES.length);

const network = readable('a network like "192.0.2.0/24"', (text) => {
  try {
    parsePrefix(text);
    return text;
  } catch {
    return null;
  }
});
const nat64Prefix = readable('the address of an IPv6 network of 96 bits, like "64:ff9b::"', (text) => {
  try {
    const bytes = addressBytes(text);
    return bytes.length === 16 && bytes.subarray(12).every((byte) => byte === 0) ? text : null;
  } catch {
    return null;
  }
});
const servers = z.literal('servers').transform(() => SERVER_NETWORKS);

const bytes = fields({ at: integer(0, MOST_BYTES), are: hexBytes, mask: optional(hexBytes) })
  .refine(({ are, mask }) => mask === undefined || mask.length === are.length, {
    error: 'has another length than the bytes',
    path: ['mask'],
  })
  .transform((given) => renamed(given, { at: 'offset', are: 'value' }));

const match = fields({
  heading: optional(word(['out', 'in'])),
  family: optional(word(FAMILIES)),
  protocol: optional(word(['udp', 'tcp', 'icmp', 'any'])),
  bytes: optional(listOf(bytes, MOST_RULES)),
  classifier: optional(word(CLASSIFIER_NAMES)),
  'larger-than': optional(byteCount),
  'remote-ports': optional(listOf(port, MOST_RULES)),
  'remote-ports-except': optional(listOf(port, MOST_RULES)),
  'remote-except': optional(z.union([servers, listOf(network, MOST_RULES)])),
  'first-of-flow': optional(yesOrNo),
}).transform((given) =>
  renamed(given, {
    'larger-than': 'largerThanBytes',
    'remote-ports': 'remotePorts',
    'remote-ports-except': 'remotePortsExcept',
    'remote-except': 'remoteExcept',
    'first-of-flow': 'firstOfFlow',
  }),
);

const action = choice({
  drop: nothing,
  reject: word(Object.keys(ICMP_ERRORS) as IcmpErrorName[]),
  rewrite: fields({ at: integer(0, MOST_BYTES), with: hexBytes }),
  throttle: packetRate,
  residual: duration,
  translate: nothing,
}).transform((chosen): ActionDescription => {
  switch (chosen.type) {
    case 'drop':
      return { type: 'drop' };
    case 'reject':
      return { type: 'reject', error: chosen.value };
    case 'rewrite':
      return { type: 'rewrite', offset: chosen.value.at, bytes: Uint8Array.from(chosen.value.with) };
    case 'throttle':
      return { type: 'throttle', perSecond: chosen.value };
    case 'residual':
      return { type: 'residual', forMs: chosen.value };
    case 'translate':
      return { type: 'translate' };
  }
});

const rules = listOf(fields({ match: match.prefault({}), action }), MOST_RULES);

const behaviour = {
  mapping: word(['eim', 'adm', 'apdm']),
  filtering: word(['eif', 'adf', 'apdf']),
  ports: word(['preserving', 'contiguous', 'random']),
  lifetime: optional(duration),
  'inbound-refreshes': optional(yesOrNo),
  hairpin: optional(word(['none', 'external', 'internal'])),
};
const BEHAVIOUR_NAMES = { lifetime: 'lifetimeMs', 'inbound-refreshes': 'inboundRefreshes' } as const;
const translator = fields(behaviour).transform((given) => renamed(given, BEHAVIOUR_NAMES));
const nat64 = fields({ ...behaviour, prefix: optional(nat64Prefix) }).transform(({ prefix, ...given }) => ({
  nat: renamed(given, BEHAVIOUR_NAMES),
  ...(prefix === undefined ? {} : { prefix }),
}));

const firewall = fields({
  families: familiesSchema,
  filtering: optional(word(['eif', 'adf', 'apdf'])),
  lifetime: optional(duration),
}).transform((given) => renamed(given, { lifetime: 'lifetimeMs' }));

const box = choice({
  hop: bare(fields({ silent: optional(yesOrNo) })),
  nat: z.union([word(['linux-guarded', 'linux-unguarded']), translator]),
  nat64,
  clat: bare(fields({ mtu: optional(byteCount) }).transform((given) => renamed(given, { mtu: 'mtuBytes' }))),
  resolver: bare(fields({ dns64: optional(yesOrNo) })),
  ecmp: fields({ members: integer(2, MOST_MEMBERS), filter: rules }),
  firewall: z.union([word(FAMILIES).transform((family) => ({ families: [family] })), firewall]),
  filter: rules,
}).transform((chosen): BoxDescription => {
  switch (chosen.type) {
    case 'hop':
      return { type: 'hop', ...chosen.value };
    case 'nat':
      return { type: 'nat', nat: chosen.value };
    case 'nat64':
      return { type: 'nat64', ...chosen.value };
    case 'clat':
      return { type: 'clat', ...chosen.value };
    case 'resolver':
      return { type: 'resolver', ...chosen.value };
    case 'ecmp':
      return { type: 'ecmp', members: chosen.value.members, rules: chosen.value.filter };
    case 'firewall':
      return { type: 'firewall', ...chosen.value };
    case 'filter':
      return { type: 'filter', rules: chosen.value };
  }
});

export const boxesSchema = listOf(box, MOST_BOXES);
