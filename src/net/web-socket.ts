import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocket } from 'ws';
import { errorCode } from '../base/errors.js';
import type { ControlCode } from '../control/errors.js';
import { closeMeaning, MAX_MESSAGE_BYTES, parseAnswer, SUBPROTOCOL, type Hello } from '../control/rendezvous.js';

const HANDSHAKE_MS = 5000;

/** What a rendezvous may hold and compress: nothing is compressed, so that nothing can swell. */
export const WEB_SOCKET_OPTIONS = { perMessageDeflate: false, maxPayload: MAX_MESSAGE_BYTES } as const;

/** A WebSocket to a rendezvous, not open yet. A certificate of wss:// must hold for the host, as in a browser. */
export function openWebSocket(url: string): WebSocket {
  return new WebSocket(url, SUBPROTOCOL, { ...WEB_SOCKET_OPTIONS, handshakeTimeout: HANDSHAKE_MS });
}

export interface MeetingEvents {
  /** The far end is on the other side of `stream`, or somebody is who says so. */
  readonly joined: (stream: Duplex) => void;
  /** Once, and not after `joined` or `abandon`. */
  readonly failed: (code: ControlCode, reason: string) => void;
}

/** Says `hello` to a rendezvous and waits to be joined to the far end. */
export function meetAt(url: string, hello: Hello, events: MeetingEvents): { abandon(): void } {
  const socket = openWebSocket(url);
  let settled = false;
  const fail = (code: ControlCode, reason: string): void => {
    if (settled) return;
    settled = true;
    socket.terminate();
    events.failed(code, reason);
  };
  const onMessage = (data: Buffer, isBinary: boolean): void => {
    const answer = isBinary ? null : parseAnswer(data.toString());
    if (answer?.type !== 'joined') {
      fail('rendezvous-protocol', 'It does not speak as a rendezvous does.');
      return;
    }
    settled = true;
    socket.off('message', onMessage);
    events.joined(streamOf(socket));
  };
  socket.on('message', onMessage);
  socket.on('open', () => {
    socket.send(JSON.stringify(hello));
  });
  socket.on('error', (error) => {
    const { code, reason } = openFailure(error);
    fail(code, reason);
  });
  socket.on('close', (code) => {
    const meaning = closeMeaning(code);
    fail(meaning.code, meaning.reason);
  });
  return {
    abandon: () => {
      settled = true;
      socket.terminate();
    },
  };
}

/** What is written in one go may be a megabyte of TLS records: it leaves in messages that a rendezvous takes. */
const PIECE_BYTES = MAX_MESSAGE_BYTES / 4;

function streamOf(socket: WebSocket): Duplex {
  const stream = createWebSocketStream(socket);
  stream._write = (chunk: Buffer, _, done): void => {
    const last = Math.max(0, Math.ceil(chunk.length / PIECE_BYTES) - 1) * PIECE_BYTES;
    for (let at = 0; at < last; at += PIECE_BYTES) socket.send(chunk.subarray(at, at + PIECE_BYTES));
    socket.send(chunk.subarray(last), done);
  };
  return stream;
}

const NO_WAY = ['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH'];
const NO_WAY_EITHER = ['EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EACCES', 'EPERM'];
/** OpenSSL's verdicts on a chain, and Node's on the name in it. */
const CERTIFICATE = /CERT|UNABLE_TO|SIGNED|ISSUER|ALTNAME/;

/** What the error of a WebSocket that did not open, or broke, tells a person. */
export function openFailure(error: Error): { readonly code: ControlCode; readonly reason: string } {
  const code = errorCode(error);
  if (NO_WAY.includes(code) || NO_WAY_EITHER.includes(code)) {
    return { code: 'rendezvous-unreachable', reason: `There is no way to it (${code}).` };
  }
  if (/timed out/i.test(error.message)) return { code: 'rendezvous-unreachable', reason: 'It did not answer in time.' };
  if (CERTIFICATE.test(code))
    return { code: 'rendezvous-certificate', reason: `Its certificate does not hold (${code}).` };
  return { code: 'rendezvous-not-one', reason: 'What answers there is no icepath rendezvous.' };
}
