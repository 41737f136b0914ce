import { z } from 'zod';
import { type Execute, execute } from './execute.js';

/** A modem as ModemManager has it. What it does not know is `null`. */
export interface Modem {
  /** Not stable over plugging, suspending or changing the SIM slot: look it up with `mmcli -L` each time. */
  readonly index: number;
  readonly model: string;
  /** `failed`, `locked`, `disabled`, `registered`, `connected` … */
  readonly state: string;
  readonly failedReason: string | null;
  readonly powerState: string | null;
  /** What it asks for: `sim-pin`, `sim-puk` …; `null`: nothing. */
  readonly lock: string | null;
  /** Network interfaces, as the kernel calls them. */
  readonly interfaces: readonly string[];
  /** 1, 2 …; `null` for a modem with a single slot. */
  readonly primarySlot: number | null;
  readonly slots: readonly SimSlot[];
  readonly registration: string | null;
  readonly operator: { readonly name: string | null; readonly code: string | null };
  readonly access: readonly string[];
  /** 0 to 100. */
  readonly signalPercent: number | null;
  readonly bearers: readonly Bearer[];
}

export interface SimSlot {
  readonly slot: number;
  /** `null`: the slot is empty. */
  readonly sim: {
    /** As `mmcli -i` wants it. */
    readonly index: number;
    readonly active: boolean;
    readonly type: 'physical' | 'esim' | null;
    /** An eSIM without a profile is a SIM that connects to nothing. */
    readonly hasProfile: boolean | null;
    readonly operator: string | null;
  } | null;
}

export interface Bearer {
  readonly interface: string | null;
  readonly connected: boolean;
  readonly apn: string | null;
  readonly ipv4: BearerConfig | null;
  readonly ipv6: BearerConfig | null;
}

export interface BearerConfig {
  readonly address: string;
  readonly prefixLength: number;
  readonly gateway: string | null;
  readonly dns: readonly string[];
  readonly mtuBytes: number | null;
}

/** mmcli writes `--` for what it does not know. */
const text = z
  .string()
  .transform((value) => (value === '--' || value === '' ? null : value))
  .nullish()
  .transform((value) => value ?? null);
const texts = z
  .array(z.string())
  .nullish()
  .transform((list) => (list ?? []).filter((one) => one !== '--'));

const listSchema = z.object({ 'modem-list': z.array(z.string()) });
const modemSchema = z.object({
  modem: z.object({
    '3gpp': z.object({ 'operator-code': text, 'operator-name': text, 'registration-state': text }).partial().nullish(),
    generic: z.object({
      'access-technologies': texts,
      bearers: texts,
      manufacturer: text,
      model: text,
      ports: texts,
      'power-state': text,
      'primary-sim-slot': text,
      'signal-quality': z.object({ value: text }).partial().nullish(),
      sim: text,
      'sim-slots': texts,
      state: text,
      'state-failed-reason': text,
      'unlock-required': text,
    }),
  }),
});
const simSchema = z.object({
  sim: z.object({
    properties: z.object({ active: text, 'operator-name': text, 'sim-type': text, 'esim-status': text }).partial(),
  }),
});
const configSchema = z
  .object({ address: text, prefix: text, gateway: text, mtu: text, dns: texts })
  .partial()
  .nullish();
const bearerSchema = z.object({
  bearer: z.object({
    'ipv4-config': configSchema,
    'ipv6-config': configSchema,
    properties: z.object({ apn: text }).partial().nullish(),
    status: z.object({ connected: text, interface: text }).partial(),
  }),
});

/** Every modem of this host; `null` where there is no ModemManager to ask. */
export async function readModems(run: Execute = execute): Promise<Modem[] | null> {
  const list = parse(listSchema, (await run('mmcli', ['-L', '-J']))?.stdout);
  if (!list) return null;
  const modems = await Promise.all(list['modem-list'].map((path) => readModem(path, run)));
  return modems.filter((modem) => modem !== null);
}

