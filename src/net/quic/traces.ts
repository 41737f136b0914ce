import { createWriteStream, type WriteStream } from 'node:fs';
import type { ConnectionOptions } from '../../quic/connection/types.js';
import { monotonicNow } from '../clock.js';
import type { HostLog } from './host.js';
import { qlogFile } from './qlog-file.js';

/** What of connections is written to disk. Whoever reads the key log can read the connections: only where it is asked for. */
export class Traces {
  readonly #qlogFolder: string | null;
  readonly #keylog: WriteStream | null;
  readonly #log: HostLog;
  #count = 0;

  constructor(qlogFolder: string | null, keylogFile: string | null = keylogOfEnvironment(), log: HostLog) {
    this.#qlogFolder = qlogFolder;
    this.#log = log;
    this.#keylog = keylogFile === null ? null : createWriteStream(keylogFile, { flags: 'a', mode: 0o600 });
    this.#keylog?.on('error', (error) => {
      log('warn', 'quic.keylog-failed', { message: error.message });
    });
    if (keylogFile !== null) log('warn', 'quic.keylog', { file: keylogFile });
  }

  /** What a new connection is given for it. */
  options(vantagePoint: 'client' | 'server'): Pick<ConnectionOptions, 'observe' | 'keylog'> {
    const keylog = this.#keylog;
    return {
      ...(keylog && { keylog: (line: string) => keylog.write(`${line}\n`) }),
      ...(this.#qlogFolder !== null && { observe: this.#qlog(this.#qlogFolder, vantagePoint) }),
    };
  }

  #qlog(folder: string, vantagePoint: 'client' | 'server'): NonNullable<ConnectionOptions['observe']> {
    this.#count += 1;
    const referenceTime = Date.now();
    const title = `${vantagePoint}-${String(referenceTime)}-${String(process.pid)}-${String(this.#count)}`;
    const { path, observe } = qlogFile(
      folder,
      { title, vantagePoint, referenceTime, startedAt: monotonicNow() },
      (error) => {
        this.#log('warn', 'quic.qlog-failed', { file: path, message: error.message });
      },
    );
    this.#log('debug', 'quic.qlog', { file: path });
    return observe;
  }

  close(): void {
    this.#keylog?.end();
  }
}

/** Of Firefox, curl and others (draft-ietf-tls-keylogfile); an empty one is none. */
function keylogOfEnvironment(): string | null {
  const { SSLKEYLOGFILE: file = '' } = process.env;
  return file === '' ? null : file;
}
