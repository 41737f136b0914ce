/**
 * Does what a session would ask of `net/`, inside a network namespace. The argument is a JSON list of steps; the
 * answers, and what a second of doing nothing costs in CPU time, are printed as one JSON document.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { readCounters } from '../../../src/net/counters.js';
import { checkEgress } from '../../../src/net/egress.js';
import { connectReferenceTcp } from '../../../src/net/reference-tcp.js';
import { UdpSockets } from '../../../src/net/sockets.js';
import type { SessionInput, SessionOutput } from '../../../src/session/io.js';
import { parseTransportAddress } from '../../../src/base/address.js';

export type Step =
  | {
      readonly do: 'open';
      readonly socket: string;
      readonly interface: string;
      readonly address: string;
      readonly pin: boolean;
    }
  | { readonly do: 'send'; readonly socket: string; readonly to: string; readonly times: number; readonly ttl?: number }
  | {
      readonly do: 'egress';
      readonly interface: string;
      readonly from: string;
      readonly to: string;
      readonly pin: boolean;
    }
  | {
      readonly do: 'tcp';
      readonly interface: string;
      readonly from: string;
      readonly to: string;
      readonly timeoutMs: number;
    }
  | { readonly do: 'counters' }
  | { readonly do: 'idle' }
  | { readonly do: 'wait'; readonly ms: number };

export interface Outcome {
  readonly inputs: readonly SessionInput[];
  /** CPU time over wall-clock time during the step `idle`. */
  readonly idleCpu: number;
}

const inputs: SessionInput[] = [];
const sockets = new UdpSockets((input) => inputs.push(input));
let token = 0;
let idleCpu = 0;

for (const step of JSON.parse(process.argv[2] ?? '[]') as Step[]) await perform(step);
sockets.closeAll();
process.stdout.write(JSON.stringify({ inputs, idleCpu } satisfies Outcome));

async function perform(step: Step): Promise<void> {
  token += 1;
  switch (step.do) {
    case 'open':
      sockets.open({ type: 'open', ...step, address: parseTransportAddress(step.address) });
      return;
    case 'send':
      // Back to back: what one send caused is there before the next.
      for (let count = 0; count < step.times; count += 1) sockets.send({ type: 'send', ...datagram(step) });
      return;
    case 'egress':
      inputs.push({ type: 'egress', token, results: await checkEgress([step], step.pin) });
      return;
    case 'tcp': {
      const request = { ...step, to: parseTransportAddress(step.to), pin: true };
      inputs.push({ type: 'tcp', token, ...(await connectReferenceTcp(request, new AbortController().signal)) });
      return;
    }
    case 'counters':
      inputs.push({ type: 'counters', token, counters: await readCounters() });
      return;
    case 'idle':
      idleCpu = await measureIdleCpu();
      return;
    case 'wait':
      await delay(step.ms);
      return;
  }
}

function datagram({
  socket,
  to,
  ttl,
}: Extract<Step, { do: 'send' }>): Omit<Extract<SessionOutput, { type: 'send' }>, 'type'> {
  const common = { socket, to: parseTransportAddress(to), bytes: new TextEncoder().encode(`to ${to}`), token };
  return ttl === undefined ? common : { ...common, ttl };
}

async function measureIdleCpu(): Promise<number> {
  const before = process.cpuUsage();
  const started = process.hrtime.bigint();
  await delay(500);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / (Number(process.hrtime.bigint() - started) / 1000);
}
