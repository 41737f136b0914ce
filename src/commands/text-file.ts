import { closeSync, openSync, readSync } from 'node:fs';
import { errorCode } from '../base/errors.js';

/** A page of text; what is larger is something else. */
const MAX_BYTES = 256 * 1024;

/** The text of a file that people wrote. Throws what `unreadable` makes of the reason. */
export function readTextFile(file: string, unreadable: (why: string, cause?: unknown) => Error): string {
  try {
    const descriptor = openSync(file, 'r');
    try {
      const bytes = Buffer.alloc(MAX_BYTES + 1);
      let length = 0;
      for (let more = -1; more !== 0 && length < bytes.length; length += more) {
        more = readSync(descriptor, bytes, length, bytes.length - length, null);
      }
      if (length <= MAX_BYTES) return bytes.toString('utf8', 0, length);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw unreadable(errorCode(error), error);
  }
  throw unreadable(`it is larger than ${MAX_BYTES / 1024} KiB`);
}
