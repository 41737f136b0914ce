import { describe, expect, it } from 'vitest';
import { type TransportAddress, transportAddress } from '../../src/base/address.js';
import type { HostInterface } from '../../src/base/interface.js';
import { SeededRandom } from '../../src/base/random.js';
import type { Ms } from '../../src/base/time.js';
import { parseMessage } from '../../src/control/messages.js';
import type { Candidate } from '../../src/ice/types.js';
import { buildReferenceAnswer, recogniseReferenceRequest } from '../../src/mutation/reference.js';
import { BUILT_IN } from '../../src/mutation/registry.js';
import { PortGuessing } from '../../src/session/guessing.js';
import { Host, type OpenSocket } from '../../src/session/host.js';
import { LIMITS, PeerAddresses } from '../../src/session/limits.js';
import type { LateSockets } from '../../src/session/regather.js';
import { type GuessPlan, hitProbability, NEXT_PORTS } from '../../src/verdict/port-guessing.js';
import type { Role } from '../../src/verdict/words.js';
import { binomialBounds } from '../support/binomial.js';
import { type NatBehaviour, SimulatedNat } from '../support/nat.js';

const REFERENCE = transportAddress('192.0.2.10', 3478);
const NAMES = { client: 'wwan0', server: 'usb0' } as const;
const OUTSIDE = { client: '198.51.100.1', server: '203.0.113.1' } as const;
const INSIDE = { client: '10.0.0.2', server: '10.0.1.2' } as const;
const FAR = { client: 'server', server: 'client' } as const;

const DRAWS: NatBehaviour = { kind: 'rfc4787', mapping: 'apdm', filtering: 'apdf', preserves: false };
const KEEPS: NatBehaviour = { kind: 'rfc4787', mapping: 'eim', filtering: 'apdf', preserves: true };

interface Packet {
  readonly at: Ms;
  readonly from: TransportAddress;
  readonly to: TransportAddress;
  readonly bytes: Uint8Array;
}

/** One host: a real `PortGuessing`, and in place of the agent a note of what it was given. */
class End implements LateSockets {
  readonly role: Role;
  readonly host: Host;
  readonly guessing: PortGuessing;
  readonly nat: SimulatedNat;
  readonly adopted: OpenSocket[] = [];
  readonly checking: Candidate[] = [];
  readonly sent: Packet[] = [];
  readonly closed = new Set<string>();
  readonly #sockets = new Map<number, string>();

  constructor(role: Role, nat: NatBehaviour, seed: string, allowed: boolean) {
    this.role = role;
    this.host = new Host(role, new SeededRandom(`${role} ${seed}`));
    this.nat = new SimulatedNat(nat, OUTSIDE[role], new SeededRandom(`nat ${role} ${seed}`));
    const addresses = [{ family: 'ipv4' as const, address: INSIDE[role], prefixLength: 24 }];
    const interfaces: HostInterface[] = [{ name: NAMES[role], kind: 'cellular', label: role, addresses }];
    this.guessing = new PortGuessing(this.host, {
      sockets: this,
      interfaces: { all: interfaces },
      arms: BUILT_IN,
      references: [REFERENCE],
      peer: new PeerAddresses(interfaces),
      sessionKey: new Uint8Array(32).fill(7),
      pin: true,
      allowed,
    });
  }

  adopt(socket: OpenSocket): null {
    this.adopted.push(socket);
    return null;
  }

  reflect(): null {
    return null;
  }

  candidate(candidate: Candidate): void {
    this.checking.push(candidate);
  }

  datagram(): void {
    throw new Error('no check was sent');
  }

  stateOf(): 'up' | 'checking' {
    return this.adopted.length > 0 ? 'up' : 'checking';
  }

