import { nameOf } from './evidence.js';
import type { RunObservation } from './observation.js';
import type { PathVerdict } from './path.js';
import type { CarrierReport } from './report.js';

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
  ];
  return [...new Set(sentences)];
}

function adviceOn({ state, cause, evidence: { path } }: PathVerdict): string[] {
  const pair = `${nameOf(path.client)} ↔ ${nameOf(path.server)}`;
  if (cause === 'priority-starved' || state === 'superseded') {
    return [
      `run again without --first-only, or put ${path.client.kind} first (--prefer ${path.client.kind},ethernet), so that ${pair} is tried`,
    ];
  }
  if (cause === 'nat-incompatible') {
    return [`${pair}: use a relay, IPv6, or one end whose NAT keeps its mappings; this is no carrier's block`];
  }
  if (state === 'established' && cause === 'stun-filtered') {
    return [`${pair}: plain ICE would fail here; use the changed STUN that passes, or another path`];
  }
  return [];
}

function withoutReference({ references }: RunObservation, wanted: readonly PathVerdict[]): string[] {
  const open = wanted.some(({ state }) => state === 'inconclusive');
  return references === 0 && open
    ? [
        'run again with --reference HOST:PORT (start one with: icepath reflector): without it nothing can be called blocked',
      ]
    : [];
}
