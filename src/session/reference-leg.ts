import type { TransportAddress } from '../base/address.js';
import { NEVER, type Ms } from '../base/time.js';
import { CONTROL_ARM, type ArmName } from '../mutation/names.js';
import { buildReferenceRequest, recogniseReferenceAnswer } from '../mutation/reference.js';
import type { Host, OpenSocket } from './host.js';

/** When a socket that has no answer yet asks for its reflexive address again. */
const GATHER_EVERY_MS: Ms = 250;
/** Where the socket's own arm stays unanswered a filter may sit on the way: the address is then learned by another. */
const FALLBACK_ARMS: readonly ArmName[] = [CONTROL_ARM, 'stun~40~cookie', 'stun'];
const OWN_TRIES = 2;
/** A reference that has answered nothing by then will not be asked on. */
const TRIES_MAX = 20;
/** Requests whose answers are still waited for. */
const OUTSTANDING_MAX = 4096;

/** What one socket asks of the reference host: its reflexive address, and in every round whether its arm gets there. */
export class ReferenceLeg {
  readonly #host: Host;
  readonly #reference: TransportAddress;
  readonly #arm: ArmName;
  readonly #nonce: Uint8Array;
  readonly #outstanding = new Map<string, { readonly arm: ArmName; readonly purpose: 'arm' | 'gather' }>();
  #counter = 0;
  #tries = 0;
  #nextTry: Ms = NEVER;
  /** The reflexive address, once an answer came. */
  mapped: TransportAddress | null = null;

  constructor(host: Host, reference: TransportAddress, arm: ArmName) {
    this.#host = host;
    this.#reference = reference;
    this.#arm = arm;
    this.#nonce = host.random.bytes(8);
  }

  /** From `now` on the reflexive address is looked for. */
  begin(now: Ms): void {
    this.#nextTry = now;
  }

  deadline(): Ms {
    return this.mapped ? NEVER : this.#nextTry;
  }

  /** Asks for the reflexive address if it is time to. */
  gather(socket: OpenSocket): void {
    if (this.mapped || this.#nextTry > this.#host.now) return;
    const fallback = FALLBACK_ARMS[(this.#tries - OWN_TRIES) % FALLBACK_ARMS.length];
    const arm = this.#tries < OWN_TRIES || fallback === undefined ? this.#arm : fallback;
    this.#tries += 1;
    this.#nextTry = this.#tries < TRIES_MAX ? this.#host.now + GATHER_EVERY_MS : NEVER;
    this.#request(socket, arm, 'gather', null);
  }

  /** Sends the socket's arm to the reference, as one packet of a round. */
  ask(socket: OpenSocket, round: number): void {
    this.#request(socket, this.#arm, 'arm', round);
  }

  /** Takes what came on the socket; true when it was an answer that was asked for. */
  datagram(socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): boolean {
    const answer = recogniseReferenceAnswer(bytes, (id) => this.#outstanding.get(id)?.arm);
    if (!answer) return false;
    const asked = this.#outstanding.get(answer.id);
    this.#outstanding.delete(answer.id);
    this.mapped ??= answer.mapped;
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

  #request(socket: OpenSocket, arm: ArmName, purpose: 'arm' | 'gather', round: number | null): void {
    this.#counter += 1;
    const { random } = this.#host;
    const request = buildReferenceRequest(arm, { counter: this.#counter, nonce: this.#nonce, random });
    if (this.#outstanding.size < OUTSTANDING_MAX) this.#outstanding.set(request.id, { arm, purpose });
    this.#host.send(socket, this.#reference, request.bytes, {
      leg: 'reference',
      purpose,
      id: request.id,
      arm,
      towards: null,
      round,
    });
  }
}
