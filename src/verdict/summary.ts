import { nameOf } from './evidence.js';
import { type LocationFinding, locationWords } from './findings/location.js';
import { type QuotedFinding, quotedWords } from './findings/quoted.js';
import { triggerInShort } from './findings/trigger.js';
import type { PathObservation } from './observation.js';
import type { PathVerdict } from './path.js';
import { stunFilteredIn } from './stun-filter.js';
import { triangleWords } from './triangle.js';
import { ROLES } from './words.js';

/** One sentence for people: what, and the evidence of both ends. */
export function summaryOf(verdict: PathVerdict): string {
  const parts = [`${verdict.why}${fieldsWords(verdict)}`, ...placesOf(verdict)];
  return `${headOf(verdict)}: ${parts.join('; ')}${relayWords(verdict.evidence.path)}.`;
}

/** What {@link summaryOf} says and {@link headlineOf} does not, or not so exactly. */
export function evidenceOf(verdict: PathVerdict): string[] {
  return [...(isFiltered(verdict) || isBlocked(verdict) ? [verdict.why] : []), ...placesOf(verdict)];
}

function placesOf(verdict: PathVerdict): string[] {
  const { location, quoted } = verdict.evidence.findings;
  const triangle = triangleWords(verdict);
  return [...(triangle === '' ? [] : [triangle]), ...location.map(locationWords), ...rewrittenWords(quoted, verdict)];
}

/** Where packets of the kind arrive, that they are rewritten was said of those. */
function rewrittenWords(quoted: readonly QuotedFinding[], { evidence }: PathVerdict): string[] {
  const known = evidence.findings.rewriting ?? [];
  return quoted
    .filter(({ direction, arm }) => !known.some((one) => one.direction === direction && one.arm === arm))
    .flatMap((found) => quotedWords(found) ?? []);
}

/** With nothing to be said of ports. */
function isBlocked({ state, cause }: PathVerdict): boolean {
  return state === 'blocked' && cause === 'peer-udp-blocked';
}

function isFiltered({ cause }: PathVerdict): boolean {
  return cause === 'stun-filtered' || cause === 'residual-block';
}

/** The same without what only a sceptic asks for: two or three lines on a screen. */
export function headlineOf(verdict: PathVerdict): string {
  const { trigger, location } = verdict.evidence.findings;
  const words = isFiltered(verdict)
    ? `${filterWords(verdict.evidence)}${trigger ? triggerInShort(trigger) : ''}`
    : isBlocked(verdict)
      ? blockWords(verdict.evidence)
      : verdict.why;
  return `${headOf(verdict)}: ${words}${fieldsWords(verdict)}${placesInShort(location)}${rewrittenInShort(verdict)}${relayWords(verdict.evidence.path)}.`;
}

function headOf({ state, cause, arm, evidence }: PathVerdict): string {
  const { path } = evidence;
  const by = arm !== null && arm !== 'stun' ? ` with ${arm}` : '';
  const what = cause ? `, ${cause}` : '';
  return `${nameOf(path.client)} ↔ ${nameOf(path.server)} ${path.family}: ${state}${by}${what}`;
}

/** Said beside the direct way's state, never in its place. */
function relayWords({ relay }: PathObservation): string {
  if (!relay) return '';
  const [client, server] = [relay.client, relay.server].map(({ type, address }) => `${type} ${address}`);
  return `; a relay carries it in ${String(Math.round(relay.rttMs))} ms (${String(client)} ↔ ${String(server)})`;
}

function fieldsWords({ fields }: PathVerdict): string {
  if (fields.length === 0) return '';
  return `; it passes once ${fieldsText(fields)} ${fields.flat().length > 1 ? 'change' : 'changes'}`;
}

function filterWords(evidence: PathVerdict['evidence']): string {
  const ways = stunFilteredIn(evidence).map(({ direction }) =>
    direction === 'up' ? 'client → server' : 'server → client',
  );
  return `plain STUN is filtered ${ways.join(' and ')}, where the control passes`;
}

function rewrittenInShort(verdict: PathVerdict): string {
  const words = rewrittenWords(verdict.evidence.findings.quoted, verdict);
  return words.length === 0 ? '' : `; before that something rewrites the packets`;
}

function blockWords({ up, down, reference }: PathVerdict['evidence']): string {
  const answers = ROLES.map((role) => {
    const { best } = reference[role];
    return `${String(best.filter(({ received }) => received).length)} of ${String(best.length)}`;
  });
  return `${String(up.control.received)} of ${String(up.control.sent)} control packets arrived up, ${String(down.control.received)} of ${String(down.control.sent)} down; the reference answered ${answers.join(' and ')}; the NATs predict success`;
}

/** Between which hops, counted from the sender; beside packets to the reference that is likely, and not proven. */
function placesInShort(location: readonly LocationFinding[]): string {
  const known = location.filter(({ before }) => before !== null);
  const places = known.map(({ direction, after, before }) => {
    const sender = direction === 'up' ? 'client' : 'server';
    return `${String(after.hop)} and ${String(before?.hop)} from the ${sender}`;
  });
  if (places.length === 0) return '';
  const likely = known.some(({ method }) => method === 'reference') ? 'probably ' : '';
  return `; ${likely}dropped between hops ${places.join(', ')}`;
}

/** `[[length],[first-byte,cookie]]` → `length, or first-byte and cookie`. */
export function fieldsText(fields: readonly (readonly string[])[]): string {
  return fields.map((set) => set.join(' and ')).join(', or ');
}
