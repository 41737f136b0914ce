import { transportAddress } from '../base/address.js';
import { parseRendezvousUrl } from '../control/rendezvous.js';
import { listenRendezvous } from '../net/rendezvous-server.js';
import { defineCommand, EXIT } from './command.js';
import { Interruption } from './interrupt.js';
import { createLog } from './log.js';
import { badValue, listenOption, single, verboseOption } from './options.js';

const DEFAULT_LISTEN = transportAddress('0.0.0.0', 4810);

/** For `icepath server`: the client finds it in the invite. */
export const rendezvousOption = single(
  'URL',
  'meet the client at an icepath rendezvous: ws://HOST:PORT or wss://HOST; nowhere else unless --listen is given too',
  (text): string => {
    const url = parseRendezvousUrl(text);
    if (url === null) throw badValue('rendezvous', text, 'a ws:// or wss:// URL', 'ws://198.51.100.10:4810');
    return url;
  },
);

export const rendezvousCommand = defineCommand({
  usage: 'rendezvous',
  summary: 'carry the control channel between two hosts that share no network; it can read and change nothing',
  examples: [
    ['icepath rendezvous', 'on every IPv4 address, port 4810; then: icepath server --rendezvous ws://THIS-HOST:4810'],
    ['icepath rendezvous --listen [::]:4810', 'IPv6 and IPv4'],
  ],
  options: { listen: listenOption, verbose: verboseOption },
  run: async (options, io) => {
    const interruption = new Interruption(io.stderr);
    const log = createLog({ json: false, verbose: options.verbose }, io.stderr, io.env);
    const rendezvous = await listenRendezvous({
      listen: options.listen ?? DEFAULT_LISTEN,
      onChange: (size) => {
        log.debug(size, 'rooms');
      },
    });
    const next = `icepath server --rendezvous ws://THIS-HOST:${String(rendezvous.port)}`;
    log.info({ listen: rendezvous.listens, next }, 'listening');
    let stop: () => void = () => undefined;
    const stopped = new Promise<void>((resolve) => {
      stop = resolve;
    });
    try {
      await interruption.during(stopped, stop);
    } finally {
      interruption.release();
      await rendezvous.close();
    }
    return EXIT.interrupted;
  },
});
