import type { TransportAddress } from '../base/address.js';
import { NEVER, type Ms } from '../base/time.js';
import { CONTROL_ARM, type ArmName } from '../mutation/names.js';
import {
  alteredAnswerId,
  buildReferenceRequest,
  isAnswerable,
  recogniseReferenceAnswer,
} from '../mutation/reference.js';
import type { ArmRegistry } from '../mutation/registry.js';
import { noteAltered } from './altered.js';
import type { Host, OpenSocket } from './host.js';

/** When a socket that has no answer yet asks for its reflexive address again. */
const GATHER_EVERY_MS: Ms = 250;
/** Where the socket's own arm stays unanswered a filter may sit on the way: the address is then learned by another. */
const FALLBACK_ARMS: readonly ArmName[] = [CONTROL_ARM, 'stun~40~cookie', 'stun'];
const OWN_TRIES = 2;
/** A reference that has answered nothing by then will not be asked on. */
const TRIES_MAX = 20;
/** Where an answer is not signed, a signed one is asked for so often before that is believed. */
const DOUBTS = 3;
/** Requests whose answers are still waited for. */
const OUTSTANDING_MAX = 4096;

type Purpose = 'arm' | 'gather' | 'port';

/** What one socket asks of the reference host: its reflexive address, and in every round whether its arm gets there. */
export class ReferenceLeg {
  readonly #host: Host;
  readonly reference: TransportAddress;
  readonly #arm: ArmName;
  readonly #arms: ArmRegistry;
  /** Whether a reference can answer the socket's arm, and is asked in it. */
  readonly asks: boolean;
  readonly #nonce: Uint8Array;
  readonly #outstanding = new Map<string, { readonly arm: ArmName; readonly purpose: Purpose }>();
  #counter = 0;
  #tries = 0;
  #nextTry: Ms = NEVER;
  /** What an unsigned answer said: an ordinary server's, or one that somebody on the way wrote into. */
  #unsigned: TransportAddress | null = null;
  #doubts = 0;
  /** The reflexive address, once an answer came that can be believed. */
  mapped: TransportAddress | null = null;

  constructor(host: Host, reference: TransportAddress, arm: ArmName, arms: ArmRegistry) {
    this.#host = host;
    this.reference = reference;
    this.#arm = arm;
    this.#arms = arms;
    const known = arms.find(arm);
    this.asks = known !== undefined && isAnswerable(known);
    this.#nonce = host.random.bytes(8);
  }

  /** From `now` on the reflexive address is looked for. */
  begin(now: Ms): void {
    this.#nextTry = now;
  }

  /** As far as it is known by now. */
  get best(): TransportAddress | null {
    return this.mapped ?? this.#unsigned;
  }

  /** Somebody else was told so, in an answer that was not signed: is it true? */
  doubt(unsigned: TransportAddress): void {
    if (this.mapped || this.#unsigned) return;
    this.#unsigned = unsigned;
    this.#nextTry = this.#host.now;
  }

  deadline(): Ms {
    return this.mapped ? NEVER : this.#nextTry;
  }

  /** Asks for the reflexive address if it is time to. */
  gather(socket: OpenSocket): void {
    if (this.mapped || this.#nextTry > this.#host.now) return;
    if (this.#unsigned) {
      this.#doubts += 1;
      this.#nextTry = this.#host.now + GATHER_EVERY_MS;
      if (this.#doubts > DOUBTS) this.mapped = this.#unsigned;
      else this.#request(socket, CONTROL_ARM, 'gather', null, this.reference);
      return;
    }
    const ownTries = this.asks ? OWN_TRIES : 0;
    const fallback = FALLBACK_ARMS[(this.#tries - ownTries) % FALLBACK_ARMS.length];
    const arm = this.#tries < ownTries || fallback === undefined ? this.#arm : fallback;
    this.#tries += 1;
    this.#nextTry = this.#tries < TRIES_MAX ? this.#host.now + GATHER_EVERY_MS : NEVER;
    this.#request(socket, arm, 'gather', null, this.reference);
  }

  /** Sends the socket's arm to the reference, as one packet of a round. */
  ask(socket: OpenSocket, round: number): void {
    this.#request(socket, this.#arm, 'arm', round, this.reference);
  }

  /** Sends a control packet to another port of the reference host: does this interface let that port through? */
  askAt(socket: OpenSocket, round: number, port: number): void {
    this.#request(socket, CONTROL_ARM, 'port', round, { ...this.reference, port });
  }

  /** Takes what came on the socket; true when it was an answer that was asked for. */
  datagram(socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): boolean {
    const answer = recogniseReferenceAnswer(bytes, (id) => this.#outstanding.get(id)?.arm, this.#arms);
    if (!answer) return this.#rewritten(socket, from, bytes);
    const asked = this.#outstanding.get(answer.id);
    this.#outstanding.delete(answer.id);
    if (answer.signed) this.mapped ??= answer.mapped;
    else {
      this.doubt(answer.mapped);
      this.gather(socket);
    }
    this.#host.record({
      type: 'received',
      leg: 'reference',
      purpose: asked?.purpose ?? 'gather',
      id: answer.id,
      arm: answer.arm,
      interface: socket.interface.name,
      family: socket.local.family,
      from: { ...from },
    });
    return true;
  }

  /** An answer that was asked for and came with other bytes than the reference signed: it says nothing but that it came. */
  #rewritten(socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): boolean {
    const id = alteredAnswerId(bytes);
    const asked = id === null ? undefined : this.#outstanding.get(id);
    if (id === null || !asked) return false;
    const { purpose, arm } = asked;
    noteAltered(this.#host, socket, from, { leg: 'reference', purpose, id, arm, changed: null });
    return true;
  }

  #request(socket: OpenSocket, arm: ArmName, purpose: Purpose, round: number | null, to: TransportAddress): void {
    this.#counter += 1;
    const { random } = this.#host;
    const options = { counter: this.#counter, nonce: this.#nonce, random, arms: this.#arms };
    const request = buildReferenceRequest(arm, options);
    if (this.#outstanding.size < OUTSTANDING_MAX) this.#outstanding.set(request.id, { arm, purpose });
    this.#host.send(socket, to, request.bytes, {
      leg: 'reference',
      purpose,
      id: request.id,
      arm,
      towards: null,
      round,
      ...(purpose === 'port' ? { local: socket.local.port } : {}),
    });
  }
}
