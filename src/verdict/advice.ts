import { HEADER_FIELDS } from '../mutation/arm.js';
import { CHANGEABLE_BYTES, MOST_CHOSEN_BYTES } from '../mutation/definition.js';
import { nameOf } from './evidence.js';
import { portAdvice } from './path-words.js';
import type { RunObservation } from './observation.js';
import type { PathVerdict } from './path.js';
import type { CarrierReport } from './report.js';

/** People who compare two logs line by line do not notice less. */
const CLOCKS_APART_MS = 2000;

/** What to do next: one sentence each, the most useful first, none twice. */
export function adviceOf(
  run: RunObservation,
  paths: readonly PathVerdict[],
  carriers: readonly CarrierReport[],
): string[] {
  const wanted = paths.filter(({ evidence }) => evidence.path.wanted);
  const sentences = [
    ...wanted.flatMap(({ remedy }) => (remedy === null ? [] : [remedy])),
    ...wanted.flatMap(adviceOn),
    ...withoutReference(run, wanted),
    ...carriers.flatMap(({ remaining }) => remaining),
    ...differentClocks(run),
  ];
  return [...new Set(sentences)];
}

function adviceOn({ state, cause, fields, evidence }: PathVerdict): string[] {
  const { path } = evidence;
  const pair = `${nameOf(path.client)} ↔ ${nameOf(path.server)}`;
  if (cause === 'priority-starved' || state === 'superseded') {
    return [
      `run again without --first-only, or put ${path.client.kind} first (--prefer ${path.client.kind},ethernet), so that ${pair} is tried`,
    ];
  }
  if (cause === 'nat-incompatible') {
    return [`${pair}: use a relay, IPv6, or one end whose NAT keeps its mappings; this is no carrier's block`];
  }
  if (cause === 'port-filtered' && state !== 'established') {
    return [portAdvice(pair, evidence)];
  }
  if (state === 'established' && cause === 'stun-filtered') {
    return [`${pair}: plain ICE would fail here; use the changed STUN that passes, or another path`];
  }
  if (cause === 'stun-filtered') return ownArm(fields).map((arm) => `${pair}: ${arm}`);
  return [];
}

/** No arm of this run got through, but what must change is known: an arm of one's own that changes it. */
function ownArm(fields: PathVerdict['fields']): string[] {
  const [arm] = fields.flatMap((set) => {
    const parts = set.filter((name) => (HEADER_FIELDS as readonly string[]).includes(name));
    if (parts.length === set.length) return [`stun: [${parts.join(', ')}]`];
    const [, first, last = first] = /^bytes:(\d+)(?:-(\d+))?$/.exec(set.join()) ?? [];
    const count = Number(last) - Number(first) + 1;
    return first !== undefined && count <= MOST_CHOSEN_BYTES && Number(last) < CHANGEABLE_BYTES
      ? [`bytes: { at: ${first}, xor: ${Array.from({ length: count }, () => 'ff').join(' ')} }`]
      : [];
  });
  return arm === undefined
    ? []
    : [
        `STUN that is changed so should pass: put "arms: { mine: { ${arm} } }" into a file mine.yaml, and run again with --arms random,stun,./mine.yaml`,
      ];
}

function withoutReference({ references }: RunObservation, wanted: readonly PathVerdict[]): string[] {
  const open = wanted.some(({ state }) => state === 'inconclusive');
  return references === 0 && open
    ? [
        'run again with --reference HOST:PORT (start one with: icepath reflector): without it nothing can be called blocked',
      ]
    : [];
}

function differentClocks({ clock }: RunObservation): string[] {
  if (!clock || Math.abs(clock.serverAheadMs) - clock.withinMs <= CLOCKS_APART_MS) return [];
  const way = clock.serverAheadMs > 0 ? 'ahead of' : 'behind';
  return [
    `the server's clock is ${span(Math.abs(clock.serverAheadMs))} ${way} the client's: mind it when you compare their logs (no verdict depends on it)`,
  ];
}

const UNITS_MS = { days: 86_400_000, h: 3_600_000, min: 60_000 } as const;

/** In the largest unit of which there are two. */
function span(ms: number): string {
  const [unit, unitMs] = Object.entries(UNITS_MS).find(([, one]) => ms >= 2 * one) ?? ['s', 1000];
  return `${Math.round(ms / unitMs)} ${unit}`;
}
