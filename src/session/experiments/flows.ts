import type { Family, TransportAddress } from '../../base/address.js';
import { earliest, NEVER, type Ms } from '../../base/time.js';
import type { ControlMessage } from '../../control/messages.js';
import type { ArmRegistry } from '../../mutation/registry.js';
import type { Host } from '../host.js';
import { LIMITS, type PeerAddresses } from '../limits.js';
import type { PresentInterfaces } from '../near-interfaces.js';
import { Budget } from './budget.js';
import { FlowEnd } from './flow.js';

export type FlowsMessage = Extract<ControlMessage, { type: 'flows' }>;
export type ShotsMessage = Extract<ControlMessage, { type: 'shots' }>;

export interface FlowsOptions {
  readonly interfaces: PresentInterfaces;
  readonly references: readonly TransportAddress[];
  readonly peer: PeerAddresses;
  readonly sessionKey: Uint8Array;
  readonly arms: ArmRegistry;
  readonly pin: boolean;
  /** Ports below 1024 that the user of this host allowed. */
  readonly allowedPorts?: readonly number[];
  /** This host has said and sent all of a batch; `false`: it would not. */
  readonly done: (batch: number, ok: boolean) => void;
}

interface Entry {
  readonly end: FlowEnd;
  /** What this host told of its half; `null` while that is not known. */
  own: readonly TransportAddress[] | null;
  far: readonly TransportAddress[] | null;
}

interface Batch {
  readonly number: number;
  readonly plan: { readonly at: Ms; readonly send: () => void }[];
  sent: number;
  readonly endsAt: Ms;
}

/**
 * This host's halves of the flows of experiments: opens them, tells the far end where they are, and sends what the
 * client's experiments ask of it, within bounds (docs/decisions/abuse.md).
 */
export class Flows {
  readonly #host: Host;
  readonly #options: FlowsOptions;
  readonly #flows = new Map<number, Entry>();
  readonly #batches = new Map<number, Batch>();
  readonly #budget = new Budget();
  /** Interfaces, with a family, on which the reference answered a flow. */
  readonly #answered = new Set<string>();
  #opened = 0;
  #packets = 0;
  #shots = 0;

