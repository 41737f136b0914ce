import { z } from 'zod';

/** Quantities as people write them: a number, its unit, and a word where one is meant. */

/** A text that `read` understands; `null` is a mistake, told as "takes …". */
export function readable<Value>(takes: string, read: (text: string) => Value | null): z.ZodType<Value, string> {
  return z.string({ error: () => `takes ${takes}` }).transform((text, context) => {
    const value = read(text.trim());
    if (value !== null) return value;
    context.addIssue({ code: 'custom', message: `takes ${takes}, not ${quoted(text)}` });
    return z.NEVER;
  });
}

/** The text of somebody's file, short enough for a line. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}

function quantity(
  takes: string,
  units: Readonly<Record<string, number>>,
  allowed: (value: number) => boolean = () => true,
): z.ZodType<number, string> {
  return readable(takes, (text) => {
    const [, digits = '', unit = ''] = /^(\d{1,9}(?:\.\d{1,6})?) ?([^\d\s.]*)$/.exec(text) ?? [];
    const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
    const value = factor === undefined || digits === '' ? null : Number(digits) * factor;
    return value !== null && allowed(value) ? value : null;
  });
}

const DAY_MS = 86_400_000;

export const duration = quantity(
  'a time with its unit, like "20 ms", "2 s" or "5 min"',
  { ms: 1, s: 1000, min: 60_000, h: 3_600_000 },
  (ms) => ms <= DAY_MS,
);
/** How a clock goes, in milliseconds that it is ahead. */
export const clockError = readable('a time and which way, like "5 min ahead" or "2 s behind"', (text) => {
  const [, time = '', way] = /^(.*) (ahead|behind)$/.exec(text) ?? [];
  const ms = duration.safeParse(time).data;
  return ms === undefined ? null : way === 'ahead' ? ms : -ms;
});
/** A share between 0 and 1. */
export const share = quantity('a share like "30 %", at most 100 %', { '%': 0.01 }, (part) => part <= 1);
/** A share of which there is always some and never all. */
export const properShare = quantity(
  'a share like "25 %", more than 0 % and less than 100 %',
  { '%': 0.01 },
  (part) => part > 0 && part < 1,
);
export const bitRate = quantity(
  'a rate like "10 Mbit/s" or "500 kbit/s"',
  { 'bit/s': 1, 'kbit/s': 1e3, 'Mbit/s': 1e6, 'Gbit/s': 1e9 },
  (bps) => bps > 0,
);
export const packetRate = quantity('a rate like "50 packets/s"', { 'packets/s': 1, '/s': 1 }, (rate) => rate > 0);
export const byteCount = quantity(
  'a size like "1500 bytes" or "64 KiB"',
  { byte: 1, bytes: 1, B: 1, kB: 1000, KiB: 1024, MB: 1e6, MiB: 1024 * 1024 },
  (bytes) => Number.isInteger(bytes),
);

export function integer(least: number, most: number): z.ZodType<number, string> {
  return readable(`a number from ${least} to ${most}`, (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : -1;
    return value >= least && value <= most ? value : null;
  });
}

const WORDS: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  false: false,
  no: false,
  off: false,
};

export const yesOrNo = readable('yes or no', (text) => (Object.hasOwn(WORDS, text) ? (WORDS[text] ?? null) : null));

/** `21 12 a4 42`. */
export const hexBytes = readable('bytes in hexadecimal, like "21 12 a4 42"', (text) =>
  /^[0-9a-f]{2}( ?[0-9a-f]{2}){0,63}$/i.test(text) ? [...Buffer.from(text.replaceAll(' ', ''), 'hex')] : null,
);