  pump(now: Ms): Record<string, unknown>[] {
    this.host.tick(now);
    this.guessing.timeout();
    const told: Record<string, unknown>[] = [];
    for (let output = this.host.outputs.shift(); output; output = this.host.outputs.shift()) {
      if (output.type === 'message') told.push(output.message);
      else if (output.type === 'close') this.closed.add(output.socket);
      else if (output.type === 'open') {
        const local = { ...output.address, port: 5000 + this.#sockets.size };
        this.#sockets.set(local.port, output.socket);
        this.host.handle({ type: 'opened', socket: output.socket, local, pinned: true });
      } else if (output.type === 'send') {
        this.host.handle({ type: 'sent', token: output.token, code: null });
        const local = this.host.socket(output.socket)?.local;
        if (!local) continue;
        const from = this.nat.outbound(local, output.to);
        if (output.to.address === REFERENCE.address) this.#reference(output.socket, from, output.bytes);
        else this.sent.push({ at: now, from, to: output.to, bytes: output.bytes });
      }
    }
    return told;
  }

  /** A packet comes to the NAT from outside. */
  take({ from, to, bytes }: Packet): void {
    const inside = this.nat.inbound(from, to);
    const socket = inside ? this.#sockets.get(inside.port) : undefined;
    if (socket !== undefined && !this.closed.has(socket)) this.host.handle({ type: 'datagram', socket, from, bytes });
  }

  #reference(socket: string, mapped: TransportAddress, bytes: Uint8Array): void {
    const request = recogniseReferenceRequest(bytes);
    if (!request) throw new Error('not a request');
    const answer = buildReferenceAnswer(request, { mapped, origin: null, other: null, random: this.host.random });
    this.host.handle({ type: 'datagram', socket, from: REFERENCE, bytes: answer });
  }
}

interface Try {
  readonly client: End;
  readonly server: End;
}

/** One try on a virtual clock: packets and messages take 20 ms, the server's user allowed it or not. */
function tryOnce(plan: GuessPlan, seed: string, { draws = DRAWS, allowed = true } = {}): Try {
  const natOf = (role: Role): NatBehaviour => (plan.guesser === role ? KEEPS : draws);
  const client = new End('client', natOf('client'), seed, true);
  const server = new End('server', natOf('server'), seed, allowed);
  const ends = { client, server };
  const words: { readonly at: Ms; readonly to: Role; readonly message: unknown }[] = [];
  client.host.tick(0);
  expect(client.guessing.begin({ ...NAMES, family: 'ipv4' }, { arm: 'stun', plan })).toBe(true);
  for (let now = 0; now < 60_000 && !(now > 100 && client.guessing.quiet && server.guessing.quiet); now += 20) {
    for (const role of ['client', 'server'] as const) {
      const end = ends[role];
      const before = end.sent.length;
      for (const message of end.pump(now)) {
        words.push({ at: now + 20, to: FAR[role], message: JSON.parse(JSON.stringify(message)) });
      }
      for (const packet of end.sent.slice(before))
        if (packet.to.address === OUTSIDE[FAR[role]]) ends[FAR[role]].take(packet);
    }
    while (words[0] && words[0].at <= now) {
      const word = words.shift();
      const parsed = parseMessage(word?.message);
      if (!word || !parsed.ok || parsed.message.type === 'unknown') throw new Error('a message that is none');
      ends[word.to].host.tick(now);
      expect(ends[word.to].guessing.message(parsed.message)).toBe(true);
    }
  }
  return ends;
}

const isHit = ({ client, server }: Try): boolean => client.adopted.length > 0 && server.adopted.length > 0;

function planOf(sockets: number, guesses: number, more: Partial<GuessPlan> = {}): GuessPlan {
  const probability = hitProbability(sockets, guesses);
  return { guesser: 'server', pattern: 'random', sockets, guesses, probability, ...more };
}

