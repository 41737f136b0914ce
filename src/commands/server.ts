import { formatInvite } from '../control/invite.js';
import { listenControl } from '../net/control-server.js';
import type { ControlPort } from '../net/control-port.js';
import { listInterfaces, selectInterfaces } from '../net/interfaces.js';
import { systemRandom } from '../net/random.js';
import { ServerSession } from '../session/server.js';
import { interfaceOption } from './client.js';
import { defineCommand, EXIT } from './command.js';
import { Interruption } from './interrupt.js';
import { createLog } from './log.js';
import {
  guessPortsOption,
  jsonOption,
  listenOption,
  onceOption,
  pinOption,
  portsOption,
  recordOption,
  referenceOption,
  verboseOption,
} from './options.js';
import { rendezvousOption } from './rendezvous.js';
import { resolveAll } from './resolve.js';
import { openRecord, printReport, quicMeans, runSession, sessionOptions } from './run-session.js';
import { resolveTurn, turnOption } from './turn-option.js';

const SECRET_BYTES = 16;

export const serverCommand = defineCommand({
  usage: 'server',
  summary: 'wait for a client: prints an invite to give to the other person',
  examples: [
    ['icepath server', 'all interfaces; the invite is the one line on stdout'],
    ['icepath server --interface eth0 --interface usb0=cellular:telekom --once', 'two interfaces, one client'],
  ],
  options: {
    listen: listenOption,
    rendezvous: rendezvousOption,
    interface: interfaceOption,
    reference: referenceOption,
    turn: turnOption,
    pin: pinOption,
    ports: portsOption,
    'guess-ports': guessPortsOption,
    record: recordOption,
    once: onceOption,
    json: jsonOption,
    verbose: verboseOption,
  },
  run: async (options, io) => {
    const interruption = new Interruption(io.stderr);
    const log = createLog(options, io.stderr, io.env);
    // A wrong --interface is said now, not when a client comes.
    selectInterfaces(listInterfaces(), options.interface);
    let runs = 0;
    let writer = openRecord(options.record, log);
    const references = await resolveAll(options.reference);
    const turn = await resolveTurn(options.turn, io.env);
    const clients = new Waiting<ControlPort>();
    const control = await listenControl({
      listen: options.listen ?? (options.rendezvous === undefined ? { address: null, port: 0 } : null),
      ...(options.rendezvous !== undefined && { rendezvous: options.rendezvous }),
      secret: systemRandom.bytes(SECRET_BYTES),
      once: options.once,
      onPeer: (port) => {
        clients.offer(port);
      },
      onRendezvous: (code, reason) => {
        log[code === null ? 'info' : 'warn']({ rendezvous: options.rendezvous, code, reason }, 'rendezvous');
      },
      onRefused: (peer, code, reason) => {
        log.warn({ peer, code, reason }, 'refused');
      },
    });
    const line = `${formatInvite(control.invite)}\n`;
    (options.json ? io.stderr : io.stdout).write(line);
    try {
      for (let served = 0; served === 0 || !options.once; served += 1) {
        const port = await interruption.during(clients.next(), () => {
          clients.end();
        });
        if (!port) break;
        log.info({ client: port.peerAddress }, 'client');
        const session = new ServerSession({
          ...sessionOptions(log),
          quic: await quicMeans(),
          references,
          turn,
          ports: options.ports ?? [],
          guessPorts: options['guess-ports'],
          pin: options.pin === undefined ? null : options.pin === 'auto',
        });
        const interfaces = selectInterfaces(listInterfaces(), options.interface);
        const report = await runSession({
          session,
          interfaces,
          joins: options.interface.length === 0,
          port,
          writer,
          log,
          interruption,
        });
        if (!report) log.warn('the client was gone before the run began');
        else printReport(report, options.json, io);
        if (port.failure) log.error({ code: port.failure.code, next: port.failure.nextStep }, port.failure.message);
        if (options.once && writer?.failure) throw writer.failure;
        if (interruption.happened) break;
        if (report) runs += 1;
        if (!options.once) writer = openRecord(recordOf(options.record, runs), log);
      }
    } finally {
      interruption.release();
      writer?.close();
      await control.close();
    }
    return interruption.happened ? EXIT.interrupted : EXIT.ok;
  },
});

/** A second client's record does not replace the first one's: `FILE.2`, `FILE.3` … */
function recordOf(file: string | undefined, runs: number): string | undefined {
  return file === undefined || runs === 0 ? file : `${file}.${String(runs + 1)}`;
}

/** Clients that came, one at a time, for a loop that serves them. */
class Waiting<T> {
  readonly #items: (T | null)[] = [];
  #wake: () => void = () => undefined;

  offer(item: T): void {
    this.#items.push(item);
    this.#wake();
  }

  end(): void {
    this.#items.push(null);
    this.#wake();
  }

  /** `null` once there will be no more. */
  async next(): Promise<T | null> {
    while (this.#items.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#items.shift() ?? null;
  }
}
