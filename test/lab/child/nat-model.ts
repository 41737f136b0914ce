import type { HostInterface } from '../../../src/base/interface.js';
import type { Machine } from '../../../src/base/machine.js';
import { parseTransportAddress } from '../../../src/base/address.js';
import type { Ms } from '../../../src/base/time.js';
import { Driver } from '../../../src/net/driver.js';
import { systemRandom } from '../../../src/net/random.js';
import { Host } from '../../../src/session/host.js';
import type { SessionInput, SessionOutput } from '../../../src/session/io.js';
import { NatMeasurement } from '../../../src/session/nat.js';
import type { NatModel } from '../../../src/verdict/words.js';

// The NAT measurement of a session on real sockets, without a session around it: DEVICE ADDRESS REFERENCE TIMES PORT. Tells a
// model a line, as JSON. Sockets get one port after the other, from PORT on: one that the kernel draws is now and then that
// of an earlier run, whose flows conntrack remembers for two minutes, and the run measures those.

class Alone implements Machine<SessionInput, SessionOutput> {
  readonly #host = new Host('client', systemRandom);
  readonly #nat: NatMeasurement;
  #over = false;

  constructor(on: HostInterface, reference: string) {
    const [address] = on.addresses;
    if (!address) throw new RangeError('no address');
    this.#nat = new NatMeasurement(this.#host, on, address, [parseTransportAddress(reference)], true);
  }

  handle(input: SessionInput, now: Ms): void {
    this.#host.tick(now);
    if (input.type === 'start') this.#nat.begin();
    else if (input.type === 'timeout') this.#nat.timeout();
    else this.#host.handle(input);
    if (this.#over || this.#nat.busy) return;
    this.#over = true;
    this.#host.closeAll();
    this.#host.outputs.push({ type: 'finished' });
  }

  poll(): SessionOutput | undefined {
    const output = this.#host.outputs.shift();
    if (output?.type !== 'open') return output;
    return { ...output, address: { ...output.address, port: port++ } };
  }

  deadline(): Ms {
    return this.#nat.deadline();
  }
}

const [name = '', address = '', reference = '', times = '1', firstPort = '10000'] = process.argv.slice(2);
let port = Number(firstPort);
const family = address.includes(':') ? 'ipv6' : 'ipv4';
const on: HostInterface = { name, kind: 'other', label: name, addresses: [{ family, address, prefixLength: 24 }] };
for (let run = 0; run < Number(times); run += 1) {
  let model: NatModel | null = null;
  const sink = {
    event: (event: { readonly type: string }) => {
      if (event.type === 'nat') ({ model } = event as unknown as { model: NatModel });
    },
    log: () => undefined,
  };
  await new Driver({ machine: new Alone(on, reference), interfaces: [on], sink }).run();
  process.stdout.write(`${JSON.stringify(model)}\n`);
}
