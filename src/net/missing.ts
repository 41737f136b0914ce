import { execute, type Execute } from './execute.js';
import { pinningHere, type Pinning } from './pinning.js';

/** Something that this machine lacks, and what a run does without it. Sentences for people. */
export interface Missing {
  readonly what: string;
  readonly without: string;
}

export async function findMissing(
  run: Execute = execute,
  { reason }: Pick<Pinning, 'reason'> = pinningHere(),
): Promise<Missing[]> {
  const missing: Missing[] = [];
  if (reason !== null) {
    missing.push({
      what: reason,
      without: 'Sockets are bound by address, not pinned to their interface, and ICMP errors are not seen.',
    });
  }
  if ((await run('ip', ['-V'])) === null) {
    missing.push({
      what: 'the program ip (iproute2) is not installed',
      without: 'It cannot be verified which interface packets leave by, so no path can be called blocked.',
    });
  }
  return missing;
}
