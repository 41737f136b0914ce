import type { Cause, PathState } from '../verdict/words.js';
import { printable } from './text.js';

/** A change of a path, as the log and the record carry it: `path.state {path, from, to, cause}`. */
export interface PathStateChange {
  readonly path: string;
  readonly from: PathState | null;
  readonly to: PathState;
  readonly cause: Cause | null;
}

/** Whether a log event is the change of a path. */
export function isPathState(event: object): event is PathStateChange {
  return 'path' in event && typeof event.path === 'string' && 'to' in event && typeof event.to === 'string';
}

/** What the control shows of a path that is not decided yet, as the log carries it: `path.so-far`. */
export interface SoFarEvent {
  readonly path: string;
  readonly arrives: string;
  readonly up: { readonly sent: number; readonly received: number };
  readonly down: { readonly sent: number; readonly received: number };
}

export function isSoFar(event: object): event is SoFarEvent {
  return 'arrives' in event && 'up' in event && 'down' in event;
}

const ARRIVES: Readonly<Record<string, string>> = {
  nowhere: 'nothing arrives',
  up: 'packets arrive from the client alone',
  down: 'packets arrive from the server alone',
  'both ways': 'packets arrive both ways, but no check came back',
};

/** `wwan0-usb0-v4: so far nothing arrives (control 0/8 up, 0/8 down); no verdict yet`. */
export function soFarLine({ path, arrives, up, down }: SoFarEvent): string {
  const control = `control ${up.received}/${up.sent} up, ${down.received}/${down.sent} down`;
  return printable(`${path}: so far ${ARRIVES[arrives] ?? arrives} (${control}); no verdict yet`);
}

/** `wwan0-usb0-v4: established → lost (peer-fault)`; one line for people while a run goes on. */
export function progressLine({ path, from, to, cause }: PathStateChange): string {
  const before = from === null ? '' : `${from} → `;
  const why = cause === null ? '' : ` (${cause})`;
  return printable(`${path}: ${before}${to}${why}`);
}

/** Ports are about to be guessed, as the log carries it: `path.guessing`. */
export interface GuessingEvent {
  readonly path: string;
  readonly guesser: string;
  readonly sockets: number;
  readonly guesses: number;
  readonly probability: number;
}

export function isGuessing(event: object): event is GuessingEvent {
  return 'guesses' in event && 'probability' in event && typeof event.probability === 'number';
}

/** `wwan0-usb0-v4: guessing ports: 256 sockets against 768 guesses of the server, a hit has a chance of 95.4 %`. */
export function guessingLine({ path, guesser, sockets, guesses, probability }: GuessingEvent): string {
  const chance = `a hit has a chance of ${(probability * 100).toFixed(1)} %`;
  return printable(
    `${path}: guessing ports: ${sockets} sockets against ${guesses} guesses of the ${guesser}, ${chance}`,
  );
}
