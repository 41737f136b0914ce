import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { IcepathError } from '../base/errors.js';
import type { HostInterface } from '../base/interface.js';
import { createIdentity } from '../net/certificate.js';
import { Driver } from '../net/driver.js';
import type { ControlPort } from '../net/control-port.js';
import { selectInterfaces } from '../net/interfaces.js';
import { withNat64 } from '../net/nat64.js';
import { pinningHere } from '../net/pinning.js';
import { backEnd } from '../net/quic/back-end.js';
import { identityFromPem } from '../net/quic/identity.js';
import { systemRandom } from '../net/random.js';
import { webrtcYardstick } from '../net/webrtc.js';
import { reportJson } from '../report/json.js';
import { styleOf } from '../report/style.js';
import { renderReport } from '../report/terminal.js';
import { judge } from '../session/judge.js';
import type { RecordEvent } from '../session/record.js';
import type { Session, SessionOptions } from '../session/session.js';
import type { QuicMeans } from '../session/transfer/types.js';
import type { Report } from '../verdict/report.js';
import { labEnvironment } from '../world/kernel/inside.js';
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
  const lab = labEnvironment(process.env);
  return {
    random: systemRandom,
    version: VERSION,
    name: lab?.name ?? hostname(),
    backend: lab?.backend ?? 'real',
    label: null,
    seed: lab?.seed ?? null,
    pinning,
  };
}

/** What QUIC needs of this host: a key of this run's, and the fastest ciphers that there are. */
export async function quicMeans(): Promise<QuicMeans> {
  const { certificate, key } = await createIdentity();
  return { identity: identityFromPem(certificate, key), ciphers: backEnd().ciphers };
}

export interface SessionRun {
  readonly session: Session;
  readonly interfaces: readonly HostInterface[];
  /** Whether interfaces that are plugged in under way are of the run, too: not where the user named those that are. */
  readonly joins: boolean;
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
  joins,
  port,
  writer,
  log,
  interruption,
}: SessionRun): Promise<Report | null> {
  const { hung = [], mute = [] } = labEnvironment(process.env) ?? {};
  const driver = new Driver({
    machine: session,
    interfaces: await withNat64(interfaces),
    ...(joins && { joins: (listed) => selectInterfaces(listed, []) }),
    sink: {
      event: (event: RecordEvent) => writer?.event(event),
      log: (level, name, fields) => {
        log[level](fields, name);
      },
    },
    yardstick: webrtcYardstick,
    hung,
    mute,
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