  constructor(host: Host, options: FlowsOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** Takes what the far end says of flows; false for every other message. */
  message(message: ControlMessage): boolean {
    switch (message.type) {
      case 'flows':
        // Experiments are the client's; a server has no business opening sockets at it.
        if (this.#host.role === 'server') this.open(message);
        else this.#host.complain('flows.refused');
        return true;
      case 'flow':
        this.#far(message.flow, message.addresses);
        return true;
      case 'shots':
        if (this.#host.role === 'server') this.#told(message);
        else this.#host.complain('shots.refused', { batch: message.batch });
        return true;
      case 'flows-close':
        if (this.#host.role === 'server') for (const flow of message.flows) this.close(flow);
        return true;
      default:
        return false;
    }
  }

  /** Opens this host's halves. Those that it may not, or cannot, open are told as without addresses. */
  open({ client, server, family, flows }: Omit<FlowsMessage, 'type'>): void {
    const [near, towards] = this.#host.role === 'client' ? [client, server] : [server, client];
    const on = this.#options.interfaces.all.find(({ name }) => name === near);
    const address = on?.addresses.find((one) => one.family === family)?.address;
    for (const { flow, ports } of flows) {
      const port = ports[this.#host.role] ?? 0;
      const mayOpen =
        !this.#flows.has(flow) &&
        this.#flows.size < LIMITS.openFlows &&
        this.#opened < LIMITS.flows &&
        this.#mayBind(port);
      if (!on || address === undefined || !mayOpen) {
        this.#host.complain('flow.refused', { flow, interface: near, port });
        this.#host.message({ type: 'flow', flow, addresses: [] });
        continue;
      }
      this.#opened += 1;
      const end = new FlowEnd(this.#host, {
        number: flow,
        on,
        local: { family, address, port },
        towards,
        ports,
        reference: this.#referenceOf(family),
        sessionKey: this.#options.sessionKey,
        arms: this.#options.arms,
        pin: this.#options.pin,
        budget: this.#budget,
        answered: this.#answered,
        ready: (addresses) => {
          const entry = this.#flows.get(flow);
          if (entry) entry.own = addresses;
          this.#host.message({ type: 'flow', flow, addresses: [...addresses] });
        },
      });
      this.#flows.set(flow, { end, own: null, far: null });
    }
  }

  /** Whether both halves are known; `failed` where one could not be opened. */
  state(flow: number): 'opening' | 'open' | 'failed' {
    const entry = this.#flows.get(flow);
    if (!entry || entry.own?.length === 0 || entry.far?.length === 0) return 'failed';
    return entry.own && entry.far ? 'open' : 'opening';
  }

  /** Plans this host's shots of a batch, the first of which may leave now. */
  fire({ batch, experiment, waitMs, shots }: Omit<ShotsMessage, 'type'>): void {
    const { role, now } = this.#host;
    const plan = [];
    let last = 0;
    this.#shots += shots.length;
    for (const { flow, from, to, afterMs, counter, packet } of shots) {
      const end = this.#flows.get(flow)?.end;
      last = Math.max(last, afterMs);
      if (!end) continue;
      const planned = { experiment, batch, counter, to, packet };
      if (from !== role) {
        if (to === 'peer') end.expect(planned);
        continue;
      }
      this.#packets += 1;
      plan.push({
        at: now + afterMs,
        send: () => {
          end.send(planned);
        },
      });
    }
    plan.sort((left, right) => left.at - right.at);
    this.#batches.set(batch, { number: batch, plan, sent: 0, endsAt: now + last + waitMs });
  }

  close(flow: number): void {
    this.#flows.get(flow)?.end.close();
    this.#flows.delete(flow);
  }

  stop(): void {
    for (const flow of [...this.#flows.keys()]) this.close(flow);
    this.#batches.clear();
  }

  deadline(): Ms {
    let first = NEVER;
    for (const { end } of this.#flows.values()) first = earliest(first, end.deadline());
    for (const { plan, sent, endsAt } of this.#batches.values())
      first = earliest(first, plan[sent]?.at ?? NEVER, endsAt);
    return first;
  }

  timeout(): void {
    const { now } = this.#host;
    for (const { end } of this.#flows.values()) if (end.deadline() <= now) end.timeout();
    for (const batch of [...this.#batches.values()]) {
      for (let next = batch.plan[batch.sent]; next && next.at <= now; next = batch.plan[batch.sent]) {
        next.send();
        batch.sent += 1;
      }
      if (batch.endsAt > now) continue;
      this.#batches.delete(batch.number);
      this.#options.done(batch.number, true);
    }
  }

  #far(flow: number, told: readonly TransportAddress[]): void {
    const entry = this.#flows.get(flow);
    if (!entry || entry.far) return;
    const addresses = told.filter((address) => this.#options.peer.admits(address));
    if (addresses.length < told.length) this.#host.complain('flow.addresses-refused', { flow });
    entry.far = addresses;
    entry.end.named(told[0]);
    entry.end.remote(addresses);
  }

  #told(message: ShotsMessage): void {
    const refusal = this.#refusal(message);
    if (refusal === null) this.fire(message);
    else {
      this.#host.complain('shots.refused', { batch: message.batch, reason: refusal });
      this.#options.done(message.batch, false);
    }
  }

  /** Why this host does not send what it is told to: a sentence; `null` where it does. */
  #refusal({ batch, shots }: ShotsMessage): string | null {
    if (this.#batches.has(batch) || this.#batches.size >= LIMITS.openBatches) return 'there are too many at once';
    const known = ({ packet }: ShotsMessage['shots'][number]): boolean =>
      [packet.arm, ...(packet.graft ? [packet.graft.from] : [])].every((arm) => this.#options.arms.find(arm));
    if (!shots.every(known)) return 'an arm is not known here';
    const own = shots.filter(({ from }) => from === this.#host.role).map(({ afterMs }) => afterMs);
    if (this.#packets + own.length > LIMITS.trialPackets || this.#shots + shots.length > LIMITS.shots)
      return 'a run has no more packets of experiments';
    own.sort((left, right) => left - right);
    const burst = LIMITS.trialPacketsPerSecond;
    const dense = own.some((at, index) => (own[index + burst] ?? NEVER) - at < 1000);
    return dense ? `more than ${String(burst)} packets in a second` : null;
  }

  #mayBind(port: number): boolean {
    return port === 0 || port >= 1024 || this.#options.allowedPorts?.includes(port) === true;
  }

  #referenceOf(family: Family): TransportAddress | null {
    return this.#options.references.find((one) => one.family === family) ?? null;
  }
}
