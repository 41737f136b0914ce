import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { IcepathError } from '../base/errors.js';
import type { HostInterface } from '../base/interface.js';
import { Driver } from '../net/driver.js';
import type { ControlPort } from '../net/control-port.js';
import { pinningHere } from '../net/pinning.js';
import { systemRandom } from '../net/random.js';
import { webrtcYardstick } from '../net/webrtc.js';
import { reportJson } from '../report/json.js';
import { styleOf } from '../report/style.js';
import { renderReport } from '../report/terminal.js';
import { judge } from '../session/judge.js';
import type { RecordEvent } from '../session/record.js';
import type { Session, SessionOptions } from '../session/session.js';
import type { Report } from '../verdict/report.js';
import type { CommandIo } from './command.js';
import type { Interruption } from './interrupt.js';
import { RecordWriter } from './record-writer.js';
import { VERSION } from './version.js';

/** What both ends of a run say of themselves. */
export function sessionOptions(log: Logger): Omit<SessionOptions, 'references'> {
  const { pinning, reason } = pinningHere();
  if (reason !== null)
    log.warn(
      { reason },
      'sockets cannot be pinned to their interface: they are bound by address, and what leaves where is verified',
    );
  return {
    random: systemRandom,
    version: VERSION,
    name: hostname(),
    backend: 'real',
    label: null,
    seed: null,
    pinning,
  };
}

export interface SessionRun {
  readonly session: Session;
  readonly interfaces: readonly HostInterface[];
  readonly port: ControlPort;
  /** Closed when the run is over. */
  readonly writer: RecordWriter | null;
  readonly log: Logger;
  /** Who tells of Ctrl-C; `null`: somebody else in this process. */
  readonly interruption: Interruption | null;
}

/** The record of a run, opened before it begins. Throws `record-unwritable`. */
export function openRecord(file: string | undefined, log: Logger): RecordWriter | null {
  if (file === undefined) return null;
  return new RecordWriter(file, (reason) => {
    log.error({ reason }, 'the record could not be written to its end');
  });
}

/**
 * Runs one session to its end on real sockets; Ctrl-C ends it with what is known. Resolves with its report, `null`
 * where the far end was gone before the run began.
 */
export async function runSession({
  session,
  interfaces,
  port,
  writer,
  log,
  interruption,
}: SessionRun): Promise<Report | null> {
  const driver = new Driver({
    machine: session,
    interfaces,
    sink: {
      event: (event: RecordEvent) => writer?.event(event),
      log: (level, name, fields) => {
        log[level](fields, name);
      },
    },
    yardstick: webrtcYardstick,
  });
  const done = driver.run();
  driver.connect(port);
  try {
    await (interruption?.during(done, () => {
      driver.interrupt();
    }) ?? done);
  } finally {
    writer?.close();
  }
  return session.events.length > 0 ? judge(session.events) : null;
}

export function printReport(report: Report, json: boolean, { stdout, env }: CommandIo): void {
  stdout.write(json ? reportJson(report) : renderReport(report, styleOf(stdout, env)));
}

export function peerGone(): IcepathError {
  return new IcepathError(
    'peer-gone',
    'the far end was gone before the run began',
    'Start icepath server again, and give its new invite.',
  );
}
