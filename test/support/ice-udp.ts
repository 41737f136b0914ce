import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { transportAddress } from '../../src/base/address.js';
import { drain } from '../../src/base/machine.js';
import type { Random } from '../../src/base/random.js';
import { IceAgent } from '../../src/ice/agent.js';
import { formatCandidate, parseCandidate } from '../../src/ice/candidate.js';
import { EQUAL_POLICY } from '../../src/ice/policy.js';
import type { IceInput, IceOutput } from '../../src/ice/types.js';

const random: Random = {
  uint32: () => randomBytes(4).readUInt32BE(),
  bytes: (length) => Uint8Array.from(randomBytes(length)),
};

/** One of our agents on one real UDP socket of this machine, with SDP on the other side. */
export class IceOnUdp {
  readonly credentials = { ufrag: randomBytes(4).toString('hex'), password: randomBytes(16).toString('hex') };
  readonly outputs: IceOutput[] = [];
  readonly #socket;
  readonly #agent: IceAgent;
  #timer: NodeJS.Timeout | undefined;

  constructor(controlling: boolean, mode: 'all' | 'first-only') {
    this.#socket = createSocket('udp4');
    const tieBreaker = randomBytes(8).readBigUInt64BE();
    const { credentials } = this;
    const common = { random, policy: EQUAL_POLICY, servers: [], arm: 'stun' } as const;
    this.#agent = new IceAgent({ ...common, controlling, tieBreaker, credentials, mode });
    this.#socket.on('message', (message, { address, port }) => {
      this.feed({ type: 'datagram', base: 'udp', from: transportAddress(address, port), message, arm: 'stun' });
    });
  }

  async open(address: string): Promise<void> {
    this.#socket.bind(0, address);
    await once(this.#socket, 'listening');
    const local = transportAddress(address, this.#socket.address().port);
    const base = { id: 'udp', address: local, interface: 'test0', kind: 'other', label: 'test0' } as const;
    this.feed({ type: 'base', base });
    this.feed({ type: 'bases-end' });
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#socket.close();
  }

  has(type: IceOutput['type']): boolean {
    return this.outputs.some((output) => output.type === type);
  }

  feed(input: IceInput): void {
    this.#agent.handle(input, performance.now());
    for (const output of drain(this.#agent)) {
      this.outputs.push(output);
      if (output.type === 'send') this.#socket.send(output.message, output.to.port, output.to.address);
    }
    clearTimeout(this.#timer);
    const wait = this.#agent.deadline() - performance.now();
    if (wait !== Infinity)
      this.#timer = setTimeout(
        () => {
          this.feed({ type: 'timeout' });
        },
        Math.max(0, wait),
      );
  }

  /** A description as these stacks want it; the fingerprint is of no certificate: only ICE is tried. */
  describe(type: 'offer' | 'answer'): string {
    const fingerprint = Array.from({ length: 32 }, (_, index) => (index + 160).toString(16).toUpperCase()).join(':');
    return [
      'v=0',
      'o=- 1 1 IN IP4 127.0.0.1',
      's=-',
      't=0 0',
      'a=group:BUNDLE 0',
      'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
      'c=IN IP4 0.0.0.0',
      'a=mid:0',
      'a=ice-options:trickle',
      `a=ice-ufrag:${this.credentials.ufrag}`,
      `a=ice-pwd:${this.credentials.password}`,
      `a=fingerprint:sha-256 ${fingerprint}`,
      `a=setup:${type === 'offer' ? 'actpass' : 'active'}`,
      'a=sctp-port:5000',
      'a=max-message-size:262144',
      '',
    ].join('\r\n');
  }

  candidates(): string[] {
    return this.#agent.localCandidates().map(formatCandidate);
  }

  /** Takes a description's credentials, and the candidates that it has. */
  takeDescription(sdp: string): void {
    const [ufrag, password] = ['ufrag', 'pwd'].map((name) => new RegExp(`a=ice-${name}:(\\S+)`).exec(sdp)?.[1] ?? '');
    if (!ufrag || !password) throw new Error(`no ICE credentials in ${sdp}`);
    this.feed({ type: 'remote-credentials', credentials: { ufrag, password }, lite: false });
    for (const line of sdp.split(/\r?\n/)) if (line.startsWith('a=candidate:')) this.takeCandidate(line);
  }

  /** `''` is the end of candidates. */
  takeCandidate(line: string): void {
    const candidate = parseCandidate(line);
    if (candidate) this.feed({ type: 'remote-candidate', candidate });
    else if (line === '') this.feed({ type: 'remote-candidates-end' });
  }
}
