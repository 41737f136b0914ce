import { utf8Bytes, viewOf } from '../base/bytes.js';
import { IcepathError } from '../base/errors.js';
import type { Ms } from '../base/time.js';
import { errnoName, loadLibc } from './libc.js';
import type { Libc } from './libc.js';
import { inNetworkNamespace } from './namespace.js';

/**
 * `ip`: point-to-point, without neighbours, like a modem's raw IP. `ethernet`: the kernel asks for its neighbours before
 * it sends to them, and nobody answers: those that are there must be entered at {@link FAR_ADDRESS}.
 */
export type TunKind = 'ip' | 'ethernet';

/**
 * A TUN device of this process: what the kernel sends by it is read here, what is written here the kernel receives on
 * it. Whole IP packets without any header before them, of either kind. It is gone when it is closed, or when the process
 * is, however that ends.
 */
export interface Tun {
  readonly name: string;
  readonly fd: number;
  /** `null`: nothing waits. Never blocks. */
  read(): Uint8Array | null;
  /** `false`: lost, since the device is down or the kernel has no room for it. */
  write(packet: Uint8Array): boolean;
  close(): void;
}

const TUN_DEVICE = '/dev/net/tun';
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const TUNSETIFF = 0x4004_54ca;
const SIOCSIFHWADDR = 0x8924;
const ARPHRD_ETHER = 1;
const IFF_TUN = 0x0001;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
/** `struct ifreq`: the name, then a union of which the flags are the first two bytes. */
const IFREQ_BYTES = 40;
const NAME_BYTES = 16;
const POLLIN = 1;
const POLLFD_BYTES = 8;

const HARDWARE_ADDRESS = Uint8Array.of(0x02, 0, 0, 0, 0, 0x01);
const FAR_HARDWARE_ADDRESS = Uint8Array.of(0x02, 0, 0, 0, 0, 0x02);
/** The same, every neighbour's on an `ethernet` device, as `ip neighbour` wants it. */
export const FAR_ADDRESS = '02:00:00:00:00:02';
const ETHERNET_HEADER_BYTES = 14;
const ETHERTYPES: Readonly<Record<number, readonly [number, number]>> = { 4: [0x08, 0x00], 6: [0x86, 0xdd] };

/** More than any lab has. */
export const MOST_TUNS = 256;
const PACKET_BYTES = 65_536;
const TIMEOUT_OFFSET = PACKET_BYTES + 16;
const POLL_OFFSET = TIMEOUT_OFFSET + 16;

/** What system calls read and write; every call is over before the next begins, so one for all is enough. */
interface Memory {
  readonly libc: Libc;
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

let memory: Memory | undefined;

function shared(): Memory {
  if (memory) return memory;
  const { libc, reason } = loadLibc();
  if (!libc) {
    throw new IcepathError(
      'tun-unavailable',
      `no TUN device can be made: ${reason}`,
      'Use the virtual back end, which needs none: --backend virtual.',
    );
  }
  const { address, bytes } = libc.allocate(POLL_OFFSET + MOST_TUNS * POLLFD_BYTES);
  memory = { libc, address, bytes, view: viewOf(bytes) };
  return memory;
}

/**
 * Makes the device `name` in the network namespace of `namespace` (`/proc/PID/ns/net`), by default in our own. It is
 * down and has no address. Throws `tun-unavailable`, `tun-not-permitted`, `tun-name`, `tun-name-taken`.
 */
export function openTun(name: string, namespace: string | null = null, kind: TunKind = 'ip'): Tun {
  const { libc } = shared();
  // A per cent sign would ask the kernel to number the device.
  if (!/^(?!\.{1,2}$)[!-~]{1,15}$/.test(name) || /[/:%]/.test(name)) {
    throw new IcepathError(
      'tun-name',
      `no network device can be called ${JSON.stringify(name)}`,
      'Give it 1 to 15 printable characters without a blank, slash, colon or per cent sign, for example wwan0.',
    );
  }
  return namespace === null ? create(libc, name, kind) : inNetworkNamespace(namespace, () => create(libc, name, kind));
}

/** A TUN device belongs to the namespace in which `/dev/net/tun` was opened. */
function create(libc: Libc, name: string, kind: TunKind): Tun {
  const fd = libc.open(TUN_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd < 0) throw openError(errnoName(libc.errno()));
  const request = new Uint8Array(IFREQ_BYTES);
  const view = viewOf(request);
  request.set(utf8Bytes(name));
  view.setUint16(NAME_BYTES, (kind === 'ip' ? IFF_TUN : IFF_TAP) | IFF_NO_PI, true);
  if (libc.ioctl(fd, TUNSETIFF, request) < 0) {
    const code = errnoName(libc.errno());
    libc.close(fd);
    if (code === 'EBUSY' || code === 'EINVAL') {
      throw new IcepathError(
        'tun-name-taken',
        `there is a network device ${name} already`,
        'Choose another name for it, or end the program that made it.',
      );
    }
    throw openError(code);
  }
  if (kind === 'ethernet') {
    view.setUint16(NAME_BYTES, ARPHRD_ETHER, true);
    request.set(HARDWARE_ADDRESS, NAME_BYTES + 2);
    libc.ioctl(fd, SIOCSIFHWADDR, request);
  }
  return new LibcTun(name, fd, kind);
}

function openError(code: string): IcepathError {
  return code === 'EACCES' || code === 'EPERM'
    ? new IcepathError(
        'tun-not-permitted',
        `this user may not make network devices with ${TUN_DEVICE}: ${code}`,
        'Run it as root (a container needs --cap-add NET_ADMIN), or use the virtual back end: --backend virtual.',
      )
    : new IcepathError(
        'tun-unavailable',
        `${TUN_DEVICE} cannot be opened: ${code}`,
        'Load it (modprobe tun) or give it to the container (--device /dev/net/tun), or use --backend virtual.',
      );
}

class LibcTun implements Tun {
  readonly name: string;
  readonly fd: number;
  readonly #memory = shared();
  readonly #headerBytes: number;
  #open = true;

