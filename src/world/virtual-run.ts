import { transportAddress, type TransportAddress } from '../base/address.js';
import { SeededRandom } from '../base/random.js';
import type { Ms } from '../base/time.js';
import { ClientSession, type ClientPlan } from '../session/client.js';
import { judge } from '../session/judge.js';
import { Reflector } from '../session/reflector.js';
import { ServerSession } from '../session/server.js';
import type { Report } from '../verdict/report.js';
import type { Host } from './host.js';
import { type Internet, REFERENCE_ADDRESSES } from './internet.js';
import { connectControl, VirtualDriver } from './virtual-driver.js';

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
  /** One way, of what client and server tell each other. */
  readonly controlMs?: Ms;
  /** When the server is started, the client being the first. */
  readonly serverLateMs?: Ms;
  /** The wall clocks, ISO 8601: for people only. */
  readonly startedAt?: Readonly<Record<'client' | 'server', string>>;
}

export const REFERENCE_PORTS = [3478, 3479] as const;
const CONTROL_PORT = 4800;
const STARTED_AT = '2024-06-06T11:46:00.000Z';
/** Far beyond what any run takes. */
const LONGEST_MS: Ms = 300_000;

/** Client, server and reflectors on one simulated internet, from start to report. */
export class VirtualRun {
  readonly client: VirtualDriver;
  readonly server: VirtualDriver;
  readonly #options: VirtualRunOptions;

  constructor(options: VirtualRunOptions) {
    this.#options = options;
    const { internet, seed, version, plan, serverPin = null } = options;
    const { client, server } = internet.hosts;
    const common = { version, backend: 'virtual', label: null, seed, pinning: 'device' } as const;
    const random = (name: string): SeededRandom => new SeededRandom(`${name} ${seed}`);
    const machines = {
      client: new ClientSession(plan, { ...common, name: 'L', random: random('L'), references: plan.references }),
      server: new ServerSession({ ...common, name: 'D', random: random('D'), references: [], pin: serverPin }),
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
      const addresses = { client: controlAddress(client), server: controlAddress(server) };
      connectControl(network, this.client, this.server, addresses, options.controlMs ?? 1);
    });
  }

  /** What happens meanwhile: a kill, an interface that goes down. */
  at(ms: Ms, act: () => void): void {
    this.#options.internet.network.at(ms, act);
  }

  /** Runs to the client's end and judges its record. Throws where it does not come to one. */
  run(): Report {
    const { network } = this.#options.internet;
    network.runUntil(network.now + LONGEST_MS, () => this.client.isOver);
    if (!this.client.isOver) throw new Error(`the run did not end within ${LONGEST_MS} ms`);
    return judge(this.client.events);
  }

  #driver(machine: ClientSession | ServerSession | Reflector, host: Host, startedAt: string): VirtualDriver {
    const { internet, seed } = this.#options;
    const random = new SeededRandom(`driver of ${host.name} ${seed}`);
    const answersTcp = machine instanceof Reflector;
    return new VirtualDriver({ machine, host, network: internet.network, random, startedAt, answersTcp });
  }

  #startReflectors(): void {
    const { internet, seed } = this.#options;
    const addresses = internet.reference.interfaces.flatMap(({ addresses: own }) => own);
    for (const family of new Set(addresses.map((one) => one.family))) {
      const [first, second] = REFERENCE_ADDRESSES[family];
      const reflector = new Reflector({
        listen: transportAddress(first, REFERENCE_PORTS[0]),
        alternate: transportAddress(second, REFERENCE_PORTS[1]),
        ports: [],
        random: new SeededRandom(`reflector ${first} ${seed}`),
      });
      this.#driver(reflector, internet.reference, STARTED_AT).start();
    }
  }
}

/** The first address of the first interface: where the control channel runs, which says nothing of the paths. */
function controlAddress(host: Host): TransportAddress {
  return transportAddress(host.interfaces[0]?.addresses[0]?.address ?? '192.0.2.254', CONTROL_PORT);
}
