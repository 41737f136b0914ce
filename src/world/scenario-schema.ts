import { z } from 'zod';
import { IcepathError } from '../base/errors.js';
import { INTERFACE_KINDS } from '../base/interface.js';
import { parsePolicy } from '../ice/policy.js';
import { ARM_NAMES, CONTROL_ARM } from '../mutation/names.js';
import { ownArmsSchema } from '../session/arms-file.js';
import {
  CARRIER_VERDICTS,
  CAUSES,
  DIRECTION_STATES,
  PATH_STATES,
  ROLES,
  TRANSFER_DIRECTIONS,
} from '../verdict/words.js';
import { fields, listOf, renamed, word } from '../yaml/fields.js';
import * as quantity from '../yaml/quantities.js';
import { boxesSchema, familiesSchema } from './box-schema.js';
import { ACCESS_LINK, type HostName } from './internet.js';
import type { LinkOptions } from './link.js';
import { BACKENDS, type ScenarioEvent, TRANSFER_ENDS } from './scenario.js';
import { HOP_KINDS } from './site.js';

/** What a scenario file may hold, field by field; what fits together is `scenario-file.ts`'s to say. */

const optional = z.exactOptional;
const MOST = { interfaces: 6, carriers: 16, events: 32, sentences: 20, paths: 64, hops: 16, ports: 8 } as const;
const INTERFACE_NAME = /^[a-zA-Z][a-zA-Z0-9]{0,14}$/;
const LABEL = /^[a-zA-Z0-9][\w-]{0,31}$/;

const sentence = quantity.readable('a sentence of at most 500 characters', (text) =>
  text !== '' && text.length <= 500 ? text : null,
);
/** `cookie`, or `bytes:4-7`. */
const field = quantity.readable('a field of the header, or bytes like "bytes:4-7"', (text) =>
  LABEL.test(text) || /^bytes:\d{1,4}(?:-\d{1,4})?$/.test(text) ? text : null,
);
const label = quantity.readable('a name of letters, digits, - and _', (text) => (LABEL.test(text) ? text : null));
const interfaceName = z.string().regex(INTERFACE_NAME, { error: 'is no name of an interface, like wwan0' });
const rpFilter = quantity.integer(0, 2).transform((mode) => mode as 0 | 1 | 2);

const link = fields({
  delay: optional(quantity.duration),
  jitter: optional(quantity.duration),
  reorders: optional(quantity.yesOrNo),
  rate: optional(quantity.bitRate),
  queue: optional(quantity.byteCount),
  mtu: optional(quantity.byteCount),
  loss: optional(quantity.share),
  bursts: optional(
    fields({ loss: quantity.properShare, length: quantity.duration }).transform((given) =>
      renamed(given, { length: 'burstMs' }),
    ),
  ),
  duplicates: optional(quantity.share),
}).transform((given) =>
  renamed(given, {
    delay: 'delayMs',
    jitter: 'jitterMs',
    rate: 'rateBps',
    queue: 'queueBytes',
    mtu: 'mtuBytes',
  }),
);

const uplink = fields({
  kind: word(INTERFACE_KINDS),
  carrier: label,
  label: optional(label),
  metric: quantity.integer(0, 9999),
  link: optional(link),
  up: optional(link),
  down: optional(link),
  gateway: optional(quantity.yesOrNo),
  rp_filter: optional(rpFilter),
  site: optional(label),
  hops: optional(listOf(word(HOP_KINDS), MOST.hops)),
  hung: optional(quantity.yesOrNo),
  mute: optional(quantity.yesOrNo),
  starts: optional(word(['down', 'absent'])),
});

const ports = listOf(quantity.integer(1, 0xffff), MOST.ports);

const host = fields({
  name: sentence,
  pin: optional(quantity.yesOrNo),
  ports: optional(ports),
  'guess-ports': optional(quantity.yesOrNo),
  clock: optional(quantity.clockError),
  interfaces: z.record(interfaceName, uplink).refine((all) => Object.keys(all).length <= MOST.interfaces, {
    error: `has more than ${MOST.interfaces} interfaces`,
  }),
});

