import type { Family, TransportAddress } from '../base/address.js';
import type { HostInterface } from '../base/interface.js';
import { drain } from '../base/machine.js';
import { NEVER, type Ms } from '../base/time.js';
import type { ArmName } from '../mutation/names.js';
import {
  buildReferenceRequest,
  recogniseReferenceAnswer,
  recogniseReferenceRequest,
  type ReferenceAnswer,
} from '../mutation/reference.js';
import { isSpoiled } from '../verdict/nat-prediction.js';
import { carrierGradeSigns, translationOf } from '../verdict/translation.js';
import type { NatModel } from '../verdict/words.js';
import { CONTACT_ARMS } from '../../probes/nat-contact.js';
import { hasDetails, type NatDetails, natDetailsProbe } from '../../probes/nat-details.js';
import { type LifetimeFinding, mappingLifetimeProbe } from '../../probes/mapping-lifetime.js';
import { natModelProbe, NatNotes, natOpenerProbe, wantsOpener } from '../../probes/nat-model.js';
import type { Probe, Query, Reference } from '../../probes/probe.js';
import type { Host, OpenSocket, SocketOwner } from './host.js';
import type { IcmpError, SocketId } from './io.js';

/** ICMP time exceeded (RFC 792), ICMPv6 time exceeded (RFC 4443 §3.3). */
const TIME_EXCEEDED: Readonly<Record<Family, number>> = { ipv4: 11, ipv6: 3 };

type Result = NatModel | NatDetails | LifetimeFinding;

/** Of one reference host. */
const MOST_PORTS = 8;

/**
 * Runs the NAT model's probe of one interface and family on sockets of its own, and writes the model into the record:
 * again and fuller, while loss keeps it incomplete, then with the TTL of an opener where one is needed, and once more
 * with the details that no verdict waits for.
 */
