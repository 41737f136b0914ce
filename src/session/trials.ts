import type { Trial } from '../verdict/trial.js';
import { type EventOf, FAR, type RecordIndex } from './record-index.js';

/**
 * The trials of a path, in the order in which they were sent (by each host's own clock). Those of a batch of which not
 * both ends have said everything are left out: silence in them means nothing.
 */
export function trialsOf(index: RecordIndex, path: string): Trial[] {
  const sends = index.trials(path);
  if (sends.length === 0) return [];
  const whole = new Set(index.all('trials').flatMap(({ host, batch }) => (host === 'client' ? [batch] : [])));
  return sends.flatMap((sent) => (sent.trial && whole.has(sent.trial.batch) ? (trialOf(index, sent) ?? []) : []));
}

/** `null` for a packet that belongs to no experiment. */
export function trialOf(index: RecordIndex, sent: EventOf<'sent'>): Trial | null {
  const { host, id, trial, leg } = sent;
  // By a relay goes none.
  if (!trial || leg === 'relay') return null;
  const arrival = index.trialArrival(leg === 'peer' ? FAR[host] : host, id);
  const error = index.trialError(host, id);
  return {
    experiment: trial.experiment,
    direction: host === 'client' ? 'up' : 'down',
    to: leg,
    flow: trial.flow,
    ports: trial.ports,
    packet: trial.packet,
    at: sent.t,
    sent: sent.error === null,
    received: arrival !== undefined,
    receivedAt: arrival?.t ?? null,
    changed: arrival?.changed ?? [],
    icmp: error
      ? { type: error.icmp.type, code: error.icmp.code, from: error.icmp.from, changed: error.changed ?? null }
      : null,
  };
}
