import { createRequire } from 'node:module';
import { endianness } from 'node:os';
import { getSystemErrorName } from 'node:util';

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
  close(fd: number): number;
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
  close: 'int close(int)',
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
      return { address, bytes: new Uint8Array(koffi.view(address, length)) };
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
