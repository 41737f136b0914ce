import { nodeCiphers } from '../quic/crypto/node-ciphers.js';
import type { QuicMeans } from '../session/transfer/types.js';
import { virtualIdentity } from './virtual-identity.js';
import { transportAddress, type TransportAddress } from '../base/address.js';
import type { IcepathError } from '../base/errors.js';
import { SeededRandom } from '../base/random.js';
import type { Ms } from '../base/time.js';
import { ClientSession, type ClientPlan } from '../session/client.js';
import { judge } from '../session/judge.js';
import type { RecordEvent } from '../session/record.js';
import type { MatrixDesign } from '../session/matrix-design.js';
import { Reflector } from '../session/reflector.js';
import { ServerSession } from '../session/server.js';
import type { TurnServer } from '../turn/types.js';
import type { Report } from '../verdict/report.js';
import { connectControl, type ControlOptions } from './control-link.js';
import type { Host } from './host.js';
import { type HostName, type Internet, REFERENCE_ADDRESSES } from './internet.js';
import { startTurnServer } from './turn-host.js';
import { VirtualDriver } from './virtual-driver.js';

export interface VirtualRunOptions {
  readonly internet: Internet;
  readonly seed: string | number;
  /** Of the program. */
  readonly version: string;
  readonly plan: ClientPlan;
  /** The server's own word on pinning. */
  readonly serverPin?: boolean | null;
  /** `false`: nobody listens on the reference host. */
  readonly reflector?: boolean;
  /** `false`: its second address is not used; whoever asks for it learns so (RFC 5780 §7.2). */
  readonly alternate?: boolean;
  /** Whether it has a TURN server, which both ends know. */
  readonly relay?: boolean;
  /** More ports that it answers on. */
  readonly referencePorts?: readonly number[];
  /** As `--ports` says, by host. */
  readonly ports?: Readonly<Record<HostName, readonly number[]>>;
  readonly guessPorts?: Readonly<Record<HostName, boolean>>;
  /** When the server is started, the client being the first. */
  readonly serverLateMs?: Ms;
  /** The wall clocks, ISO 8601. */
  readonly startedAt?: Readonly<Record<HostName, string>>;
  /** What people call the hosts. */
  readonly names?: Readonly<Record<HostName, string>>;
  /** Interfaces that are hung, by host. */
  readonly hung?: Readonly<Record<HostName, readonly string[]>>;
  /** Interfaces that are mute, by host. */
  readonly mute?: Readonly<Record<HostName, readonly string[]>>;
  /** Of the matrix at both ends, where it is not the usual one. */
  readonly design?: MatrixDesign;
  /** `false`: none follow the matrix. */
  readonly experiments?: boolean;
  /** What brings the two together, where it is not a control channel over the virtual networks. */
  readonly connect?: (ends: ControlOptions) => void;
  /** Told of each line of the client's record when it is written. */
  readonly onEvent?: (event: RecordEvent) => void;
}

export const REFERENCE_PORTS = [3478, 3479] as const;
const CONTROL_PORT = 4800;
/** The wall clock when a virtual run begins: the same every time, as all of it is. */
export const STARTED_AT = '2024-06-06T11:46:00.000Z';
/** Far beyond what any run takes. */
const LONGEST_MS: Ms = 600_000;

/** Client, server and reflectors on one simulated internet, from start to report. */
export class VirtualRun {
  readonly client: VirtualDriver;
  readonly server: VirtualDriver;
  readonly #options: VirtualRunOptions;
  #failure: IcepathError | null = null;

