import type { TransportAddress } from '../base/address.js';
import { sameAddress } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import { earliest, NEVER, type Ms } from '../base/time.js';
import { CONTROL_ARM, type ArmName } from '../mutation/names.js';
import { buildArmPacket, recogniseAltered } from '../mutation/arm-packet.js';
import { recogniseProbe } from '../mutation/probe.js';
import { LIMITS } from './limits.js';
import { type Block, keyOf, type Slot, weightOf } from './matrix-block.js';
import { type MatrixDesign, MATRIX_DESIGN, planBlock, type Planned } from './matrix-design.js';
import type { MatrixEnd, MatrixOptions } from './matrix-options.js';
import { noteAltered } from './altered.js';
import type { Host, OpenSocket, SocketOwner } from './host.js';
import { firstAddresses } from './near-interfaces.js';
import { ReferenceLeg } from './reference-leg.js';

/**
 * How long a block's sockets may look for their reflexive addresses. Those of later blocks do so while the rounds before
 * them run, and may take nearly as long as these: where packets are lost in bursts, a block without them is a lost one.
 */
const GATHER_MS: Ms = 1500;
const GATHER_LATER_MS: Ms = 2500;
/** How long after the last round packets still count. */
const LATE_MS: Ms = 800;

/**
 * The arm matrix of one host (design.md, "Probing"): every arm once a round in random order, interleaved with the
 * control, one 5-tuple an arm drawn anew for each block of rounds, towards every far interface and the reference.
 */
export class Matrix implements SocketOwner {
  readonly #host: Host;
  readonly #options: MatrixOptions;
  readonly #blocks = new Map<number, Block>();
  #prepared = 0;
  readonly #design: MatrixDesign;
  /** As many as arms share the socket. */
  readonly #bySocket = new Map<string, Slot[]>();
  /** Both ends draw probes from one key: the halves of the counter keep their transactions apart. */
  #counter: number;

  constructor(host: Host, options: MatrixOptions) {
    this.#host = host;
    this.#options = options;
    this.#design = options.design ?? MATRIX_DESIGN;
    this.#counter = host.role === 'client' ? 0 : 0x8000_0000;
  }

