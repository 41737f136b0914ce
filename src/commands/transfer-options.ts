import { TRANSFER_MAX, TRANSFER_MIN_BPS } from '../control/messages.js';
import type { TransferPlan } from '../session/transfer/types.js';
import { TRANSFER_DIRECTIONS, type TransferDirection } from '../verdict/words.js';
import { badValue, single } from './options.js';

const UNITS: Readonly<Record<string, number>> = { k: 1e3, M: 1e6, G: 1e9 };

function parseDuration(text: string): number {
  const seconds = /^\d{1,4}(?:\.\d+)?$/.test(text) ? Number(text) : 0;
  if (seconds <= 0 || seconds > TRANSFER_MAX.seconds)
    throw badValue('duration', text, `seconds, ${String(TRANSFER_MAX.seconds)} at most`, '30');
  return seconds;
}

function parseDirection(text: string): TransferDirection {
  const direction = TRANSFER_DIRECTIONS.find((one) => one === text);
  if (direction === undefined) throw badValue('transfer', text, 'upload, download or both', 'both');
  return direction;
}

function parseRate(text: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?) ?([kMG])bit\/s$/.exec(text) ?? [];
  const rate = Number(number) * (UNITS[unit] ?? 0);
  if (rate < TRANSFER_MIN_BPS || rate > TRANSFER_MAX.rateBps)
    throw badValue('rate', text, 'a bit rate of 1 kbit/s at least', '"20 Mbit/s"');
  return rate;
}

export const durationOption = single(
  'S',
  'send data for S seconds meanwhile, in one multipath QUIC connection over every path that works',
  parseDuration,
);
export const transferOption = single('upload|download|both', 'which way the data go; both if left out', parseDirection);
export const rateOption = single(
  'RATE',
  'send no faster than this, like "20 Mbit/s"; as fast as it goes if left out',
  parseRate,
);

/** What the three options ask for; nothing without a duration. Throws `bad-option-value` where one needs it. */
export function transferPlan(given: {
  readonly duration: number | undefined;
  readonly transfer: TransferDirection | undefined;
  readonly rate: number | undefined;
}): { readonly transfer?: TransferPlan } {
  const { duration: seconds, transfer: direction = 'both', rate: rateBps = null } = given;
  if (seconds !== undefined) return { transfer: { seconds, direction, rateBps } };
  if (given.transfer !== undefined)
    throw badValue('transfer', given.transfer, '--duration beside it', `${given.transfer} --duration 30`);
  if (given.rate !== undefined)
    throw badValue('rate', String(given.rate), '--duration beside it', '"20 Mbit/s" --duration 30');
  return {};
}
