import { performance } from 'node:perf_hooks';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { drain } from '../base/machine.js';
import { NEVER } from '../base/time.js';
import { toBase64url } from '../control/base64url.js';
import { controlError, type ControlCode } from '../control/errors.js';
import { Presence, type PresenceInput } from '../control/presence.js';
import { roomOf } from '../control/rendezvous.js';
import { systemRandom } from './random.js';
import { meetAt, openFailure, openWebSocket } from './web-socket.js';

/** Clients that were announced and have not authenticated: a rendezvous cannot make a server open more at once. */
export const MAX_VISITORS = 4;

export interface PresenceOptions {
  readonly url: string;
  /** Of the invite. */
  readonly secret: Uint8Array;
  /** Somebody is on the other side of `stream`; `release` once it has authenticated or gone. */
  readonly onVisitor: (stream: Duplex, release: () => void) => void;
  /** Clients can come through the rendezvous again, or cannot: `code` says why. Not for the first time. */
  readonly onChange: (code: ControlCode | null, reason: string) => void;
  /** A client was announced and could not be met. */
  readonly onMissed: (code: ControlCode, reason: string) => void;
}

/**
 * Waits at a rendezvous for clients, and goes back there whenever the connection is lost. Resolves once clients can
 * come; throws what `Presence` says of a first attempt that failed.
 */
export async function waitAtRendezvous(options: PresenceOptions): Promise<{ close(): void }> {
  const room = roomOf(options.secret);
  const key = toBase64url(systemRandom.bytes(16));
  const machine = new Presence(systemRandom);
  const meetings = new Set<{ abandon(): void }>();
  let socket: WebSocket | null = null;
  let timer: NodeJS.Timeout | undefined;
  let visitors = 0;
  let closed = false;

  return await new Promise((resolve, reject) => {
    let first = true;
    const close = (): void => {
      closed = true;
      clearTimeout(timer);
      socket?.close();
      for (const meeting of meetings) meeting.abandon();
    };
    const handle = (input: PresenceInput): void => {
      if (closed) return;
      machine.handle(input, performance.now());
      for (const output of drain(machine)) {
        switch (output.type) {
          case 'connect':
            socket = connect(options.url, handle);
            break;
          case 'hello':
            socket?.send(JSON.stringify({ type: 'host', room, key }));
            break;
          case 'drop':
            socket
              ?.removeAllListeners()
              .on('error', () => undefined)
              .terminate();
            break;
          case 'visitor':
            meet(output.ticket);
            break;
          case 'present':
            if (first) resolve({ close });
            else options.onChange(null, 'Clients can come through the rendezvous again.');
            first = false;
            break;
          case 'absent':
            if (first) {
              close();
              reject(controlError(output.code, `Cannot wait at the rendezvous ${options.url}. ${output.reason}`));
              return;
            }
            options.onChange(output.code, output.reason);
        }
      }
      clearTimeout(timer);
      const deadline = machine.deadline();
      if (deadline === NEVER) return;
      timer = setTimeout(
        () => {
          handle({ type: 'timeout' });
        },
        Math.max(0, Math.ceil(deadline - performance.now())),
      );
    };
    const meet = (ticket: string): void => {
      if (visitors >= MAX_VISITORS) {
        options.onMissed('rendezvous-full', 'More clients came at once than are let in.');
        return;
      }
      visitors += 1;
      let held = true;
      const release = (): void => {
        if (held) visitors -= 1;
        held = false;
      };
      const meeting = meetAt(
        options.url,
        { type: 'accept', room, key, ticket },
        {
          joined: (stream) => {
            meetings.delete(meeting);
            options.onVisitor(stream, release);
          },
          failed: (code, reason) => {
            meetings.delete(meeting);
            release();
            options.onMissed(code, reason);
          },
        },
      );
      meetings.add(meeting);
    };
    handle({ type: 'start' });
  });
}

function connect(url: string, handle: (input: PresenceInput) => void): WebSocket {
  const socket = openWebSocket(url);
  socket.on('open', () => {
    handle({ type: 'opened' });
  });
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    handle({ type: 'text', text: isBinary ? '' : data.toString() });
  });
  socket.on('ping', () => {
    handle({ type: 'ping' });
  });
  socket.on('error', (error) => {
    handle({ type: 'failed', ...openFailure(error) });
  });
  socket.on('close', (code) => {
    handle({ type: 'closed', code });
  });
  return socket;
}
