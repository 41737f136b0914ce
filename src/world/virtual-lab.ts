import { transportAddress } from '../base/address.js';
import type { ClientPlan } from '../session/client.js';
import type { RecordEvent } from '../session/record.js';
import { scheduleEvents } from './events.js';
import { buildInternet, type HostName, REFERENCE_ADDRESSES } from './internet.js';
import { type HostInterfaceName, interfacesOf, type LabOptions, type LabRun, type Scenario } from './scenario.js';
import { REFERENCE_PORTS, STARTED_AT, VirtualRun } from './virtual-run.js';

/** Every pair gets so many checks before a run may end, as from the command line. */
const CHECKS_PER_PAIR = 7;

/** A scenario in one process on a virtual clock. The same seed gives the same run, event by event. */
export function runVirtual(scenario: Scenario, options: LabOptions): LabRun {
  const { seed, version, onEvent, onWired, signal, profile } = options;
  const internet = buildInternet({ ...scenario.internet, seed });
  const byHost = (all: readonly HostInterfaceName[]): Record<HostName, string[]> => ({
    client: interfacesOf('client', all),
    server: interfacesOf('server', all),
  });
  const clockOf = (host: HostName): string =>
    new Date(Date.parse(STARTED_AT) + scenario.run.clockAheadMs[host]).toISOString();
  const run: VirtualRun = new VirtualRun({
    internet,
    seed,
    version,
    plan: { ...planOf(scenario), ...(profile && { profile: { name: profile.name, fields: profile.fields } }) },
    serverPin: scenario.run.pin.server,
    reflector: scenario.run.reflector,
    relay: scenario.run.relay,
    referencePorts: scenario.run.referencePorts,
    ports: scenario.run.ports,
    guessPorts: scenario.run.guessPorts,
    names: scenario.hostNames,
    startedAt: { client: clockOf('client'), server: clockOf('server') },
    hung: byHost(scenario.run.hung),
    mute: byHost(scenario.run.mute),
    onEvent: (event) => {
      if (event.type === 'run' && event.host === 'client') {
        scheduleEvents(scenario.events, internet, (host) => {
          run[host].kill();
        });
      }
      onEvent?.(event);
    },
  });
  onWired?.(internet);
  const report = run.run(signal);
  const events: readonly RecordEvent[] = run.client.events;
  return { report, events };
}

/** What the client is told to do. */
function planOf({ run, internet: { families = ['ipv4'] } }: Scenario): ClientPlan {
  return {
    policy: run.prefer,
    arms: run.arms,
    ownArms: run.ownArms,
    deep: run.deep,
    firstOnly: run.firstOnly,
    wanted: run.wanted,
    pin: run.pin.client,
    references: [REFERENCE_PORTS[0], ...run.referencePorts].flatMap((port) =>
      families.map((family) => transportAddress(REFERENCE_ADDRESSES[family][0], port)),
    ),
    checksPerPair: CHECKS_PER_PAIR,
    webrtc: false,
    ...(run.transfer && { transfer: run.transfer }),
  };
}