export class NatMeasurement implements SocketOwner {
  readonly #host: Host;
  readonly #on: HostInterface;
  readonly #local: TransportAddress;
  readonly #pin: boolean;
  readonly #reference: TransportAddress | null;
  /** Further ports of the reference host that its user named. */
  readonly #more: readonly TransportAddress[];
  readonly #notes = new NatNotes();
  /** `null` when nothing is left to measure. */
  #probe: Probe<Result> | null = null;
  #stage: 'model' | 'opener' | 'details' = 'model';
  /** What the stages before this one found. */
  #model: NatModel | null = null;
  /** What is left to measure then. */
  #later: ((reference: Reference, model: NatModel) => Probe<Result> | null)[] = [
    (reference, model) => (hasDetails(model) ? natDetailsProbe(reference, model) : null),
  ];
  readonly #nonce: Uint8Array;
  readonly #names = new Map<string, string>();
  readonly #sockets = new Map<string, string>();
  /** Reference transaction → the probe's question. */
  readonly #asked = new Map<string, { readonly question: number; readonly socket: string; readonly arm: ArmName }>();
  #counter = 0;
  /** Whether there is a model, complete or not: what it lacks is not waited for here. */
  done = false;
  /** The TTL of an opener from here, where an early packet moves the mapping and the TTL is known. */
  openerTtl: number | null = null;

  constructor(
    host: Host,
    on: HostInterface,
    { family, address }: { readonly family: Family; readonly address: string },
    references: readonly TransportAddress[],
    pin: boolean,
    /** Whether the lifetime of mappings is measured, too: minutes. */
    deep = false,
  ) {
    this.#host = host;
    this.#on = on;
    this.#local = { family, address, port: 0 };
    this.#pin = pin;
    this.#nonce = host.random.bytes(8);
    this.#reference = references.find((candidate) => candidate.family === family) ?? null;
    const { address: at, port } = this.#reference ?? this.#local;
    this.#more = references.filter((one) => one.address === at && one.port !== port).slice(0, MOST_PORTS);
    this.done = this.#reference === null;
    if (!deep) return;
    // An address that everybody gets at has no mapping that could end.
    this.#later.push((reference, { firewall }) => (firewall === 'open' ? null : mappingLifetimeProbe(reference)));
  }

  /** Whether anything is still being measured, details included. */
  get busy(): boolean {
    return this.#probe !== null;
  }

  /**
   * Ports of the reference host beside its first, as the user named them and as it names its other one (RFC 5780
   * OTHER-ADDRESS). None before the NAT is measured: it shall not have been told of them.
   */
  portsOf(on: HostInterface, family: Family): readonly number[] {
    if (on.name !== this.#on.name || family !== this.#local.family || !this.done) return [];
    const other = this.#notes.contact?.reference.other?.port;
    const ports = [...this.#more.map(({ port }) => port), ...(other === undefined || other === 0 ? [] : [other])];
    return [...new Set(ports)].filter((port) => port !== this.#reference?.port);
  }

  begin(): void {
    if (this.#reference) this.#run(natModelProbe(this.#reference, CONTACT_ARMS, this.#notes, this.#more));
  }

  /** The address is gone: nothing more comes of it, and nobody waits for it. */
  stop(): void {
    this.#probe = null;
    this.done = true;
    for (const id of this.#sockets.values()) this.#host.close(id);
  }

  measures(on: string, family: Family): boolean {
    return this.#on.name === on && this.#local.family === family;
  }

  deadline(): Ms {
    return this.#probe?.deadline() ?? NEVER;
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
    const name = this.#names.get(socket.id);
    if (name === undefined) return;
    if (answer) this.#answered(name, from, answer);
    else this.#heard(name, from, bytes);
  }

  #answered(name: string, from: TransportAddress, answer: ReferenceAnswer): void {
    const asked = this.#asked.get(answer.id);
    if (asked?.socket !== name) return;
    const { mapped, origin, other, afterSeconds } = answer;
    this.#received(from, answer);
    this.#feed({ type: 'answer', socket: name, id: asked.question, from, mapped, origin, other, afterSeconds });
  }

  /** A question of our own that a NAT has turned back (hairpin). */
  #heard(name: string, from: TransportAddress, bytes: Uint8Array): void {
    const request = recogniseReferenceRequest(bytes);
    const asked = request?.authentic === true ? this.#asked.get(request.id) : undefined;
    if (asked) this.#feed({ type: 'heard', socket: name, id: asked.question, from });
  }

  #received(from: TransportAddress, { id, arm }: ReferenceAnswer): void {
    this.#host.record({
      type: 'received',
      leg: 'reference',
      purpose: 'nat',
      id,
      arm,
      interface: this.#on.name,
      family: this.#local.family,
      from: { ...from },
    });
  }

  #run(probe: Probe<Result>): void {
    for (const past of [this.#names, this.#sockets, this.#asked]) past.clear();
    this.#probe = probe;
    this.#feed({ type: 'start' });
  }

  icmp(_to: TransportAddress, { family, type, from }: IcmpError, _quoted: Uint8Array, socket: SocketId): null {
    const name = this.#names.get(socket);
    if (name !== undefined && type === TIME_EXCEEDED[family]) this.#feed({ type: 'expired', socket: name, at: from });
    return null;
  }

  #feed(input: Parameters<Probe<Result>['handle']>[0]): void {
    if (!this.#probe) return;
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
          this.#result(output.result);
          return;
      }
    }
  }

  #result(result: Result): void {
    this.#probe = null;
    if ('lifetime' in result && result.lifetime === null)
      this.#host.log('info', 'nat.lifetime', { interface: this.#on.name, missing: result.missing });
    const model = { ...this.#model, ...partOf(result) } as NatModel;
    this.#write(model);
    if (isSpoiled(model)) this.openerTtl = model.opener?.ttl ?? null;
    const { contact } = this.#notes;
    if (this.#stage === 'model' && model.pending) {
      this.done = true;
      this.begin();
    } else if (contact && this.#stage !== 'details' && wantsOpener(model, this.#notes)) {
      if (this.#stage === 'model') this.#model = model;
      this.#stage = 'opener';
      this.#run(natOpenerProbe(this.#model ?? model, this.#notes, contact));
    } else {
      this.done = true;
      if (!contact || model.mapping === 'unknown') return;
      this.#stage = 'details';
      this.#model = model;
      this.#next(contact.reference, model);
    }
  }

  #next(reference: Reference, model: NatModel): void {
    for (let next = this.#later.shift(); next !== undefined; next = this.#later.shift()) {
      const probe = next(reference, model);
      if (!probe) continue;
      this.#run(probe);
      return;
    }
  }

  /** With what the interface itself tells of who translates. */
  #write(model: NatModel): void {
    const { address, family } = this.#local;
    const by = translationOf(this.#on, address);
    const signs = carrierGradeSigns(model, { kind: this.#on.kind, address });
    this.#host.record({
      type: 'nat',
      interface: this.#on.name,
      family,
      model: {
        ...model,
        ...(signs.length > 0 ? { carrierGrade: signs } : {}),
        ...(by ? { translated: by } : {}),
      },
    });
  }

  #query({ id, socket, to, arm, change, ttl, afterSeconds }: { readonly id: number } & Query): void {
    const open = this.#host.socket(this.#sockets.get(socket) ?? '');
    if (!open) return;
    this.#counter += 1;
    const request = buildReferenceRequest(arm, {
      counter: this.#counter,
      nonce: this.#nonce,
      random: this.#host.random,
      change,
      ...(afterSeconds === undefined ? {} : { afterSeconds }),
    });
    this.#asked.set(request.id, { question: id, socket, arm });
    this.#host.send(
      open,
      to,
      request.bytes,
      { leg: 'reference', purpose: 'nat', id: request.id, arm, towards: null, round: null },
      ttl === undefined ? {} : { ttl },
    );
  }
}

/** What a result says of the model. */
function partOf(result: Result): Partial<NatModel> {
  if (!('lifetime' in result) || 'mapping' in result) return result;
  return result.lifetime ? { lifetime: result.lifetime } : {};
}