const lan = z.union([
  z.literal('none').transform(() => null),
  fields({
    metric: optional(quantity.integer(0, 9999)),
    link: optional(link),
    rp_filter: optional(rpFilter),
  }).transform((given) => renamed(given, { rp_filter: 'rpFilter' })),
]);

const reference = z.union([
  quantity.yesOrNo.transform((listens) => ({ listens, ports: [] as readonly number[] })),
  fields({ ports }).transform((given) => ({ listens: true, ports: given.ports })),
]);

const carrier = fields({
  observed: sentence,
  families: optional(familiesSchema),
  isolates: optional(quantity.yesOrNo),
  boxes: boxesSchema,
});

interface Place {
  readonly host: HostName;
  readonly interface: string;
}
const place = quantity.readable('an interface of a host, like client.wwan0', (text): Place | null => {
  const [hostName, name, ...rest] = text.split('.');
  const role = ROLES.find((one) => one === hostName);
  const isPlace = role && name !== undefined && INTERFACE_NAME.test(name) && rest.length === 0;
  return isPlace ? { host: role, interface: name } : null;
});
const cable = z.union([
  z.literal('reference'),
  place.transform(({ host: role, interface: name }) => `${role}.${name}`),
]);
const wanted = quantity.readable('a path, like "wwan0 <-> usb0": of the client and of the server', (text) => {
  const [client = '', server = '', ...rest] = text.split(/<->|↔/).map((name) => name.trim());
  return rest.length === 0 && LABEL.test(client) && LABEL.test(server) ? { client, server } : null;
});
const prefer = z.string().transform((text, context) => {
  try {
    parsePolicy(text);
    return text;
  } catch (error) {
    if (!(error instanceof IcepathError)) throw error;
    context.addIssue({ code: 'custom', message: `${error.message} ${error.nextStep}` });
    return z.NEVER;
  }
});

