import { transportAddress } from '../../src/base/address.js';
import { ARM_NAMES } from '../../src/mutation/names.js';
import type { ClientPlan } from '../../src/session/client.js';
import { type Carrier, CARRIERS } from '../../src/world/carriers.js';
import {
  buildInternet,
  type InternetOptions,
  REFERENCE_ADDRESSES,
  type UplinkOptions,
} from '../../src/world/internet.js';
import { REFERENCE_PORTS, VirtualRun, type VirtualRunOptions } from '../../src/world/virtual-run.js';

type Changes = Readonly<Record<string, Partial<Omit<UplinkOptions, 'host' | 'interface' | 'label'>>>>;

const { open } = CARRIERS;
/** The mesh of verdicts.md: L has eth0, wlan0 (hhg), wwan0 (o2); D has eth0, wlan0 (hh2), usb0 (telekom). */
const MESH: readonly UplinkOptions[] = [
  { host: 'client', interface: 'wlan0', kind: 'wifi', label: 'hhg', carrier: open, metric: 600 },
  { host: 'client', interface: 'wwan0', kind: 'cellular', label: 'o2', carrier: open, metric: 700 },
  { host: 'server', interface: 'wlan0', kind: 'wifi', label: 'hh2', carrier: open, metric: 600 },
  { host: 'server', interface: 'usb0', kind: 'cellular', label: 'telekom', carrier: open, metric: 700 },
];

export function mesh(changes: Changes = {}): UplinkOptions[] {
  return MESH.map((uplink) => ({ ...uplink, ...changes[uplink.label] }));
}

/** The notes' two uplinks. */
export function notes(client: Carrier, server: Carrier): UplinkOptions[] {
  return mesh({ o2: { carrier: client }, telekom: { carrier: server } }).filter(({ kind }) => kind === 'cellular');
}

export const REFERENCE_4 = transportAddress(REFERENCE_ADDRESSES.ipv4[0], REFERENCE_PORTS[0]);
export const REFERENCE_6 = transportAddress(REFERENCE_ADDRESSES.ipv6[0], REFERENCE_PORTS[0]);

export const PLAN: ClientPlan = {
  policy: 'cellular,wifi,ethernet',
  arms: ARM_NAMES,
  firstOnly: false,
  wanted: [{ client: 'wwan0', server: 'usb0' }],
  pin: true,
  references: [REFERENCE_4],
  checksPerPair: 7,
  ownArms: [],
  deep: false,
  webrtc: false,
};

export interface RunOptions extends Partial<Omit<InternetOptions, 'uplinks'>> {
  readonly uplinks?: readonly UplinkOptions[];
  readonly plan?: Partial<ClientPlan>;
  readonly session?: Partial<Pick<VirtualRunOptions, 'serverPin' | 'reflector' | 'serverLateMs' | 'startedAt'>>;
}

/** A whole run, ready to start. */
export function virtualRun(options: RunOptions = {}): VirtualRun {
  const { seed = 1, uplinks = mesh(), plan = {}, session = {}, ...rest } = options;
  const internet = buildInternet({ seed, uplinks, ...rest });
  return new VirtualRun({ internet, seed, version: 'test', plan: { ...PLAN, ...plan }, ...session });
}
