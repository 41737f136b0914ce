import type { Socket } from 'node:dgram';
import { scopeOf } from '../../base/address.js';
import { errorCode } from '../../base/errors.js';
import type { SocketRequest } from './socket.js';

/** Opens pinned to the device where that is asked for and allowed, as the sockets of a session are (net/sockets.ts). */
export function pinnedOrNot<T>(
  { local, device }: SocketRequest,
  open: (device: string | null) => T,
): { readonly made: T; readonly pinned: boolean } {
  // A loopback address is on no device but `lo`: to pin it to the interface that it stands in for would cut it off.
  if (device === null || scopeOf(local.address) === 'loopback') return { made: open(null), pinned: false };
  try {
    return { made: open(device), pinned: true };
  } catch (error) {
    // Kernels before 5.7 pin for root alone.
    if (errorCode(error) !== 'EPERM') throw error;
    return { made: open(null), pinned: false };
  }
}

/** Resolves when the socket listens, rejects when it cannot. */
export function bound(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('listening', () => {
      socket.off('error', reject);
      resolve();
    });
  });
}

/** A Buffer's bytes as plain ones: its `slice` is no copy, and who keeps or changes one relies on that it is. */
export function plainBytes({ buffer, byteOffset, length }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length);
}
