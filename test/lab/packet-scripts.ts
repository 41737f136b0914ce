import { fromHex } from '../../src/base/bytes.js';
import type { PacketScript, Port, Send } from '../support/packet-script.js';

/** The traps of facts.md and what the kernel's source says beyond them, as packet scripts. */

const udp = (from: Port, to: Port | number, payload?: Uint8Array): Send =>
  payload ? { type: 'udp', from, to, payload } : { type: 'udp', from, to };
const answer = (to: number): Send => ({ type: 'answer', to });
const error = (about: number, name: Extract<Send, { type: 'error' }>['error']): Send => ({
  type: 'error',
  about,
  error: name,
});

/** Each step its tick and its packet. */
function script(name: string, ...steps: readonly (readonly [at: number, send: Send])[]): PacketScript {
  return { name, steps: steps.map(([at, send]) => ({ at, send })) };
}

const OUT = udp('a:5000', 'r:7000');
const EARLY = udp('r:7000', 'box:5000');

/** For NATs. Lifetimes: unreplied 2.5 ticks, replied 7.5, and a flow is a stream from 2.5 ticks after its beginning. */
export const NAT_SCRIPTS: readonly PacketScript[] = [
  script('an early packet spoils the port', [0, EARLY], [0, OUT], [0, udp('r:7000', 1)], [0, EARLY]),
  script(
    'it is spoiled towards that address and port alone, but the next flow follows the moved one',
    [0, EARLY],
    [0, udp('a:5000', 's:7000')],
    [0, OUT],
    [0, udp('a:5000', 's:7001')],
    [0, udp('a:5000', 'r:7001')],
    [0, answer(2)],
    [0, answer(3)],
  ),
  script('an early packet’s claim ends', [0, EARLY], [3, OUT], [3, answer(1)]),
  script('early packets keep a claim alive', [0, EARLY], [2, EARLY], [4, EARLY], [5, OUT], [8, EARLY], [8, OUT]),
  script('who speaks first is not spoiled', [0, OUT], [0, EARLY], [1, EARLY], [1, OUT], [2, answer(0)]),
  script(
    'one port for two destinations, and a third party',
    [0, OUT],
    [0, udp('a:5000', 's:7001')],
    [0, udp('s:7000', 0)],
  ),
  script('hairpin', [0, OUT], [0, udp('b:6000', 0)], [0, udp('b:6000', 'box:5000')], [0, udp('a:5000', 'box:5000')]),
  script('an unanswered flow ends', [0, OUT], [2, answer(0)], [0, udp('b:5001', 'r:7000')], [3, answer(2)]),
  script('what goes out refreshes it', [0, OUT], [2, OUT], [4, OUT], [6, answer(0)], [9, answer(0)]),
  script('the first answer does not make it a stream', [0, OUT], [1, answer(0)], [4, answer(0)]),
  script('from its second answer, 2 s old, it is one', [0, OUT], [1, answer(0)], [3, answer(0)], [10, answer(0)]),
  script('a stream ends', [0, OUT], [1, answer(0)], [3, answer(0)], [11, answer(0)], [11, OUT], [11, answer(4)]),
  script('a quick exchange is no stream', [0, OUT], [0, answer(0)], [0, answer(0)], [0, OUT], [3, answer(0)], [4, OUT]),
  script(
    'two inside with one port',
    [0, OUT],
    [0, udp('b:5000', 'r:7000')],
    [0, answer(0)],
    [0, answer(1)],
    [1, udp('b:5000', 's:7000')],
  ),
  script('a port comes free again', [0, OUT], [3, udp('b:5000', 'r:7000')], [3, OUT], [3, answer(1)], [3, answer(2)]),
  ...[400, 511, 512, 1000, 1023, 1024].map((port) =>
    script(
      `port ${port} of two inside`,
      [0, udp(`a:${port}`, 'r:7000')],
      [0, udp(`b:${port}`, 'r:7000')],
      [0, { type: 'syn', from: `a:${port}`, to: 'r:7000' }],
      [0, { type: 'syn', from: `b:${port}`, to: 'r:7000' }],
      [0, answer(1)],
      [0, answer(3)],
    ),
  ),
  ...(
    ['port-unreachable', 'admin-prohibited', 'host-unreachable', 'no-route', 'too-big', 'time-exceeded'] as const
  ).map((name) =>
    script(
      `${name} from either side, and after the flow’s end`,
      [0, OUT],
      [0, error(0, name)],
      [0, { type: 'error', about: 0, error: name, from: 's' }],
      [0, answer(0)],
      [0, error(3, name)],
      [0, { type: 'error', about: 3, error: name, from: 'b' }],
      [1, answer(0)],
      [5, error(0, name)],
      [5, error(3, name)],
    ),
  ),
  script(
    'errors keep nothing alive',
    [0, OUT],
    [1, error(0, 'port-unreachable')],
    [2, error(0, 'no-route')],
    [3, answer(0)],
  ),
  script(
    'an error about an error is not sent',
    [0, OUT],
    [0, error(0, 'port-unreachable')],
    [0, error(1, 'port-unreachable')],
  ),
  script(
    'nothing left of the TTL',
    [0, { ...OUT, ttl: 1 } as Send],
    [0, EARLY],
    [0, { ...OUT, ttl: 2 } as Send],
    [0, { type: 'answer', to: 2, ttl: 1 }],
    [0, { type: 'answer', to: 2, ttl: 2 }],
    [0, { type: 'ping', from: 'a:77', to: 'r', ttl: 1 }],
    [0, { type: 'syn', from: 'a:5000', to: 'r:443', ttl: 1 }],
  ),
  script(
    'pings',
    [0, { type: 'ping', from: 'a:77', to: 'r' }],
    [0, answer(0)],
    [0, { type: 'ping', from: 'b:77', to: 'r' }],
    [0, answer(2)],
    [0, error(0, 'host-unreachable')],
    [0, { type: 'ping', from: 'a:77', to: 's' }],
    [0, { type: 'ping', from: 'a:77', to: 'gate' }],
    [0, { type: 'ping', from: 'a:77', to: 'box' }],
    [0, { type: 'ping', from: 'r:77', to: 'box' }],
    [2, answer(0)],
    [4, answer(0)],
    [7, answer(0)],
    [7, answer(5)],
  ),
  script('nobody listens on the router', [0, udp('a:5000', 'gate:53')], [0, udp('a:5000', 'box:53')], [0, EARLY]),
  script(
    'nobody listens on the router, TCP',
    [0, { type: 'syn', from: 'a:5000', to: 'gate:53' }],
    [0, { type: 'syn', from: 'a:5000', to: 'box:53' }],
    [0, { type: 'syn', from: 'r:7000', to: 'box:5000' }],
    [0, { type: 'syn', from: 'a:5000', to: 'r:7000' }],
    [0, answer(3)],
  ),
  script(
    'TCP: a handshake, a reset, and again',
    [0, { type: 'syn', from: 'a:5000', to: 'r:443' }],
    [0, answer(0)],
    [0, answer(1)],
    [9, answer(2)],
    [10, { type: 'answer', to: 3, reset: true }],
    [11, { type: 'syn', from: 'a:5000', to: 'r:443' }],
    [12, answer(5)],
  ),
  script(
    'TCP: segments of no connection',
    [0, { type: 'syn', from: 'a:5000', to: 'r:443' }],
    [0, { type: 'answer', to: 0, reset: true }],
    [0, { type: 'answer', to: 1, reset: true }],
    [0, { type: 'answer', to: 1 }],
    [0, answer(3)],
  ),
  script(
    'TCP: a refusal',
    [0, { type: 'syn', from: 'a:5000', to: 'r:443' }],
    [0, { type: 'answer', to: 0, reset: true }],
    [0, { type: 'syn', from: 'b:5000', to: 'r:443' }],
  ),
  script(
    'so many errors to one address and no more',
    ...Array.from({ length: 9 }, () => [0, EARLY] as const),
    [3, EARLY],
    [3, EARLY],
    [3, EARLY],
    [3, EARLY],
  ),
  script('too big for the way out', [0, OUT], [0, udp('a:5000', 'r:7000', new Uint8Array(1400))], [0, answer(0)]),
  script('too big for the way in', [0, OUT], [0, { type: 'answer', to: 0, payload: new Uint8Array(1400) }]),
];

