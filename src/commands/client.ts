import { parseInvite } from '../control/invite.js';
import { parsePolicy } from '../ice/policy.js';
import { CONTROL_ARM } from '../mutation/names.js';
import { connectControl } from '../net/control-client.js';
import { listInterfaces, parseInterfaceOption, selectInterfaces } from '../net/interfaces.js';
import { ClientSession } from '../session/client.js';
import { HEADER_MUTATIONS } from '../../probes/header-mutations.js';
import { defineCommand, EXIT } from './command.js';
import { Interruption } from './interrupt.js';
import { createLog } from './log.js';
import {
  argument,
  armsOption,
  type ChosenArms,
  deepOption,
  firstOnlyOption,
  guessPortsOption,
  jsonOption,
  pinOption,
  portsOption,
  preferOption,
  recordOption,
  referenceOption,
  repeated,
  verboseOption,
  wantedOption,
  webrtcOption,
} from './options.js';
import { profileOption } from './profiles.js';
import { resolveAll } from './resolve.js';
import { openRecord, peerGone, printReport, quicMeans, runSession, sessionOptions } from './run-session.js';
import { durationOption, rateOption, transferOption, transferPlan } from './transfer-options.js';
import { resolveTurn, turnOption } from './turn-option.js';

export const CONNECT_TIMEOUT_MS = 8000;
/** Every pair gets this many checks before the run may end. */
export const CHECKS_PER_PAIR = 7;
/** The paths that people ask about come first: the shared LAN is what ICE alone would find. */
const DEFAULT_POLICY = ['cellular', 'tethered', 'wifi', 'ethernet'];

export const interfaceOption = repeated(
  'NAME[=KIND[:LABEL]]',
  'an interface to use, and what it is: wwan0=cellular:o2; repeatable; all that are up if left out',
  parseInterfaceOption,
);

export const clientCommand = defineCommand({
  usage: 'client <invite>',
  summary: 'probe every path to the server of an invite, and tell which work, which do not, and why',
  examples: [
    ["icepath client 'icepath://192.0.2.7:4800/…'", 'all interfaces, all paths'],
    [
      "icepath client 'icepath://…' --interface eth0 --interface wwan0=cellular:o2 --reference 198.51.100.10:3478",
      'two interfaces, one of them with its carrier named, and a public reference host as control',
    ],
  ],
  options: {
    invite: argument('INVITE', 'the line that icepath server printed'),
    interface: interfaceOption,
    reference: referenceOption,
    turn: turnOption,
    wanted: wantedOption,
    prefer: preferOption,
    'first-only': firstOnlyOption,
    arms: armsOption,
    deep: deepOption,
    pin: pinOption,
    ports: portsOption,
    'guess-ports': guessPortsOption,
    webrtc: webrtcOption,
    duration: durationOption,
    transfer: transferOption,
    rate: rateOption,
    profile: profileOption,
    record: recordOption,
    json: jsonOption,
    verbose: verboseOption,
  },
  run: async (options, io) => {
    const interruption = new Interruption(io.stderr);
    const log = createLog(options, io.stderr, io.env);
    const invite = parseInvite(options.invite);
    const policy = (options.prefer ?? DEFAULT_POLICY).join(',');
    parsePolicy(policy);
    const transfer = transferPlan(options);
    const interfaces = selectInterfaces(listInterfaces(), options.interface);
    const references = await resolveAll(options.reference);
    const turn = await resolveTurn(options.turn, io.env);
    const chosen = options.arms ?? { arms: HEADER_MUTATIONS.arms, ownArms: [], ownExperiments: [] };
    const { arms, ownArms, ownExperiments }: ChosenArms = chosen;
    const writer = openRecord(options.record, log);
    const port = await connectControl(invite, { timeoutMs: CONNECT_TIMEOUT_MS }).catch((error: unknown) => {
      writer?.close();
      throw error;
    });
    log.info({ server: port.peerAddress }, 'connected');
    const session = new ClientSession(
      {
        policy,
        arms: arms.includes(CONTROL_ARM) ? arms : [CONTROL_ARM, ...arms],
        ownArms,
        ownExperiments,
        firstOnly: options['first-only'],
        deep: options.deep,
        wanted: options.wanted.length > 0 ? options.wanted : null,
        pin: options.pin !== 'off',
        references,
        checksPerPair: CHECKS_PER_PAIR,
        webrtc: options.webrtc,
        ...transfer,
        ...(options.profile && { profile: { name: options.profile.name, fields: options.profile.fields } }),
      },
      {
        ...sessionOptions(log),
        ...(transfer.transfer && { quic: await quicMeans() }),
        references,
        turn,
        ports: options.ports ?? [],
        guessPorts: options['guess-ports'],
      },
    );
    const report = await runSession({
      session,
      interfaces,
      joins: options.interface.length === 0,
      port,
      writer,
      log,
      interruption,
    });
    interruption.release();
    if (!report && interruption.happened) return interruption.beforeTheRun();
    if (!report) throw session.failure ?? port.failure ?? peerGone();
    printReport(report, options.json, io);
    // The report stands, and whoever reads it is to know.
    if (port.failure?.code === 'rendezvous-tampered') throw port.failure;
    if (writer?.failure) throw writer.failure;
    return report.exit.code === 0 ? EXIT.ok : report.exit.code;
  },
});