  constructor(options: VirtualRunOptions) {
    this.#options = options;
    const { internet, seed, version, plan, serverPin = null } = options;
    const { client, server } = internet.hosts;
    const { ports = { client: [], server: [] }, guessPorts = { client: false, server: false } } = options;
    const { client: L, server: D } = options.names ?? { client: 'L', server: 'D' };
    const common = {
      version,
      backend: 'virtual',
      label: null,
      seed,
      pinning: 'device',
      ...(options.design && { design: options.design }),
      ...(options.experiments !== undefined && { experiments: options.experiments }),
    } as const;
    const turn = options.relay === true ? this.#startTurnServers() : [];
    const connect = options.connect ?? connectControl;
    const random = (name: string): SeededRandom => new SeededRandom(`${name} ${seed}`);
    // Keys cost time that only a transfer is worth.
    const meansOf = (name: string): QuicMeans | null =>
      plan.transfer ? { identity: virtualIdentity(random(`quic ${name}`)), ciphers: nodeCiphers } : null;
    const machines = {
      client: new ClientSession(plan, {
        ...common,
        name: L,
        random: random('L'),
        references: plan.references,
        ports: ports.client,
        turn,
        guessPorts: guessPorts.client,
        quic: meansOf('L'),
      }),
      server: new ServerSession({
        ...common,
        name: D,
        random: random('D'),
        references: [],
        pin: serverPin,
        ports: ports.server,
        turn,
        guessPorts: guessPorts.server,
        quic: meansOf('D'),
      }),
    };
    const startedAt = options.startedAt ?? { client: STARTED_AT, server: STARTED_AT };
    this.client = this.#driver(machines.client, client, startedAt.client);
    this.server = this.#driver(machines.server, server, startedAt.server);
    if (options.reflector !== false) this.#startReflectors();
    const { network } = internet;
    network.after(0, () => {
      this.client.start();
    });
    network.after(options.serverLateMs ?? 0, () => {
      this.server.start();
      connect({
        client: this.client,
        server: this.server,
        addresses: controlAddresses(server),
        failed: (error) => {
          this.#failure = error;
        },
      });
    });
  }

  /** What happens meanwhile: a kill, an interface that goes down. */
  at(ms: Ms, act: () => void): void {
    this.#options.internet.network.at(ms, act);
  }

  /**
   * Runs to the client's end, or until `signal` interrupts it, and judges its record. Throws where it does not come to
   * an end, or no control channel comes up.
   */
  run(signal?: AbortSignal): Report {
    const { network } = this.#options.internet;
    const isDone = (): boolean => {
      if (signal?.aborted === true) this.client.interrupt();
      return this.client.isOver || this.#failure !== null;
    };
    network.runUntil(network.now + LONGEST_MS, isDone);
    if (this.#failure) throw this.#failure;
    if (!this.client.isOver) throw new Error(`the run did not end within ${LONGEST_MS} ms`);
    return judge(this.client.events);
  }

  #driver(machine: ClientSession | ServerSession | Reflector, host: Host, startedAt: string): VirtualDriver {
    const { internet, seed } = this.#options;
    const random = new SeededRandom(`driver of ${host.name} ${seed}`);
    const answersTcp = machine instanceof Reflector;
    const { hung, mute, onEvent } = this.#options;
    const role = machine instanceof ServerSession ? 'server' : machine instanceof ClientSession ? 'client' : null;
    const own = {
      ...(role && hung ? { hung: hung[role] } : {}),
      ...(role && mute ? { mute: mute[role] } : {}),
      ...(machine instanceof ClientSession && onEvent ? { onEvent } : {}),
    };
    return new VirtualDriver({ machine, host, network: internet.network, random, startedAt, answersTcp, ...own });
  }

  #startTurnServers(): TurnServer[] {
    const { internet, seed } = this.#options;
    const addresses = internet.reference.interfaces.flatMap(({ addresses: own }) => own);
    const families = [...new Set(addresses.map(({ family }) => family))];
    return families.map((family) =>
      startTurnServer(internet.reference, internet.network, REFERENCE_ADDRESSES[family][0], seed),
    );
  }

  #startReflectors(): void {
    const { internet, seed, alternate = true, referencePorts = [] } = this.#options;
    const addresses = internet.reference.interfaces.flatMap(({ addresses: own }) => own);
    for (const family of new Set(addresses.map((one) => one.family))) {
      const [first, second] = REFERENCE_ADDRESSES[family];
      const reflector = new Reflector({
        listen: transportAddress(first, REFERENCE_PORTS[0]),
        alternate: alternate ? transportAddress(second, REFERENCE_PORTS[1]) : null,
        ports: referencePorts,
        random: new SeededRandom(`reflector ${first} ${seed}`),
      });
      this.#driver(reflector, internet.reference, STARTED_AT).start();
    }
  }
}

/** As an invite lists them: those of the LAN first, where there is one, since that is the host's first interface. */
function controlAddresses({ interfaces }: Host): TransportAddress[] {
  return interfaces.flatMap(({ addresses }) => addresses.map(({ address }) => transportAddress(address, CONTROL_PORT)));
}
