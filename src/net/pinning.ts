import { kernelSockets } from '../os/socket.js';

export interface Pinning {
  /** `device`: SO_BINDTODEVICE; `address`: sockets are bound by address, and the routes decide. */
  readonly pinning: 'device' | 'address';
  /** Why not `device`; `null` where it is. */
  readonly reason: string | null;
}

/** Whether this machine lets us pin a socket to its interface. */
export function pinningHere(): Pinning {
  const { reason } = kernelSockets();
  return reason === null ? { pinning: 'device', reason } : { pinning: 'address', reason };
}