  /** Opens the sockets of a block and learns their reflexive addresses; `ready` follows. */
  prepare(number: number): void {
    // Blocks follow each other; a far end that wants more at once, or one again, wants our sockets.
    if (number !== this.#prepared || number >= LIMITS.blocks || this.#blocks.size >= LIMITS.openBlocks) return;
    this.#prepared += 1;
    const block: Block = {
      number,
      slots: [],
      remote: null,
      left: null,
      announced: false,
      gatherUntil: this.#host.now + (number === 0 ? GATHER_MS : GATHER_LATER_MS),
      plan: [],
      sent: 0,
      endsAt: NEVER,
    };
    this.#blocks.set(number, block);
    this.#openMissing(block);
  }

  /**
   * Addresses came or went. A block that the far end may be sending in goes on without the sockets of those that are gone,
   * and without new ones: from them the reference is asked no more, so that no round in which the far end still sent to
   * them counts as one that nothing but the way could silence. Other blocks have sockets on what is there now.
   */
  change(): void {
    for (const block of this.#blocks.values()) {
      const before = block.slots.length;
      this.#dropGone(block);
      const dropped = before - block.slots.length;
      const isUnderWay = block.announced && (this.#host.role === 'server' || block.endsAt < NEVER);
      if (!isUnderWay && this.#openMissing(block) + dropped > 0) {
        block.announced = false;
        block.gatherUntil = Math.max(block.gatherUntil, this.#host.now + GATHER_MS);
      } else if (isUnderWay && dropped > 0) this.#options.ready(block.number, this.#endsOf(block));
    }
    this.#announceReady();
  }

  /** What the far end said of its sockets of a block: again, where some of them are gone. */
  remote(number: number, ends: readonly MatrixEnd[]): void {
    const block = this.#blocks.get(number);
    if (!block) return;
    block.remote = ends;
    if (block.endsAt < NEVER)
      block.left = new Set(ends.flatMap((end) => end.addresses.map((address) => keyOf(end, address))));
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
    const begin = this.#host.now;
    const { order } = this.#design;
    const sendsOf = (index: number): Planned[] => this.#sendsOf(block, first + index);
    for (const { at, send } of planBlock(this.#host.random, { order, rounds, intervalMs, sendsOf })) {
      block.plan.push({ at: begin + at, send });
    }
    block.endsAt = begin + rounds * intervalMs + LATE_MS;
    this.#options.started();
  }

  stop(): void {
    for (const block of this.#blocks.values()) this.#closeBlock(block);
  }

  deadline(): Ms {
    let first = NEVER;
    for (const block of this.#blocks.values()) {
      first = earliest(first, block.plan[block.sent]?.at ?? NEVER, block.endsAt);
      if (block.announced) continue;
      first = earliest(first, block.gatherUntil);
      for (const { leg } of block.slots) first = earliest(first, leg?.deadline() ?? NEVER);
    }
    return first;
  }

  timeout(): void {
    for (const block of [...this.#blocks.values()]) {
      if (!block.announced) for (const slot of block.slots) this.#gather(slot);
      this.#announce(block);
      while ((block.plan[block.sent]?.at ?? NEVER) <= this.#host.now) {
        block.plan[block.sent]?.send();
        block.sent += 1;
      }
      if (block.endsAt <= this.#host.now) {
        this.#closeBlock(block);
        this.#options.done(block.number);
      }
    }
  }

  opened(socket: OpenSocket): void {
    for (const slot of this.#bySocket.get(socket.id) ?? []) {
      slot.socket = socket;
      this.#candidate(slot, 'host', socket.local);
      slot.leg?.begin(this.#host.now);
      this.#gather(slot);
    }
    this.#announceReady();
  }

  failed(socket: string, code: string, message: string): void {
    for (const slot of this.#bySocket.get(socket) ?? []) {
      slot.failed = true;
      this.#host.log('warn', 'matrix.socket-failed', {
        interface: slot.interface.name,
        family: slot.family,
        arm: slot.arm,
        code,
        message,
      });
    }
    this.#announceReady();
  }

  datagram(socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): void {
    const slots = this.#bySocket.get(socket.id) ?? [];
    const [slot] = slots;
    if (!slot) return;
    // Nothing is both: where it comes from says what to look for first.
    const answers = slot.leg !== null && sameAddress(from, slot.leg.reference);
    if (answers && this.#answered(slots, socket, from, bytes)) return;
    const probe = recogniseProbe(bytes, this.#options.sessionKey, this.#options.registry);
    if (probe) this.#probed(slot, from, probe);
    else if (answers || !this.#answered(slots, socket, from, bytes)) this.#rewritten(socket, from, bytes);
  }

  /** Whether one of those who asked on the socket takes it for its answer. */
  #answered(slots: readonly Slot[], socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): boolean {
    return slots.some(({ leg }) => leg !== null && this.#answer(leg, socket, from, bytes));
  }

  #probed(slot: Slot, from: TransportAddress, { id, arm }: { readonly id: string; readonly arm: ArmName }): void {
    this.#host.record({
      type: 'received',
      leg: 'peer',
      purpose: 'arm',
      id,
      arm,
      interface: slot.interface.name,
      family: slot.family,
      from: { ...from },
    });
  }

  /** STUN of ours that somebody on the way wrote into: it got through, and is no use to ICE. */
  #rewritten(socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): void {
    const packet = recogniseAltered(bytes, this.#options.sessionKey, this.#options.registry);
    if (!packet) return;
    const { id, arm, changed } = packet;
    noteAltered(this.#host, socket, from, { leg: 'peer', purpose: 'arm', id, arm, changed: [...changed] });
  }

  /** Whether it was an answer of the reference that was asked for. */
  #answer(leg: ReferenceLeg, socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): boolean {
    const known = leg.mapped !== null;
    if (!leg.datagram(socket, from, bytes)) return false;
    if (!known && leg.mapped) this.#announceReady();
    return true;
  }

  /** Gives how many sockets' slots are new. */
  #openMissing(block: Block): number {
    const before = block.slots.length;
    for (const on of this.#options.interfaces.all) {
      for (const { family, address } of firstAddresses(on)) {
        if (block.slots.some((slot) => slot.interface.name === on.name && slot.family === family)) continue;
        this.#openSlots(block, on, { family, address, port: 0 });
      }
    }
    return block.slots.length - before;
  }

  #dropGone(block: Block): void {
    const all = this.#options.interfaces.all.flatMap((on) => firstAddresses(on).map((own) => ({ on, own })));
    const isThere = (slot: Slot): boolean =>
      all.some(({ on, own }) => on.name === slot.interface.name && own.address === slot.address);
    const gone = block.slots.filter((slot) => !isThere(slot));
    for (const [id, [slot]] of [...this.#bySocket]) {
      if (!slot || !gone.includes(slot)) continue;
      this.#bySocket.delete(id);
      this.#host.close(id);
    }
    for (const slot of gone) slot.socket = null;
    block.slots = block.slots.filter((slot) => !gone.includes(slot));
  }

  #openSlots(block: Block, on: HostInterface, address: TransportAddress): void {
    const { arms, registry, references, pin } = this.#options;
    const reference = references.find((candidate) => candidate.family === address.family);
    let id: string | null = null;
    for (const arm of arms) {
      const leg = reference ? new ReferenceLeg(this.#host, reference, arm, registry) : null;
      const own = { family: address.family, address: address.address };
      const slot: Slot = { interface: on, ...own, arm, socket: null, failed: false, leg };
      if (id === null || this.#design.sockets === 'per-arm') id = this.#host.open(this, on, address, pin);
      block.slots.push(slot);
      this.#bySocket.set(id, [...(this.#bySocket.get(id) ?? []), slot]);
    }
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
    const { slots } = block;
    const settled = slots.every((slot) => slot.failed || (slot.socket && (!slot.leg || slot.leg.mapped)));
    if (!settled && this.#host.now < block.gatherUntil) return;
    block.announced = true;
    for (const slot of slots) {
      const mapped = slot.leg?.best;
      if (slot.socket && mapped && !sameAddress(mapped, slot.socket.local)) this.#candidate(slot, 'srflx', mapped);
    }
    this.#options.ready(block.number, this.#endsOf(block));
  }

  #endsOf({ slots }: Block): MatrixEnd[] {
    return slots.flatMap((slot): MatrixEnd[] => {
      if (!slot.socket) return [];
      const { local } = slot.socket;
      const mapped = slot.leg?.best ?? null;
      const addresses = mapped && !sameAddress(mapped, local) ? [local, mapped] : [local];
      return [{ interface: slot.interface.name, family: slot.family, arm: slot.arm, addresses }];
    });
  }

  #sendsOf(block: Block, round: number): Planned[] {
    const sends: Planned[] = [];
    const perAddress = new Map<string, number>();
    let weights = 0;
    for (const slot of block.slots) {
      const { leg, arm } = slot;
      if (!slot.socket) continue;
      const weight = weightOf(this.#options.registry.find(arm)?.lengthBytes);
      if (leg?.asks === true) {
        weights += weight;
        sends.push({
          arm,
          send: () => {
            if (slot.socket) leg.ask(slot.socket, round);
          },
        });
      }
      const ports = arm === CONTROL_ARM && leg ? this.#options.ports(slot.interface, slot.family) : [];
      for (const port of ports) {
        const asker = this.#askerOf(block, slot, round);
        sends.push({
          arm,
          send: () => {
            if (asker?.socket) asker.leg?.askAt(asker.socket, round, port);
          },
        });
      }
      for (const end of block.remote ?? []) {
        if (end.family !== slot.family || end.arm !== arm) continue;
        if (this.#options.paths.idOf(slot.interface.name, end.interface, slot.family) === null) continue;
        for (const to of end.addresses) {
          const already = perAddress.get(to.address) ?? 0;
          if (to.family !== slot.family || already + weight > LIMITS.sendsPerAddress) continue;
          if (weights + weight > LIMITS.sendsPerRound) return sends;
          perAddress.set(to.address, already + weight);
          weights += weight;
          sends.push({
            arm,
            send: () => {
              const isThere = block.left?.has(keyOf(end, to)) !== false;
              if (isThere && slot.socket) this.#probe(slot, slot.socket, end.interface, to, round);
            },
          });
        }
      }
    }
    return sends;
  }

  /** Of all sockets of an interface each in turn: where one way of several is dead a port must not look so. */
  #askerOf({ slots }: Block, { interface: on, family }: Slot, round: number): Slot | undefined {
    const own = slots.filter(
      (slot) => slot.interface === on && slot.family === family && slot.socket !== null && slot.leg !== null,
    );
    return own[round % own.length];
  }

  #probe(slot: Slot, socket: OpenSocket, towards: string, to: TransportAddress, round: number): void {
    this.#counter += 1;
    const probe = buildArmPacket(slot.arm, {
      key: this.#options.sessionKey,
      counter: this.#counter,
      random: this.#host.random,
      arms: this.#options.registry,
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
    for (const [id, [slot]] of [...this.#bySocket]) {
      if (!slot || !block.slots.includes(slot)) continue;
      this.#bySocket.delete(id);
      this.#host.close(id);
    }
    this.#blocks.delete(block.number);
  }
}