const event = fields({
  at: quantity.duration,
  kill: optional(word(['server'])),
  down: optional(place),
  up: optional(place),
  unplug: optional(cable),
  plug: optional(cable),
  change: optional(cable),
  to: optional(link),
  readdress: optional(place),
  unroute: optional(place),
  route: optional(place),
  restart: optional(place),
}).transform(({ at, ...what }, context) => {
  const [action, ...others] = actionsOf(what);
  if (action && others.length === 0 && (action.type === 'link') === (what.to !== undefined))
    return { atMs: at, action };
  const message =
    'takes exactly one of kill, down, up, unplug, plug, readdress, unroute, route, restart, or change with to';
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

interface EventText {
  readonly kill?: 'server';
  readonly down?: Place;
  readonly up?: Place;
  readonly unplug?: string;
  readonly plug?: string;
  readonly change?: string;
  readonly to?: LinkOptions;
  readonly readdress?: Place;
  readonly unroute?: Place;
  readonly route?: Place;
  readonly restart?: Place;
}

function actionsOf({ kill, down, up, unplug, plug, change, to, ...others }: EventText): ScenarioEvent['action'][] {
  const changed = { ...ACCESS_LINK, ...to };
  const { readdress, unroute, route, restart } = others;
  return [
    ...(kill ? [{ type: 'kill', host: kill } as const] : []),
    ...(down ? [{ type: 'interface', ...down, up: false } as const] : []),
    ...(up ? [{ type: 'interface', ...up, up: true } as const] : []),
    ...(unplug !== undefined ? [{ type: 'cable', cable: unplug, up: false } as const] : []),
    ...(plug !== undefined ? [{ type: 'cable', cable: plug, up: true } as const] : []),
    ...(change !== undefined ? [{ type: 'link', cable: change, there: changed, back: changed } as const] : []),
    ...(readdress ? [{ type: 'address', ...readdress } as const] : []),
    ...(unroute ? [{ type: 'route', ...unroute, there: false } as const] : []),
    ...(route ? [{ type: 'route', ...route, there: true } as const] : []),
    ...(restart ? [{ type: 'restart', ...restart } as const] : []),
  ];
}

const decimal = quantity.readable('a number, like 1000 or 0.25', (text) =>
  /^\d+(\.\d+)?$/.test(text) ? Number(text) : null,
);
const state = word(PATH_STATES);
const causeOrNone = word([...CAUSES, 'none']).transform((cause) => (cause === 'none' ? null : cause));
const exit = word(['0', '3', '4']).transform(Number);
const direction = optional(word(DIRECTION_STATES));
const outcomeFieldsWith = (arms: readonly string[]) => ({
  cause: optional(causeOrNone),
  arm: optional(word(arms)),
  fields: optional(listOf(listOf(field, 8), 16)),
  directions: optional(fields({ up: direction, down: direction })),
  says: optional(listOf(sentence, MOST.sentences)),
  advises: optional(listOf(sentence, MOST.sentences)),
  measures: optional(
    listOf(
      fields({
        what: z
          .string()
          .regex(/^\w+(\.\w+)*$/, { error: 'is no way to a number in findings, like size.up.passesBytes' }),
        about: decimal,
        within: decimal,
      }),
      8,
    ),
  ),
  icmp: optional(
    fields({ type: quantity.integer(0, 255), code: quantity.integer(0, 255), from: optional(z.string()) }),
  ),
});
const pathExpectation = z.union([
  fields({ state: listOf(state, PATH_STATES.length), cause: optional(causeOrNone) }),
  listOf(state, PATH_STATES.length).transform((states) => ({ state: states })),
]);
const verdict = word(CARRIER_VERDICTS);
function expectationWith(arms: readonly string[]) {
  const outcomeFields = outcomeFieldsWith(arms);
  return fields({
    state: optional(state),
    exit: optional(exit),
    ...outcomeFields,
    either: optional(listOf(fields({ state, exit, ...outcomeFields }), 8)),
    paths: optional(z.record(z.string(), pathExpectation)),
    carriers: optional(
      z.record(label, z.union([verdict, fields({ ipv4: optional(verdict), ipv6: optional(verdict) })])),
    ),
    suspects: optional(listOf(label, MOST.paths)),
    transfer: optional(word(TRANSFER_ENDS)),
    lifetimes: optional(z.record(label, quantity.duration)),
  });
}

/** Of a file that has these arms of its own. */
export function scenarioSchemaWith(ownArms: readonly string[]) {
  const armNames = [...new Set([...ARM_NAMES, ...ownArms])];
  return fields({
    like: optional(z.string()),
    title: sentence,
    observed: optional(sentence),
    story: listOf(sentence, MOST.sentences),
    meaning: listOf(sentence, MOST.sentences),
    backends: listOf(word(BACKENDS), BACKENDS.length).prefault([...BACKENDS]),
    slow: quantity.yesOrNo.prefault('no'),
    families: familiesSchema.prefault('ipv4'),
    lan: lan.prefault({}),
    client: host,
    server: host,
    carriers: z.record(label, carrier).prefault({}),
    reference: reference.prefault('on'),
    relay: quantity.yesOrNo.prefault('no'),
    wanted: listOf(wanted, MOST.paths),
    prefer: prefer.prefault('cellular,tethered,wifi,ethernet'),
    'first-only': quantity.yesOrNo.prefault('no'),
    deep: quantity.yesOrNo.prefault('no'),
    'own-arms': ownArmsSchema.prefault({}),
    arms: listOf(word(armNames), armNames.length)
      .transform((arms) => [...new Set([CONTROL_ARM, ...arms])])
      .prefault(armNames),
    transfer: optional(
      fields({
        duration: quantity.duration,
        direction: word(TRANSFER_DIRECTIONS).prefault('both'),
        rate: optional(quantity.bitRate),
      }),
    ),
    events: z
      .array(event)
      .max(MOST.events, { error: `has more than ${MOST.events} events` })
      .prefault([]),
    expect: expectationWith(armNames),
  });
}
export type ScenarioText = z.output<ReturnType<typeof scenarioSchemaWith>>;
