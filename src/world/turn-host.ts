import { formatTransportAddress, transportAddress, type Family } from '../base/address.js';
import { drain } from '../base/machine.js';
import { SeededRandom } from '../base/random.js';
import type { TurnServer as Named } from '../turn/types.js';
import { Alarm } from './alarm.js';
import type { Host, UdpSocket } from './host.js';
import type { Network } from './network.js';
import { TurnServer, type TurnServerInput } from './turn-server.js';

/** Beside the reflector's 3478 and 3479. */
export const TURN_PORT = 3480;
export const TURN_USER = { username: 'lab', password: 'of no worth' } as const;

/** A TURN server with its relays on a simulated host, and how a client names it. */
export function startTurnServer(host: Host, network: Network, address: string, seed: string | number): Named {
  const listen = transportAddress(address, TURN_PORT);
  const family: Family = listen.family;
  const server = new TurnServer({
    random: new SeededRandom(`turn ${address} ${seed}`),
    users: new Map([[TURN_USER.username, TURN_USER.password]]),
    relays: { [family]: address },
    modern: true,
  });
  const sockets = new Map<string, UdpSocket>();
  const alarm = new Alarm(
    network,
    () => server.deadline(),
    () => {
      take({ type: 'timeout' });
    },
  );
  const open = (at: typeof listen): void => {
    const socket = host.bind(at, null, {
      onDatagram: (from, bytes) => {
        take({ type: 'datagram', at, from, bytes });
      },
      // RFC 8656 §11.5 lets a server pass it on; this one does not.
      onIcmp: () => undefined,
    });
    if (typeof socket === 'string') throw new Error(`bind ${formatTransportAddress(at)}: ${socket}`);
    sockets.set(formatTransportAddress(at), socket);
  };
  const take = (input: TurnServerInput): void => {
    server.handle(input, network.now);
    for (const output of drain(server)) {
      const key = formatTransportAddress(output.type === 'send' ? output.from : output.address);
      const socket = sockets.get(key);
      if (output.type === 'open') open(output.address);
      else if (output.type === 'send' && socket) host.sendUdp(socket, output.to, output.bytes);
      else if (output.type === 'close' && socket) {
        host.close(socket);
        sockets.delete(key);
      }
    }
    alarm.update();
  };
  open(listen);
  return { address: listen, credentials: TURN_USER };
}
