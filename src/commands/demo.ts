import { createSocket } from 'node:dgram';
import type { Logger } from 'pino';
import { transportAddress } from '../base/address.js';
import type { HostInterface, InterfaceKind } from '../base/interface.js';
import { formatInvite, parseInvite } from '../control/invite.js';
import { connectControl } from '../net/control-client.js';
import type { ControlPort } from '../net/control-port.js';
import { listenControl } from '../net/control-server.js';
import { Driver } from '../net/driver.js';
import { systemRandom } from '../net/random.js';
import { listenReflectorTcp } from '../net/reflector-tcp.js';
import { ClientSession } from '../session/client.js';
import { Reflector } from '../session/reflector.js';
import { answerTcp } from '../session/reflector-tcp.js';
import { ServerSession } from '../session/server.js';
import type { Report } from '../verdict/report.js';
import { HEADER_MUTATIONS } from '../../probes/header-mutations.js';
import { defineCommand, EXIT, type CommandIo } from './command.js';
import { Interruption } from './interrupt.js';
import { createLog } from './log.js';
import { jsonOption, recordOption, verboseOption } from './options.js';
import type { RecordWriter } from './record-writer.js';
import { openRecord, printReport, runSession, sessionOptions } from './run-session.js';

/** `lab run` and `demo`: a scenario did not give what it must (verdicts.md, Exit codes). */
const EXIT_UNEXPECTED = 5;

const INTRODUCTION = `icepath demo: a server, a client and a reference host, all on this machine.

Real UDP sockets, the real control channel (TLS, an invite) and the real checks, over loopback addresses that stand
in for three interfaces on each host. Nothing here is simulated, and nothing is in the way: every path must come up.
Between two real hosts the same program tells which paths do not, why, and by whom.

`;

const MEANING = `
What you see: each line of the table is one path, an interface of the client to an interface of the server; "up" and
"down" are packets sent and received in each direction, told by both ends. On loopback there is no NAT, no carrier and
no wrong route. To try it between two hosts: start "icepath reflector" on a public host, "icepath server --reference
HOST:3478" on one, and "icepath client INVITE" on the other (README, "Two hosts").
`;

export const demoCommand = defineCommand({
  usage: 'demo',
  summary: 'one run on this machine, explained; needs no arguments, no root and no network',
  examples: [['icepath demo', 'a server and a client over loopback addresses']],
  options: { json: jsonOption, record: recordOption, verbose: verboseOption },
  run: async (options, io) => {
    const interruption = new Interruption(io.stderr);
    const log = createLog(options, io.stderr, io.env);
    const writer = openRecord(options.record, log);
    if (!options.json) io.stdout.write(INTRODUCTION);
    const report = await runOnLoopback(writer, log, interruption);
    printReport(report, options.json, io);
    if (!options.json) io.stdout.write(MEANING);
    if (writer?.failure) throw writer.failure;
    if (report.exit.code === EXIT.interrupted) return EXIT.interrupted;
    return verdictOf(report, io);
  },
});

function verdictOf(report: Report, { stderr }: CommandIo): number {
  const failed = report.paths.filter(({ state }) => state !== 'established');
  if (failed.length === 0 && report.paths.length > 0) return EXIT.ok;
  stderr.write(`icepath: on loopback every path must be established, but ${failed.length} are not\n`);
  return EXIT_UNEXPECTED;
}

/** The three programs of a real run in one process. */
async function runOnLoopback(writer: RecordWriter | null, log: Logger, interruption: Interruption): Promise<Report> {
  const at = (await hasLoopbackNet()) ? (host: number, index: number) => `127.0.${host}.${index}` : () => '127.0.0.1';
  const reference = transportAddress(at(9, 1), await freePort(at(9, 1)));
  const alternate =
    at(9, 1) === at(9, 2) ? null : transportAddress(at(9, 2), reference.port === 65_535 ? 1024 : reference.port + 1);
  const reflector = new Driver({
    machine: new Reflector({ listen: reference, alternate, ports: [], random: systemRandom }),
    interfaces: [],
    sink: { event: () => undefined, log: () => undefined },
  });
  const reflecting = reflector.run();
  const stopTcp = await listenReflectorTcp(reference, answerTcp);
  const quiet = log.child({}, { level: 'error' });
  let serving: Promise<unknown> = Promise.resolve();
  const common = { ...sessionOptions(quiet), backend: 'loopback' };
  const control = await listenControl({
    listen: { address: '127.0.0.1', port: 0 },
    secret: systemRandom.bytes(16),
    once: true,
    onPeer: (port: ControlPort) => {
      const session = new ServerSession({ ...common, name: 'desktop', references: [], pin: null });
      serving = runSession({
        session,
        interfaces: standIns(at, 2, 'usb0', 'tethered'),
        port,
        writer: null,
        log: quiet,
        interruption: null,
      });
    },
  });
  try {
    const port = await connectControl(parseInvite(formatInvite(control.invite)), { timeoutMs: 5000 });
    const session = new ClientSession(
      {
        policy: 'cellular,wifi,ethernet',
        arms: HEADER_MUTATIONS.arms,
        firstOnly: false,
        wanted: null,
        pin: false,
        references: [reference],
        checksPerPair: 7,
        webrtc: false,
      },
      { ...common, name: 'laptop', references: [reference] },
    );
    const report = await runSession({
      session,
      interfaces: standIns(at, 1, 'wwan0', 'cellular'),
      port,
      writer,
      log,
      interruption,
    });
    if (!report) throw new Error('the demo ended before it began');
    return report;
  } finally {
    await serving;
    await control.close();
    reflector.stop();
    await reflecting;
    await stopTcp();
  }
}

function standIns(
  at: (host: number, index: number) => string,
  host: number,
  uplink: string,
  kind: InterfaceKind,
): HostInterface[] {
  const on = (name: string, as: InterfaceKind, label: string, index: number): HostInterface => ({
    name,
    kind: as,
    label,
    addresses: [{ family: 'ipv4', address: at(host, index), prefixLength: 8 }],
  });
  return [on('eth0', 'ethernet', 'lan', 1), on('wlan0', 'wifi', 'home', 2), on(uplink, kind, 'carrier', 3)];
}

/** Linux has all of 127.0.0.0/8; elsewhere one address plays every part. */
async function hasLoopbackNet(): Promise<boolean> {
  return (await tryBind('127.0.1.1')) !== null;
}

async function freePort(address: string): Promise<number> {
  return (await tryBind(address)) ?? 0;
}

/** A port that is free on `address` at the moment; `null` where the address cannot be bound. */
function tryBind(address: string): Promise<number | null> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', () => {
      socket.close();
      resolve(null);
    });
    socket.bind(0, address, () => {
      const { port } = socket.address();
      socket.close(() => {
        resolve(port);
      });
    });
  });
}
