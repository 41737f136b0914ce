import { createRequire } from 'node:module';
import { endianness } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { rememberAddress } from './native-memory.js';

/** The few functions of the C library that `dgram` and `net` leave out. Results are the C ones: -1 and `errno`. */
export interface Libc {
  socket(family: number, type: number, protocol: number): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number;
  getsockopt(fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  connect(fd: number, address: Uint8Array, length: number): number;
  getsockname(fd: number, address: Uint8Array, length: Uint8Array): number;
  getpeername(fd: number, address: Uint8Array, length: Uint8Array): number;
  sendmsg(fd: number, message: bigint, flags: number): number;
  recvmsg(fd: number, message: bigint, flags: number): number;
  recvmmsg(fd: number, messages: bigint, count: number, flags: number, timeout: null): number;
  close(fd: number): number;
  open(path: string, flags: number, mode: number): number;
  read(fd: number, buffer: bigint, length: number): number;
  write(fd: number, buffer: bigint, length: number): number;
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  ppoll(fds: bigint, count: number, timeout: bigint, signals: null): number;
  setns(fd: number, kind: number): number;
  unshare(kinds: number): number;
  pipe2(fds: Uint8Array, flags: number): number;
  prctl(option: number, second: number, third: number, fourth: number, fifth: number): number;
  errno(): number;
  /** Memory that the garbage collector never moves: its address for C and a view for us. Never freed: ask once. */
  allocate(length: number): { readonly address: bigint; readonly bytes: Uint8Array };
}

export type LibcState =
  { readonly libc: Libc; readonly reason: null } | { readonly libc: null; readonly reason: string };

/** What of koffi is used. Declared here so that a machine without koffi still compiles and a test can stand in. */
interface Koffi {
  load(path: null): { func(prototype: string): unknown };
  alloc(type: string, length: number): bigint;
  view(pointer: bigint, length: number): ArrayBuffer;
  errno(): number;
}

/** Where C's `struct msghdr`, `size_t` and `struct cmsghdr` have the layout that `message.ts` writes. */
const SUPPORTED_ARCHITECTURES: readonly string[] = ['x64', 'arm64', 'riscv64', 'loong64', 'ppc64'];

/** Loads koffi and binds the functions. `reason` says, in one sentence, why they are not to be had. */
export function openLibc(platform: string, architecture: string, loadKoffi: () => Koffi): LibcState {
  if (platform !== 'linux') return unavailable(`pinning by device and ICMP errors need Linux, this is ${platform}`);
  if (!SUPPORTED_ARCHITECTURES.includes(architecture) || endianness() !== 'LE') {
    return unavailable(`pinning by device and ICMP errors are not written for ${architecture}`);
  }
  try {
    return { libc: bindFunctions(loadKoffi()), reason: null };
  } catch (error) {
    return unavailable(`koffi cannot be loaded: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function unavailable(reason: string): LibcState {
  return { libc: null, reason };
}

const PROTOTYPES = {
  socket: 'int socket(int, int, int)',
  setsockopt: 'int setsockopt(int, int, int, const uint8_t *, uint32_t)',
  getsockopt: 'int getsockopt(int, int, int, uint8_t *, uint8_t *)',
  bind: 'int bind(int, const uint8_t *, uint32_t)',
  connect: 'int connect(int, const uint8_t *, uint32_t)',
  getsockname: 'int getsockname(int, uint8_t *, uint8_t *)',
  getpeername: 'int getpeername(int, uint8_t *, uint8_t *)',
  sendmsg: 'long sendmsg(int, void *, int)',
  recvmsg: 'long recvmsg(int, void *, int)',
  recvmmsg: 'int recvmmsg(int, void *, unsigned int, int, void *)',
  close: 'int close(int)',
  open: 'int open(const char *, int, int)',
  read: 'long read(int, void *, size_t)',
  write: 'long write(int, const void *, size_t)',
  ioctl: 'int ioctl(int, unsigned long, _Inout_ uint8_t *)',
  ppoll: 'int ppoll(void *, unsigned long, const void *, const void *)',
  setns: 'int setns(int, int)',
  unshare: 'int unshare(int)',
  pipe2: 'int pipe2(_Out_ uint8_t *, int)',
  prctl: 'int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)',
} as const;

function bindFunctions(koffi: Koffi): Libc {
  const library = koffi.load(null);
  const functions = Object.fromEntries(
    Object.entries(PROTOTYPES).map(([name, prototype]) => [name, library.func(prototype)]),
  ) as Pick<Libc, keyof typeof PROTOTYPES>;
  return {
    ...functions,
    errno: () => koffi.errno(),
    allocate(length) {
      const address = koffi.alloc('uint8_t', length);
      const memory = koffi.view(address, length);
      rememberAddress(memory, address);
      return { address, bytes: new Uint8Array(memory) };
    },
  };
}

let loaded: LibcState | undefined;

/** The C library of this process, loaded on first use; later calls give the same answer. */
export function loadLibc(): LibcState {
  loaded ??= openLibc(process.platform, process.arch, () => createRequire(import.meta.url)('koffi') as Koffi);
  return loaded;
}

/** A failed system call in the shape of Node's own errors: `code` is the kernel's name (`EADDRINUSE`). */
export class SystemCallError extends Error {
  override readonly name = 'SystemCallError';
  readonly code: string;
  readonly syscall: string;

  constructor(syscall: string, code: string, detail: string) {
    super(`${syscall} ${code}: ${detail}`);
    this.syscall = syscall;
    this.code = code;
  }
}

/** `ENETUNREACH` for 101. */
export function errnoName(errno: number): string {
  return errno > 0 ? getSystemErrorName(-errno) : 'EUNKNOWN';
}
