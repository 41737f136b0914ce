import { createReadStream } from 'node:fs';
import { errorCode, IcepathError } from '../base/errors.js';
import { RECORD_VERSION, recordEventSchema, type RecordEvent } from '../session/record.js';

/** A file that says it is a record may be anything: bounds on one line and on the whole. */
const MAX_LINE_BYTES = 1024 * 1024;
const MAX_EVENTS = 2_000_000;

const KNOWN_TYPES: ReadonlySet<string> = new Set(
  recordEventSchema.options.flatMap(({ shape }) => [...shape.type.values]),
);

const WHY_SHORT = 'the run was stopped while it was written, or the disk was full';

export interface RecordFile {
  readonly events: readonly RecordEvent[];
  /** What was left out, and why: sentences for people. */
  readonly notes: readonly string[];
}

/**
 * Reads a record. A last line that was cut off and events of unknown types are left out and noted, a missing end is noted;
 * anything else that is not a record throws an `IcepathError` (`record-…`) that names the line.
 */
export async function readRecord(file: string): Promise<RecordFile> {
  const events: RecordEvent[] = [];
  const unknown = new Map<string, number>();
  const notes: string[] = [];
  let number = 0;
  for await (const { text, complete } of linesOf(file)) {
    number += 1;
    if (text.trim() === '') continue;
    const json = parseJson(text);
    if (json === undefined && !complete) {
      notes.push(`line ${number}, the last one, is cut off and left out: ${WHY_SHORT}`);
      continue;
    }
    if (json === undefined) throw invalid(`${file}, line ${number}: not JSON`);
    const event = validate(json, `${file}, line ${number}`);
    if ('unknownType' in event) unknown.set(event.unknownType, (unknown.get(event.unknownType) ?? 0) + 1);
    else events.push(event);
    if (events.length > MAX_EVENTS) throw tooLarge(file, `more than ${MAX_EVENTS} events`);
  }
  // Written in pieces of whole lines, so one that is too short need not be cut off within a line.
  if (notes.length === 0 && !events.some(({ type }) => type === 'end')) {
    notes.push(`it does not go to the run's end: ${WHY_SHORT}`);
  }
  for (const [type, count] of unknown) {
    notes.push(`${count} of unknown type ${JSON.stringify(type)} left out: written by another version of icepath`);
  }
  if (events.length === 0) {
    throw new IcepathError('record-empty', `${file} holds no event`, 'Give the file that --record wrote.');
  }
  return { events, notes };
}

function validate(json: unknown, where: string): RecordEvent | { readonly unknownType: string } {
  const event = recordEventSchema.safeParse(json);
  if (event.success) return event.data;
  const type = fieldOf(json, 'type');
  const version = fieldOf(json, 'v');
  if (type === 'run' && version !== RECORD_VERSION) {
    throw new IcepathError(
      'record-version',
      `${where}: version ${JSON.stringify(version)} of the record is not known, only ${RECORD_VERSION}`,
      'Use the version of icepath that wrote the record.',
    );
  }
  if (typeof type === 'string' && !KNOWN_TYPES.has(type)) return { unknownType: type.slice(0, 80) };
  const issue = event.error.issues[0];
  const what = issue === undefined ? 'not an event' : `${issue.path.join('.')} ${issue.message}`.trim();
  throw invalid(`${where}: ${what}`);
}

function invalid(message: string): IcepathError {
  return new IcepathError('record-invalid', message, 'Give a file that --record wrote, unchanged.');
}

function fieldOf(json: unknown, name: string): unknown {
  return typeof json === 'object' && json !== null ? Object.getOwnPropertyDescriptor(json, name)?.value : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Lines with whether a line break ended them. Bounded: a line of more than {@link MAX_LINE_BYTES} is refused. */
async function* linesOf(file: string): AsyncGenerator<{ readonly text: string; readonly complete: boolean }> {
  let rest = Buffer.alloc(0);
  try {
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
      rest = Buffer.concat([rest, chunk]);
      for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
        yield { text: rest.toString('utf8', 0, end), complete: true };
        rest = rest.subarray(end + 1);
      }
      if (rest.length > MAX_LINE_BYTES) throw tooLarge(file, `a line of more than ${MAX_LINE_BYTES} bytes`);
    }
  } catch (error) {
    if (error instanceof IcepathError) throw error;
    throw new IcepathError(
      'record-unreadable',
      `${file} cannot be read: ${errorCode(error)}`,
      'Check the name and that you may read it.',
      { cause: error },
    );
  }
  if (rest.length > 0) yield { text: rest.toString('utf8'), complete: false };
}

function tooLarge(file: string, what: string): IcepathError {
  return new IcepathError('record-too-large', `${file} has ${what}`, 'Give a file that --record wrote.');
}
