import type { Ms } from '../../base/time.js';
import { BASE_DATAGRAM_BYTES } from '../recovery/mtu.js';
import { quicError } from '../wire/errors.js';
import { MIN_INITIAL_DATAGRAM_BYTES } from '../wire/header.js';
import { PacketBuilder } from './builder.js';
import { closeFrame, type Core } from './core.js';
import { type Path, transmit } from './path.js';
import type { Transmit } from './types.js';

/** Something came although this end closes: said again, ever more rarely (RFC 9000 §10.2.1). */
export function onClosingDatagram(core: Core): void {
  core.closingDatagrams += 1;
  const isPowerOfTwo = (core.closingDatagrams & (core.closingDatagrams - 1)) === 0;
  const [path] = core.bestPaths;
  if (isPowerOfTwo && path !== undefined) core.closeOn = [path];
}

/** A CONNECTION_CLOSE, at every level that the far end may be able to read (RFC 9000 §10.2.3). */
export function sendClose(core: Core, into: Uint8Array, now: Ms): Transmit | undefined {
  for (let path = core.closeOn.shift(); path !== undefined; path = core.closeOn.shift()) {
    const sent = closeOn(core, path, into, now);
    if (sent !== undefined) return sent;
  }
  return undefined;
}

function closeOn(core: Core, path: Path, into: Uint8Array, now: Ms): Transmit | undefined {
  const { handshake, closeError } = core;
  if (closeError === null) return undefined;
  const { error, by } = closeError;
  const size = Math.min(BASE_DATAGRAM_BYTES, path.limit.leftBytes);
  // What the application says is not for those who have not proved themselves.
  const early = by === 'application' ? quicError('APPLICATION_ERROR', '') : error;
  const builders: PacketBuilder[] = [];
  let at = 0;
  if (path.id === 0) {
    for (const { level, write } of [handshake.initial, handshake.handshake]) {
      if (write === null || size - at < 100) continue;
      const builder = new PacketBuilder(core, path, level, handshake.destination, into, at, size);
      if (!builder.add(closeFrame(early, 'transport'))) continue;
      builders.push(builder);
      at = builder.end;
    }
  }
  const destination = path.slot.remote.current;
  if (handshake.isComplete && handshake.keys !== null && destination !== null && size - at >= 100) {
    const builder = new PacketBuilder(core, path, 'application', destination, into, at, size);
    if (builder.add(closeFrame(error, by))) builders.push(builder);
  }
  const last = builders.at(-1);
  if (last === undefined) return undefined;
  const isInitial = builders.some(({ space }) => space === 'initial');
  if (isInitial && !core.isServer) last.padTo(0, MIN_INITIAL_DATAGRAM_BYTES);
  let end = 0;
  for (const builder of builders) end = builder.finish(now, false);
  path.limit.onSent(end);
  return transmit(path, path.tuple, into.subarray(0, end), 0, false);
}
