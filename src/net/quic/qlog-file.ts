import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import type { Ms } from '../../base/time.js';
import type { Observed } from '../../quic/connection/types.js';
import { QlogTrace, type TraceTitle } from '../../quic/qlog/trace.js';

export interface QlogFile {
  readonly path: string;
  /** For `ConnectionOptions`. */
  readonly observe: (observed: Observed, now: Ms) => void;
}

/** What waits for the disk; more is left out. */
const MOST_WAITING_BYTES = 16 * 1024 * 1024;
/** A trace ends there. */
const MOST_BYTES = 512 * 1024 * 1024;

/**
 * A qlog of one connection in `folder`, closed when the connection is over. A disk that is full or slow ends the trace or
 * leaves gaps in it, and never the connection: `onError` is told once.
 */
export function qlogFile(folder: string, title: TraceTitle, onError: (error: Error) => void): QlogFile {
  const path = join(folder, `${title.title.replaceAll(/[^\w.-]/g, '_')}.sqlog`);
  const trace = new QlogTrace(title.startedAt);
  const file = createWriteStream(path, { flags: 'w' });
  let written = 0;
  let isOver = false;
  const end = (): void => {
    if (isOver) return;
    isOver = true;
    file.end();
  };
  file.on('error', (error) => {
    if (!isOver) onError(error);
    isOver = true;
  });
  const write = (line: string): void => {
    written += line.length;
    file.write(line);
  };
  write(trace.header(title));
  return {
    path,
    observe: (observed, now) => {
      if (isOver) return;
      if (written > MOST_BYTES) {
        end();
        return;
      }
      const line = trace.line(observed, now);
      if (line !== null && file.writableLength < MOST_WAITING_BYTES) write(line);
      if (observed.type === 'event' && observed.event.type === 'drained') end();
    },
  };
}
