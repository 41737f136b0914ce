import type { Family, TransportAddress } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import { drain } from '../base/machine.js';
import { NEVER, type Ms } from '../base/time.js';
import type { ArmName } from '../mutation/names.js';
import { buildReferenceRequest, recogniseReferenceAnswer } from '../mutation/reference.js';
import type { NatModel } from '../verdict/words.js';
import { natModelProbe } from '../../probes/nat-model.js';
import type { Probe } from '../../probes/probe.js';
import type { Host, OpenSocket, SocketOwner } from './host.js';

/** Runs the NAT model's probe of one interface and family on sockets of its own, and writes the model into the record. */
export class NatMeasurement implements SocketOwner {
  readonly #host: Host;
  readonly #on: HostInterface;
  readonly #local: TransportAddress;
  readonly #pin: boolean;
  readonly #probe: Probe<NatModel> | null;
  readonly #nonce: Uint8Array;
  readonly #names = new Map<string, string>();
  readonly #sockets = new Map<string, string>();
  /** Reference transaction → the probe's question. */
  readonly #asked = new Map<string, { readonly question: number; readonly socket: string; readonly arm: ArmName }>();
  #counter = 0;
  done = false;

  constructor(
    host: Host,
    on: HostInterface,
    { family, address }: { readonly family: Family; readonly address: string },
    references: readonly TransportAddress[],
    pin: boolean,
  ) {
    this.#host = host;
    this.#on = on;
    this.#local = { family, address, port: 0 };
    this.#pin = pin;
    this.#nonce = host.random.bytes(8);
    const reference = references.find((candidate) => candidate.family === family);
    this.#probe = reference ? natModelProbe(reference) : null;
    this.done = this.#probe === null;
  }

  begin(): void {
    this.#feed({ type: 'start' });
  }

  deadline(): Ms {
    return this.done ? NEVER : (this.#probe?.deadline() ?? NEVER);
  }

  timeout(): void {
    if (this.deadline() <= this.#host.now) this.#feed({ type: 'timeout' });
  }

  opened(socket: OpenSocket): void {
    const name = this.#names.get(socket.id);
    if (name !== undefined) this.#feed({ type: 'opened', socket: name, local: socket.local });
  }

  failed(socket: string): void {
    const name = this.#names.get(socket);
    if (name !== undefined) this.#feed({ type: 'unopened', socket: name });
  }

  datagram(socket: OpenSocket, from: TransportAddress, bytes: Uint8Array): void {
    const answer = recogniseReferenceAnswer(bytes, (id) => this.#asked.get(id)?.arm);
    const asked = answer && this.#asked.get(answer.id);
    const name = this.#names.get(socket.id);
    if (!answer || !asked || name === undefined || name !== asked.socket) return;
    const { mapped, origin, other } = answer;
    this.#host.record({
      type: 'received',
      leg: 'reference',
      purpose: 'nat',
      id: answer.id,
      arm: answer.arm,
      interface: this.#on.name,
      family: this.#local.family,
      from: { ...from },
    });
    this.#feed({
      type: 'answer',
      socket: name,
      id: asked.question,
      from,
      mapped,
      origin: origin ?? null,
      other: other ?? null,
    });
  }

  #feed(input: Parameters<Probe<NatModel>['handle']>[0]): void {
    if (this.done || !this.#probe) return;
    this.#probe.handle(input, this.#host.now);
    for (const output of drain(this.#probe)) {
      switch (output.type) {
        case 'open': {
          const id = this.#host.open(this, this.#on, this.#local, this.#pin);
          this.#names.set(id, output.socket);
          this.#sockets.set(output.socket, id);
          break;
        }
        case 'close': {
          const id = this.#sockets.get(output.socket);
          if (id !== undefined) this.#host.close(id);
          break;
        }
        case 'query':
          this.#query(output);
          break;
        case 'result':
          this.done = true;
          this.#host.record({
            type: 'nat',
            interface: this.#on.name,
            family: this.#local.family,
            model: output.result,
          });
      }
    }
  }

  #query({
    id,
    socket,
    to,
    arm,
    change,
  }: {
    id: number;
    socket: string;
    to: TransportAddress;
    arm: ArmName;
    change: { address: boolean; port: boolean };
  }): void {
    const open = this.#host.socket(this.#sockets.get(socket) ?? '');
    if (!open) return;
    this.#counter += 1;
    const request = buildReferenceRequest(arm, {
      counter: this.#counter,
      nonce: this.#nonce,
      random: this.#host.random,
      change,
    });
    this.#asked.set(request.id, { question: id, socket, arm });
    this.#host.send(open, to, request.bytes, {
      leg: 'reference',
      purpose: 'nat',
      id: request.id,
      arm,
      towards: null,
      round: null,
    });
  }
}
