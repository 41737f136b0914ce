import { addressBytes, formatAddressBytes } from '../base/address.js';
import type { HostInterface, InterfaceAddress } from '../base/interface.js';
import type { HostName, Internet } from './internet.js';
import type { NetworkNode } from './network.js';
import type { ScenarioEvent } from './scenario.js';

/** A host whose interfaces and routes can be changed. */
export type SwitchableNode = NetworkNode & {
  readonly interfaces: readonly HostInterface[];
  setUp(name: string, up: boolean): void;
  setAddresses(name: string, addresses: readonly InterfaceAddress[]): void;
  setDefaultRoutes(name: string, there: boolean): void;
};

/** Another address of the same network that nobody there has: a site has no more than ten customers. */
const NEXT_ADDRESS = 10;

/** Lets happen what a scenario says; its times count from now, when the run has just begun to check. */
export function scheduleEvents(
  events: readonly ScenarioEvent[],
  internet: Internet<SwitchableNode>,
  kill: (host: HostName) => void,
): void {
  for (const { atMs, action } of events) {
    internet.network.after(atMs, () => {
      perform(action, internet, kill);
    });
  }
}

function perform(
  action: ScenarioEvent['action'],
  { hosts, cables, carriers }: Internet<SwitchableNode>,
  kill: (host: HostName) => void,
): void {
  switch (action.type) {
    case 'kill':
      kill(action.host);
      return;
    case 'interface':
      hosts[action.host].setUp(action.interface, action.up);
      return;
    case 'address':
      readdress(hosts[action.host], action.interface);
      return;
    case 'route':
      hosts[action.host].setDefaultRoutes(action.interface, action.there);
      return;
    case 'restart':
      carriers.get(`${action.host}.${action.interface}`)?.restart();
      return;
    case 'cable':
      cables.get(action.cable)?.setUp(action.up);
      return;
    case 'link':
      cables.get(action.cable)?.there.change(action.there);
      cables.get(action.cable)?.back.change(action.back);
      return;
  }
}

function readdress(host: SwitchableNode, name: string): void {
  const addresses = host.interfaces.find((on) => on.name === name)?.addresses ?? [];
  const next = addresses.map((own) => {
    const bytes = Uint8Array.from(addressBytes(own.address));
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) + NEXT_ADDRESS;
    return { ...own, address: formatAddressBytes(bytes) };
  });
  host.setAddresses(name, next);
}