/** For firewalls that let in what was asked for. One lifetime: 7.5 ticks. */
export const FIREWALL_SCRIPTS: readonly PacketScript[] = [
  script('unasked', [0, udp('r:7000', 'a:5000')], [0, udp('a:5000', 'r:7000')], [0, udp('r:7000', 'a:5000')]),
  script(
    'asked',
    [0, OUT],
    [0, answer(0)],
    [0, udp('r:7001', 'a:5000')],
    [0, udp('s:7000', 'a:5000')],
    [0, udp('r:7000', 'b:5000')],
  ),
  script('it closes', [0, OUT], [7, answer(0)], [14, answer(0)], [0, udp('b:5000', 's:7000')], [8, answer(3)]),
  script('out keeps it open', [0, OUT], [5, OUT], [10, answer(0)]),
  script(
    'errors',
    [0, udp('r:7000', 'a:5000')],
    [0, OUT],
    [0, error(1, 'port-unreachable')],
    [0, { type: 'error', about: 1, error: 'admin-prohibited', from: 's' }],
    [0, answer(1)],
    [0, error(4, 'port-unreachable')],
    [0, error(4, 'too-big')],
    [0, error(1, 'too-big')],
  ),
  script(
    'pings',
    [0, { type: 'ping', from: 'a:77', to: 'r' }],
    [0, answer(0)],
    [0, { type: 'ping', from: 'r:77', to: 'a' }],
    [0, { type: 'ping', from: 'a:77', to: 'gate' }],
  ),
  script(
    'TTL',
    [0, { type: 'udp', from: 'a:5000', to: 'r:7000', ttl: 1 }],
    [0, udp('r:7000', 'a:5000')],
    [0, OUT],
    [0, { type: 'answer', to: 2, ttl: 1 }],
    [0, answer(2)],
  ),
  script(
    'TCP',
    [0, { type: 'syn', from: 'r:7000', to: 'a:22' }],
    [0, { type: 'syn', from: 'a:5000', to: 'r:443' }],
    [0, answer(1)],
    [0, answer(2)],
    [9, answer(3)],
  ),
  script(
    'rejected often',
    ...Array.from({ length: 18 }, (_, index) => [index < 9 ? 0 : 1, udp('r:7000', 'a:5000')] as const),
  ),
];