async function readModem(path: string, run: Execute): Promise<Modem | null> {
  const index = indexOf(path);
  if (index === null) return null;
  const ask = async (kind: '-m' | '-i' | '-b', number: number): Promise<string | undefined> =>
    (await run('mmcli', [kind, String(number), '-J']))?.stdout;
  const answer = parse(modemSchema, await ask('-m', index));
  if (!answer) return null;
  const { generic, '3gpp': cellular } = answer.modem;
  // A modem with one slot lists none; its SIM then stands alone. `/` is an empty slot.
  const paths = generic['sim-slots'].length > 0 ? generic['sim-slots'] : [generic.sim ?? '/'];
  const slots = await Promise.all(
    paths.map(async (sim, at): Promise<SimSlot> => {
      const number = indexOf(sim);
      return { slot: at + 1, sim: number === null ? null : simOf(number, await ask('-i', number)) };
    }),
  );
  const bearers = await Promise.all(
    generic.bearers.map(async (bearer) => bearerOf(await ask('-b', indexOf(bearer) ?? 0))),
  );
  return {
    index,
    model: [generic.manufacturer, generic.model].filter((word) => word !== null).join(' ') || 'modem',
    state: generic.state ?? 'unknown',
    failedReason: generic['state-failed-reason'],
    powerState: generic['power-state'],
    lock: generic['unlock-required'],
    interfaces: generic.ports.flatMap((port) => /^(\S+) \(net\)$/.exec(port)?.[1] ?? []),
    primarySlot: numberOf(generic['primary-sim-slot']),
    slots,
    registration: cellular?.['registration-state'] ?? null,
    operator: { name: cellular?.['operator-name'] ?? null, code: cellular?.['operator-code'] ?? null },
    access: generic['access-technologies'],
    signalPercent: numberOf(generic['signal-quality']?.value ?? null),
    bearers: bearers.filter((bearer) => bearer !== null),
  };
}

function simOf(index: number, json: string | undefined): SimSlot['sim'] {
  const properties = parse(simSchema, json)?.sim.properties;
  if (!properties) return null;
  const status = properties['esim-status'] ?? null;
  const type = properties['sim-type'];
  return {
    index,
    active: properties.active === 'yes',
    type: type === 'physical' || type === 'esim' ? type : null,
    hasProfile: status === null ? null : status === 'with-profiles',
    operator: properties['operator-name'] ?? null,
  };
}

function bearerOf(json: string | undefined): Bearer | null {
  const bearer = parse(bearerSchema, json)?.bearer;
  if (!bearer) return null;
  return {
    interface: bearer.status.interface ?? null,
    connected: bearer.status.connected === 'yes',
    apn: bearer.properties?.apn ?? null,
    ipv4: configOf(bearer['ipv4-config']),
    ipv6: configOf(bearer['ipv6-config']),
  };
}

function configOf(config: z.infer<typeof configSchema>): BearerConfig | null {
  const { address, prefix, gateway, mtu, dns } = config ?? {};
  if (!address) return null;
  return {
    address,
    prefixLength: numberOf(prefix ?? null) ?? 0,
    gateway: gateway ?? null,
    dns: dns ?? [],
    mtuBytes: numberOf(mtu ?? null),
  };
}

function parse<T>(schema: z.ZodType<T>, json: string | undefined): T | null {
  try {
    return schema.safeParse(JSON.parse(json ?? '')).data ?? null;
  } catch {
    return null;
  }
}

/** `/org/freedesktop/ModemManager1/Modem/0` → 0 */
function indexOf(path: string): number | null {
  return numberOf(/\/(\d{1,6})$/.exec(path)?.[1] ?? null);
}

function numberOf(word: string | null): number | null {
  return word !== null && /^\d+$/.test(word) && Number(word) < 1e9 ? Number(word) : null;
}