  constructor(name: string, fd: number, kind: TunKind) {
    this.name = name;
    this.fd = fd;
    this.#headerBytes = kind === 'ip' ? 0 : ETHERNET_HEADER_BYTES;
  }

  read(): Uint8Array | null {
    const { libc, address, bytes } = this.#memory;
    const header = this.#headerBytes;
    while (this.#open) {
      const length = libc.read(this.fd, address, PACKET_BYTES);
      if (length <= 0) return null;
      if (length > header && (header === 0 || isIp(bytes))) return bytes.slice(header, length);
    }
    return null;
  }

  write(packet: Uint8Array): boolean {
    const { libc, address, bytes } = this.#memory;
    const header = this.#headerBytes;
    const type = ETHERTYPES[(packet[0] ?? 0) >> 4];
    if (!this.#open || !type || packet.length > PACKET_BYTES - header) return false;
    if (header > 0) {
      bytes.set(HARDWARE_ADDRESS);
      bytes.set(FAR_HARDWARE_ADDRESS, 6);
      bytes.set(type, 12);
    }
    bytes.set(packet, header);
    return libc.write(this.fd, address, header + packet.length) === header + packet.length;
  }

  close(): void {
    // The number may be another file's by the second time.
    if (!this.#open) return;
    this.#open = false;
    this.#memory.libc.close(this.fd);
  }
}

/** Whether an Ethernet frame holds an IP packet; the others ask for neighbours. */
function isIp(frame: Uint8Array): boolean {
  return (frame[12] === 0x08 && frame[13] === 0x00) || (frame[12] === 0x86 && frame[13] === 0xdd);
}

/** Waits until one of `tuns` has something to read, or `timeoutMs` (fractions count); gives those that have. */
export function pollTuns(tuns: readonly Tun[], timeoutMs: Ms): Tun[] {
  if (tuns.length > MOST_TUNS) throw new RangeError(`no more than ${MOST_TUNS} TUN devices can be polled`);
  const { libc, address, view } = shared();
  tuns.forEach(({ fd }, index) => {
    const at = POLL_OFFSET + index * POLLFD_BYTES;
    view.setInt32(at, fd, true);
    view.setInt32(at + 4, POLLIN, true);
  });
  const timeoutUs = Math.max(0, Math.ceil(timeoutMs * 1000));
  view.setBigInt64(TIMEOUT_OFFSET, BigInt(Math.floor(timeoutUs / 1e6)), true);
  view.setBigInt64(TIMEOUT_OFFSET + 8, BigInt((timeoutUs % 1e6) * 1000), true);
  const ready = libc.ppoll(address + BigInt(POLL_OFFSET), tuns.length, address + BigInt(TIMEOUT_OFFSET), null);
  if (ready <= 0) return [];
  return tuns.filter((_, index) => (view.getUint16(POLL_OFFSET + index * POLLFD_BYTES + 6, true) & POLLIN) !== 0);
}
