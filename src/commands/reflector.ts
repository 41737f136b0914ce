import { transportAddress, type TransportAddress } from '../base/address.js';
import { Driver } from '../net/driver.js';
import { systemRandom } from '../net/random.js';
import { listenReflectorTcp } from '../net/reflector-tcp.js';
import { Reflector } from '../session/reflector.js';
import { answerTcp } from '../session/reflector-tcp.js';
import { defineCommand, EXIT } from './command.js';
import { Interruption } from './interrupt.js';
import { createLog } from './log.js';
import { listenOption, parseListen, parsePorts, single, verboseOption } from './options.js';

const DEFAULT_LISTEN = transportAddress('0.0.0.0', 3478);

export const reflectorCommand = defineCommand({
  usage: 'reflector',
  summary: 'be the public reference host: answers every arm over UDP, and STUN over TCP',
  examples: [
    ['icepath reflector --listen 198.51.100.10:3478 --alternate 198.51.100.20:3479', 'all that the NAT model asks for'],
    ['icepath reflector', 'one address only: NAT filtering cannot be told completely'],
  ],
  options: {
    listen: listenOption,
    alternate: single('ADDR:PORT', 'another address and another port of this host (RFC 5780)', (text) =>
      parseListen(text, 'alternate'),
    ),
    ports: single('LIST', 'more ports of the first address to answer on: 53,443', parsePorts),
    verbose: verboseOption,
  },
  run: async (options, io) => {
    const interruption = new Interruption(io.stderr);
    const log = createLog({ json: false, verbose: options.verbose }, io.stderr, io.env);
    const listen = options.listen ?? DEFAULT_LISTEN;
    const alternate = options.alternate ?? null;
    const ports = options.ports ?? [];
    const reflector = new Reflector({ listen, alternate, ports, random: systemRandom });
    const driver = new Driver({
      machine: reflector,
      interfaces: [],
      sink: {
        event: () => undefined,
        log: (level, name, fields) => {
          log[level](fields, name);
        },
      },
    });
    const places: TransportAddress[] = [
      listen,
      ...(alternate ? [alternate] : []),
      ...ports.map((port) => ({ ...listen, port })),
    ];
    const stops: (() => Promise<void>)[] = [];
    try {
      for (const place of places) stops.push(await listenReflectorTcp(place, answerTcp));
      await interruption.during(driver.run(), () => {
        driver.interrupt();
      });
    } finally {
      interruption.release();
      driver.stop();
      await Promise.all(stops.map((stop) => stop()));
    }
    if (reflector.failure) throw reflector.failure;
    return interruption.happened ? EXIT.interrupted : EXIT.ok;
  },
});
