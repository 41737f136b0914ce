import type { Family, TransportAddress } from '../base/address.js';
import { sameAddress } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import { earliest, NEVER, type Ms } from '../base/time.js';
import type { ArmName } from '../mutation/names.js';
import { buildProbe, recogniseProbe } from '../mutation/probe.js';
import { LIMITS } from './limits.js';
import { planRound } from '../../probes/header-mutations.js';
import type { Host, OpenSocket, SocketOwner } from './host.js';
import { ReferenceLeg } from './reference-leg.js';

/** One socket of a block as the far end is told of it. */
export interface MatrixEnd {
  readonly interface: string;
  readonly family: Family;
  readonly arm: ArmName;
  /** Where it can be reached: its own address, and its reflexive one where that differs. */
  readonly addresses: readonly TransportAddress[];
}

export interface MatrixOptions {
  readonly interfaces: readonly HostInterface[];
  readonly arms: readonly ArmName[];
  readonly references: readonly TransportAddress[];
  readonly sessionKey: Uint8Array;
  readonly pin: boolean;
  /** The sockets of a block are open and know their reflexive addresses: tell the far end. */
  readonly ready: (block: number, ends: readonly MatrixEnd[]) => void;
  /** The rounds of a block begin. */
  readonly started: () => void;
  /** The rounds of a block are over, late packets included. */
  readonly done: (block: number) => void;
}

/** How long a block's sockets may look for their reflexive addresses. */
const GATHER_MS: Ms = 1500;
/** How long after the last round packets still count. */
const LATE_MS: Ms = 800;

interface Slot {
  readonly interface: HostInterface;
  readonly family: Family;
  readonly arm: ArmName;
  socket: OpenSocket | null;
  failed: boolean;
  readonly leg: ReferenceLeg | null;
}

interface Block {
  readonly number: number;
  readonly slots: Map<string, Slot>;
  remote: readonly MatrixEnd[] | null;
  announced: boolean;
  gatherUntil: Ms;
  /** The planned sends of all rounds still to come, soonest first. */
  plan: { readonly at: Ms; readonly send: () => void }[];
  endsAt: Ms;
}

/**
 * The arm matrix of one host (design.md, "Probing"): every arm once a round in random order, interleaved with the
 * control, one 5-tuple an arm drawn anew for each block of rounds, towards every far interface and the reference.
 */
export class Matrix implements SocketOwner {
  readonly #host: Host;
  readonly #options: MatrixOptions;
  readonly #blocks = new Map<number, Block>();
  #prepared = 0;
  readonly #bySocket = new Map<string, Slot>();
  /** Both ends draw probes from one key: the halves of the counter keep their transactions apart. */
  #counter: number;

  constructor(host: Host, options: MatrixOptions) {
    this.#host = host;
    this.#options = options;
    this.#counter = host.role === 'client' ? 0 : 0x8000_0000;
  }