describe('guessing the port of a NAT', () => {
  // The bounds leave one in a thousand on either side.
  it.each([
    [16, 1024, 'server', 70],
    [32, 768, 'client', 70],
    [128, 512, 'server', 70],
  ] as const)(
    '%i sockets, %i guesses of the %s side: hits as often as computed beforehand',
    (sockets, guesses, guesser, runs) => {
      const plan = planOf(sockets, guesses, { guesser });
      const hits = Array.from({ length: runs }, (_, run) => tryOnce(plan, String(run))).filter(isHit).length;
      const [least, most] = binomialBounds(runs, plan.probability, 1e-3);
      expect(hits).toBeGreaterThanOrEqual(least);
      expect(hits).toBeLessThanOrEqual(most);
    },
    120_000,
  );

  it('a hit is one pair of ports, and both ends give it to ICE', () => {
    const hit = Array.from({ length: 20 }, (_, run) => tryOnce(planOf(256, 768), `hit ${run}`)).find(isHit);
    const { client, server } = hit ?? tryOnce(planOf(1, 1), 'none');
    const [near] = client.adopted;
    const [far] = server.adopted;
    // What the server was given is where the client's socket is seen, and the other way round.
    expect(near && server.checking.map(({ address }) => address)).toContainEqual(
      near && client.nat.outbound(near.local, transportAddress(OUTSIDE.server, far?.local.port ?? 0)),
    );
    expect(client.checking[0]?.address).toEqual(far && { ...far.local, address: OUTSIDE.server });
    // All other sockets are closed.
    expect(client.closed.size).toBe(256 - client.adopted.length);
  });

  it('of a sequence the next ports are tried first: nobody else being there, it is hit at once', () => {
    const plan = planOf(8, NEXT_PORTS, { pattern: 'sequential', probability: 0 });
    const { client, server } = tryOnce(plan, 'sequence', { draws: { ...DRAWS, step: 1 } as NatBehaviour });
    expect(isHit({ client, server })).toBe(true);
    expect(server.sent.length).toBeLessThan(32);
  });

  it('nothing is opened and nothing sent where the server’s user did not allow it', () => {
    const { server } = tryOnce(planOf(16, 64), 'not allowed', { allowed: false });
    expect(server.sent).toEqual([]);
    expect(server.host.socket('s1')).toBeNull();
  });
});

describe('a far end cannot ask for more than the limits', () => {
  const told = (plan: Partial<GuessPlan>, message: object = {}): End => {
    const end = new End('server', KEEPS, 'limits', true);
    end.host.tick(0);
    const parsed = parseMessage({
      type: 'guess',
      ...NAMES,
      family: 'ipv4',
      arm: 'stun',
      plan: planOf(8, 64, plan),
      ...message,
    });
    if (parsed.ok && parsed.message.type !== 'unknown') end.guessing.message(parsed.message);
    return end;
  };
  const isUnderWay = (end: End): boolean => !end.guessing.quiet;

  it('sockets, guesses, interfaces and arms', () => {
    expect(isUnderWay(told({}))).toBe(true);
    expect(isUnderWay(told({ guesser: 'client', sockets: LIMITS.guessSockets + 1 }))).toBe(false);
    expect(isUnderWay(told({ guesses: LIMITS.guesses + 1 }))).toBe(false);
    expect(isUnderWay(told({}, { server: 'eth9' }))).toBe(false);
    expect(isUnderWay(told({}, { arm: 'random' }))).toBe(false);
  });

  it('one try a path, and no more than 200 packets a second, to ports from 1024 up of the one address', () => {
    const end = told({ guesses: LIMITS.guesses });
    end.pump(0);
    const at = { type: 'guess-at', path: 'wwan0-usb0-v4', address: { ...transportAddress(OUTSIDE.client, 2000) } };
    for (const message of [at, { ...at, address: { ...at.address, address: '198.51.100.99' } }]) {
      const parsed = parseMessage(message);
      if (parsed.ok && parsed.message.type !== 'unknown') end.guessing.message(parsed.message);
    }
    for (let now = 0; now < 40_000; now += 20) end.pump(now);
    expect(end.sent).toHaveLength(LIMITS.guesses);
    expect(new Set(end.sent.map(({ to }) => to.address))).toEqual(new Set([OUTSIDE.client]));
    expect(end.sent.every(({ to }) => to.port >= 1024)).toBe(true);
    for (const { at: from } of end.sent) {
      const second = end.sent.filter(({ at: when }) => when >= from && when < from + 1000);
      expect(second.length).toBeLessThanOrEqual(LIMITS.guessesPerSecond + 5);
    }
  });

  it('a multicast address is not sent to', () => {
    const end = told({});
    end.pump(0);
    const parsed = parseMessage({
      type: 'guess-at',
      path: 'wwan0-usb0-v4',
      address: { ...transportAddress('224.0.0.1', 2000) },
    });
    if (parsed.ok && parsed.message.type !== 'unknown') end.guessing.message(parsed.message);
    for (let now = 0; now < 10_000; now += 20) end.pump(now);
    expect(end.sent).toEqual([]);
  });
});
