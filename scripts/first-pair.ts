import { transportAddress } from '../src/base/address.js';
import { integerBetween, SeededRandom } from '../src/base/random.js';
import type { Ms } from '../src/base/time.js';
import type { RecordEvent } from '../src/session/record.js';
import { CARRIERS } from '../src/world/carriers.js';
import { buildInternet, REFERENCE_ADDRESSES, type UplinkOptions } from '../src/world/internet.js';
import { REFERENCE_PORTS, VirtualRun } from '../src/world/virtual-run.js';

/** A pair that came up, and the round trip of its path by the sum of its links' delays. */
export interface FirstPair {
  /** From the client's start of the run: no socket is open and no candidate known. */
  readonly afterMs: Ms;
  readonly roundTripMs: Ms;
}

const ALLOWANCE_MS: Ms = 100;
/** The share of runs that must be in time. */
export const IN_TIME = 0.95;

export function isInTime({ afterMs, roundTripMs }: FirstPair): boolean {
  return afterMs <= 2 * roundTripMs + ALLOWANCE_MS;
}

/** Two cables of 0.25 ms. */
const LAN_ROUND_TRIP_MS: Ms = 1;
/** Of a carrier to the middle. */
const BACKBONE_MS: Ms = 2;
/** Of a host to its carrier. */
const ACCESS_MS = [20, 150] as const;

type Uplink = UplinkOptions & { readonly up: { readonly delayMs: Ms } };

/**
 * One run in the open mesh of three interfaces a side, nothing lost: the first pair of all, which is on the LAN, and the
 * first across two carriers. Each uplink has a delay of its own, drawn from `seed`. Throws where none came up.
 */
export function firstPairs(seed: number): Readonly<Record<'any' | 'carriers', FirstPair>> {
  const random = new SeededRandom(`delays ${seed}`);
  const uplink = (host: Uplink['host'], name: string, label: string): Uplink => ({
    ...(name === 'wlan0' ? { kind: 'wifi', metric: 600 } : { kind: 'cellular', metric: 700 }),
    ...{ host, interface: name, label, carrier: CARRIERS.open },
    up: { delayMs: integerBetween(random, ...ACCESS_MS) },
  });
  const client = [uplink('client', 'wlan0', 'hhg'), uplink('client', 'wwan0', 'o2')];
  const server = [uplink('server', 'wlan0', 'hh2'), uplink('server', 'usb0', 'telekom')];
  const roundTrips = new Map([['eth0-eth0-v4', LAN_ROUND_TRIP_MS]]);
  for (const near of client) {
    for (const far of server) {
      const oneWayMs = near.up.delayMs + 2 * BACKBONE_MS + far.up.delayMs;
      roundTrips.set(`${near.interface}-${far.interface}-v4`, 2 * oneWayMs);
    }
  }
  const plan = {
    policy: 'cellular,wifi,ethernet',
    arms: ['random', 'stun'],
    firstOnly: false,
    wanted: null,
    pin: true,
    references: [transportAddress(REFERENCE_ADDRESSES.ipv4[0], REFERENCE_PORTS[0])],
    checksPerPair: 7,
    ownArms: [],
    deep: false,
    webrtc: false,
  };
  const events: RecordEvent[] = [];
  const internet = buildInternet({ seed, uplinks: [...client, ...server] });
  const onEvent = (event: RecordEvent): void => {
    events.push(event);
    if (isValid(event) && isAcross(event)) run.client.interrupt();
  };
  const run: VirtualRun = new VirtualRun({ internet, seed, version: 'first pair', plan, onEvent });
  run.run();
  const startedAt = events.find(({ type, host }) => type === 'run' && host === 'client')?.t ?? NaN;
  const told = (pair: Valid | undefined): FirstPair => {
    const roundTripMs = roundTrips.get(pair?.path ?? '');
    if (!pair || roundTripMs === undefined) throw new Error(`seed ${seed}: no pair came up in the open mesh`);
    return { afterMs: pair.t - startedAt, roundTripMs };
  };
  return { any: told(events.find(isValid)), carriers: told(events.filter(isValid).find(isAcross)) };
}

type Valid = Extract<RecordEvent, { type: 'valid' }>;

/** On the client. */
function isValid(event: RecordEvent): event is Valid {
  return event.type === 'valid' && event.host === 'client';
}

function isAcross({ path }: Valid): boolean {
  return !path.startsWith('eth0');
}