const STUN = fromHex('000100002112a442000102030405060708090a0b');

/** For filters on bytes. */
export const FILTER_SCRIPTS: readonly PacketScript[] = [
  ...Object.entries({
    STUN,
    'STUN with 0x40': Uint8Array.from(STUN, (byte, index) => (index === 0 ? byte | 0x40 : byte)),
    'STUN with another cookie': Uint8Array.from(STUN, (byte, index) => (index === 4 ? byte ^ 0xff : byte)),
    both: Uint8Array.from(STUN, (byte, index) => (index === 0 ? byte | 0x40 : index === 5 ? byte ^ 1 : byte)),
    'as much as the cookie': STUN.subarray(0, 8),
    'one byte less': STUN.subarray(0, 7),
    'the cookie two bytes early': STUN.subarray(2),
    empty: new Uint8Array(0),
    control: fromHex('6001000e5566778800112233'),
  }).map(([name, payload]) =>
    script(
      name,
      [0, udp('a:5000', 'r:7000', payload)],
      [0, udp('r:7000', 'a:5000', payload)],
      [0, { type: 'syn', from: 'a:5000', to: 'r:7000' }],
      [0, error(0, 'port-unreachable')],
      [0, error(1, 'port-unreachable')],
      [0, { type: 'ping', from: 'a:77', to: 'r' }],
    ),
  ),
];