  /** Opens the sockets of a block and learns their reflexive addresses; `ready` follows. */
  prepare(number: number): void {
    // Blocks follow each other; a far end that wants more at once, or one again, wants our sockets.
    if (number !== this.#prepared || number >= LIMITS.blocks || this.#blocks.size >= LIMITS.openBlocks) return;
    this.#prepared += 1;
    const block: Block = {
      number,
      slots: new Map(),
      remote: null,
      announced: false,
      gatherUntil: this.#host.now + GATHER_MS,
      plan: [],
      endsAt: NEVER,
    };
    this.#blocks.set(number, block);
    for (const on of this.#options.interfaces) {
      for (const family of ['ipv4', 'ipv6'] as const) {
        const address = on.addresses.find((candidate) => candidate.family === family);
        if (!address) continue;
        for (const arm of this.#options.arms)
          this.#openSlot(block, on, { family, address: address.address, port: 0 }, arm);
      }
    }
  }

  /** What the far end said of its sockets of a block. */
  remote(number: number, ends: readonly MatrixEnd[]): void {
    const block = this.#blocks.get(number);
    if (block) block.remote = ends;
  }

  /** Whether both ends of a block are known, so that its rounds may begin. */
  isReady(number: number): boolean {
    const block = this.#blocks.get(number);
    return block !== undefined && block.announced && block.remote !== null;
  }

  /** Plans the rounds of a block: round `first` begins now. */
  start(number: number, first: number, rounds: number, intervalMs: Ms): void {
    const block = this.#blocks.get(number);
    if (block?.endsAt !== NEVER) return;
    for (let index = 0; index < rounds; index += 1) {
      const begin = this.#host.now + index * intervalMs;
      for (const { packet: send, afterMs } of planRound(
        this.#host.random,
        this.#sendsOf(block, first + index),
        intervalMs,
      )) {
        block.plan.push({ at: begin + afterMs, send });
      }
    }
    block.endsAt = this.#host.now + rounds * intervalMs + LATE_MS;
    this.#options.started();
  }

  stop(): void {
    for (const block of this.#blocks.values()) this.#closeBlock(block);
  }

  deadline(): Ms {
    const deadlines: Ms[] = [];
    for (const block of this.#blocks.values()) {
      if (!block.announced) {
        deadlines.push(block.gatherUntil);
        for (const slot of block.slots.values()) deadlines.push(slot.leg?.deadline() ?? NEVER);
      }
      deadlines.push(block.plan[0]?.at ?? NEVER, block.endsAt);
    }
    return earliest(...deadlines);
  }

  timeout(): void {
    for (const block of [...this.#blocks.values()]) {
      if (!block.announced) for (const slot of block.slots.values()) this.#gather(slot);
      this.#announce(block);
      let due = 0;
      while ((block.plan[due]?.at ?? NEVER) <= this.#host.now) {
        block.plan[due]?.send();
        due += 1;
      }
      if (due > 0) block.plan = block.plan.slice(due);
      if (block.endsAt <= this.#host.now) {
        this.#closeBlock(block);
        this.#options.done(block.number);
      }
    }
  }

  opened(socket: OpenSocket): void {
    const slot = this.#bySocket.get(socket.id);
    if (!slot) return;
    slot.socket = socket;
    this.#candidate(slot, 'host', socket.local);
    slot.leg?.begin(this.#host.now);
    this.#gather(slot);
    this.#announceReady();
  }

  failed(socket: string, code: string, message: string): void {
    const slot = this.#bySocket.get(socket);
    if (!slot) return;
    slot.failed = true;
    this.#host.log('warn', 'matrix.socket-failed', {
      interface: slot.interface.name,
      family: slot.family,
      arm: slot.arm,
      code,
      message,
    });
    this.#announceReady();
  }

  datagram(socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): void {
    const slot = this.#bySocket.get(socket.id);
    if (!slot) return;
    const probe = recogniseProbe(bytes, this.#options.sessionKey);
    if (probe) {
      this.#host.record({
        type: 'received',
        leg: 'peer',
        purpose: 'arm',
        id: probe.id,
        arm: probe.arm,
        interface: slot.interface.name,
        family: slot.family,
        from: { ...from },
      });
      return;
    }
    const known = slot.leg?.mapped ?? null;
    slot.leg?.datagram(socket, from, bytes);
    const mapped = slot.leg?.mapped ?? null;
    if (mapped && !known) {
      if (!sameAddress(mapped, socket.local)) this.#candidate(slot, 'srflx', mapped);
      this.#announceReady();
    }
  }

  #openSlot(block: Block, on: HostInterface, address: TransportAddress, arm: ArmName): void {
    const reference = this.#options.references.find((candidate) => candidate.family === address.family);
    const leg = reference ? new ReferenceLeg(this.#host, reference, arm) : null;
    const slot: Slot = { interface: on, family: address.family, arm, socket: null, failed: false, leg };
    const id = this.#host.open(this, on, address, this.#options.pin);
    block.slots.set(id, slot);
    this.#bySocket.set(id, slot);
  }

  #candidate(slot: Slot, candidate: 'host' | 'srflx', address: TransportAddress): void {
    this.#host.record({
      type: 'candidate',
      interface: slot.interface.name,
      family: slot.family,
      candidate,
      address: { ...address },
      use: slot.arm,
    });
  }

  #gather(slot: Slot): void {
    if (slot.socket && slot.leg && !slot.leg.mapped) slot.leg.gather(slot.socket);
  }

  #announceReady(): void {
    for (const block of this.#blocks.values()) this.#announce(block);
  }

  /** Tells the far end of a block once every socket knows its reflexive address, or has had its time. */
  #announce(block: Block): void {
    if (block.announced) return;
    const slots = [...block.slots.values()];
    const settled = slots.every((slot) => slot.failed || (slot.socket && (!slot.leg || slot.leg.mapped)));
    if (!settled && this.#host.now < block.gatherUntil) return;
    block.announced = true;
    const ends = slots.flatMap((slot): MatrixEnd[] => {
      if (!slot.socket) return [];
      const { local } = slot.socket;
      const mapped = slot.leg?.mapped ?? null;
      const addresses = mapped && !sameAddress(mapped, local) ? [local, mapped] : [local];
      return [{ interface: slot.interface.name, family: slot.family, arm: slot.arm, addresses }];
    });
    this.#options.ready(block.number, ends);
  }

  #sendsOf(block: Block, round: number): (() => void)[] {
    const sends: (() => void)[] = [];
    const perAddress = new Map<string, number>();
    for (const slot of block.slots.values()) {
      const { socket, leg } = slot;
      if (!socket) continue;
      if (leg) {
        sends.push(() => {
          leg.ask(socket, round);
        });
      }
      for (const end of block.remote ?? []) {
        if (end.family !== slot.family || end.arm !== slot.arm) continue;
        for (const to of end.addresses) {
          const already = perAddress.get(to.address) ?? 0;
          if (to.family !== slot.family || already >= LIMITS.sendsPerAddress) continue;
          if (sends.length >= LIMITS.sendsPerRound) return sends;
          perAddress.set(to.address, already + 1);
          sends.push(() => {
            this.#probe(slot, socket, end.interface, to, round);
          });
        }
      }
    }
    return sends;
  }

  #probe(slot: Slot, socket: OpenSocket, towards: string, to: TransportAddress, round: number): void {
    this.#counter += 1;
    const probe = buildProbe(slot.arm, {
      key: this.#options.sessionKey,
      counter: this.#counter,
      random: this.#host.random,
    });
    this.#host.send(socket, to, probe.bytes, {
      leg: 'peer',
      purpose: 'arm',
      id: probe.id,
      arm: slot.arm,
      towards,
      round,
    });
  }

  #closeBlock(block: Block): void {
    for (const id of block.slots.keys()) {
      this.#bySocket.delete(id);
      this.#host.close(id);
    }
    this.#blocks.delete(block.number);
  }
}
