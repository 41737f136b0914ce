import { createRequire } from 'node:module';
import { addressOf } from './native-memory.js';

/**
 * OpenSSL's EVP functions, called directly: node:crypto makes a cipher object for every packet, here one context serves
 * all packets of a key. Everything works in place and is over when the call returns.
 */
export interface Evp {
  /** Where the functions come from, as a person would look for them. */
  readonly library: string;
  aead(name: EvpAeadName, key: Uint8Array): EvpAead;
  /** AES of single blocks of 16 bytes; what it gives is good until the next call. */
  blockCipher(keyBytes: 16 | 32, key: Uint8Array): (block: Uint8Array) => Uint8Array;
  /** The first bytes of the key stream of ChaCha20 for 16 bytes of counter and nonce; good until the next call. */
  chacha20(key: Uint8Array): (counterAndNonce: Uint8Array) => Uint8Array;
}

export type EvpAeadName = 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305';

/** One key. `bytes[headerAt, payloadAt)` is authenticated, `bytes[payloadAt, end)` is encrypted, too. */
export interface EvpAead {
  /** Writes the tag of 16 bytes at `end`. */
  seal(nonce: Uint8Array, bytes: Uint8Array, headerAt: number, payloadAt: number, end: number): void;
  /** `end` is behind the tag. False where the tag does not fit; then the bytes are as they were. */
  open(nonce: Uint8Array, bytes: Uint8Array, headerAt: number, payloadAt: number, end: number): boolean;
}

export type EvpState = { readonly evp: Evp; readonly reason: null } | { readonly evp: null; readonly reason: string };

/** What of koffi is used. */
interface Koffi {
  load(path: string | null): { func(prototype: string): unknown };
  alloc(type: string, length: number): bigint;
  view(pointer: bigint, length: number): ArrayBuffer;
}

/** An address; 0 is NULL. Addresses of user space are far below 2^53. */
type Address = number;

interface Functions {
  readonly EVP_CIPHER_CTX_new: () => Address;
  readonly EVP_CIPHER_CTX_free: (context: Address) => void;
  readonly EVP_CIPHER_CTX_set_padding: (context: Address, padding: number) => number;
  readonly EVP_CIPHER_CTX_ctrl: (context: Address, command: number, argument: number, data: Address) => number;
  readonly EVP_CipherInit_ex: (
    context: Address,
    cipher: Address,
    engine: Address,
    key: Address,
    iv: Address,
    encrypt: number,
  ) => number;
  readonly EVP_CipherUpdate: (
    context: Address,
    out: Address,
    outLength: Address,
    input: Address,
    length: number,
  ) => number;
  readonly EVP_CipherFinal_ex: (context: Address, out: Address, outLength: Address) => number;
  readonly EVP_aes_128_gcm: () => Address;
  readonly EVP_aes_256_gcm: () => Address;
  readonly EVP_chacha20_poly1305: () => Address;
  readonly EVP_aes_128_ecb: () => Address;
  readonly EVP_aes_256_ecb: () => Address;
  readonly EVP_chacha20: () => Address;
}

/** Pointers go in as numbers: koffi takes them as they are, and has nothing to find out. */
const PROTOTYPES: Readonly<Record<keyof Functions, string>> = {
  EVP_CIPHER_CTX_new: 'uintptr_t EVP_CIPHER_CTX_new(void)',
  EVP_CIPHER_CTX_free: 'void EVP_CIPHER_CTX_free(uintptr_t)',
  EVP_CIPHER_CTX_set_padding: 'int EVP_CIPHER_CTX_set_padding(uintptr_t, int)',
  EVP_CIPHER_CTX_ctrl: 'int EVP_CIPHER_CTX_ctrl(uintptr_t, int, int, uintptr_t)',
  EVP_CipherInit_ex: 'int EVP_CipherInit_ex(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, int)',
  EVP_CipherUpdate: 'int EVP_CipherUpdate(uintptr_t, uintptr_t, uintptr_t, uintptr_t, int)',
  EVP_CipherFinal_ex: 'int EVP_CipherFinal_ex(uintptr_t, uintptr_t, uintptr_t)',
  EVP_aes_128_gcm: 'uintptr_t EVP_aes_128_gcm(void)',
  EVP_aes_256_gcm: 'uintptr_t EVP_aes_256_gcm(void)',
  EVP_chacha20_poly1305: 'uintptr_t EVP_chacha20_poly1305(void)',
  EVP_aes_128_ecb: 'uintptr_t EVP_aes_128_ecb(void)',
  EVP_aes_256_ecb: 'uintptr_t EVP_aes_256_ecb(void)',
  EVP_chacha20: 'uintptr_t EVP_chacha20(void)',
};

/** Node's own binary has OpenSSL in it and shows its functions; a Node that was built without looks for the system's. */
const LIBRARIES: readonly (readonly [string, string | null])[] = [
  ["OpenSSL in Node's own binary", null],
  ['libcrypto.so.3', 'libcrypto.so.3'],
];

/** Loads koffi and finds the functions. `reason` says, in one sentence, why they are not to be had. */
export function openEvp(loadKoffi: () => Koffi): EvpState {
  const reasons: string[] = [];
  let koffi: Koffi;
  try {
    koffi = loadKoffi();
  } catch (error) {
    return { evp: null, reason: `koffi cannot be loaded: ${messageOf(error)}` };
  }
  for (const [library, path] of LIBRARIES) {
    try {
      const loaded = koffi.load(path);
      const functions = Object.fromEntries(
        Object.entries(PROTOTYPES).map(([name, prototype]) => [name, loaded.func(prototype)]),
      ) as unknown as Functions;
      return { evp: new KoffiEvp(library, functions, koffi), reason: null };
    } catch (error) {
      reasons.push(`${library}: ${messageOf(error)}`);
    }
  }
  return { evp: null, reason: reasons.join('; ') };
}

let loaded: EvpState | undefined;

/** OpenSSL of this process, found on first use; later calls give the same answer. */
export function loadEvp(): EvpState {
  loaded ??= openEvp(() => createRequire(import.meta.url)('koffi') as Koffi);
  return loaded;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const TAG_BYTES = 16;
const CTRL_GET_TAG = 0x10;
const CTRL_SET_TAG = 0x11;
const BLOCK_BYTES = 16;
const MASK_BYTES = 5;

/** Every call is over before the next begins: one memory for all. What C is told of lies there, or is copied there. */
const LENGTH_AT = 0;
const SMALL_AT = 16;
const SMALL_BYTES = 32;
const BLOCK_AT = SMALL_AT + SMALL_BYTES;
const ZEROS_AT = BLOCK_AT + BLOCK_BYTES;
const PACKET_AT = ZEROS_AT + BLOCK_BYTES;
/** The longest UDP datagram. */
const PACKET_BYTES = 65_536;

class Scratch {
  readonly base: Address;
  readonly lengthAt: Address;
  readonly smallAt: Address;
  readonly blockAt: Address;
  readonly zerosAt: Address;
  readonly packetAt: Address;
  /** What C wrote to {@link blockAt}. */
  readonly block: Uint8Array;
  readonly packet: Uint8Array;
  readonly #small: Uint8Array;

  constructor(koffi: Koffi) {
    const address = koffi.alloc('uint8_t', PACKET_AT + PACKET_BYTES);
    const memory = koffi.view(address, PACKET_AT + PACKET_BYTES);
    this.base = Number(address);
    if (!Number.isSafeInteger(this.base)) throw new Error('addresses are too large for numbers');
    this.lengthAt = this.base + LENGTH_AT;
    this.smallAt = this.base + SMALL_AT;
    this.blockAt = this.base + BLOCK_AT;
    this.zerosAt = this.base + ZEROS_AT;
    this.packetAt = this.base + PACKET_AT;
    this.#small = new Uint8Array(memory, SMALL_AT, SMALL_BYTES);
    this.block = new Uint8Array(memory, BLOCK_AT, BLOCK_BYTES);
    this.packet = new Uint8Array(memory, PACKET_AT, PACKET_BYTES);
    new Uint8Array(memory, ZEROS_AT, BLOCK_BYTES).fill(0);
  }

  /** A key, a nonce or a sample, at {@link smallAt} until the next. */
  small(bytes: Uint8Array): Address {
    const small = this.#small;
    for (let index = 0; index < bytes.length; index += 1) small[index] = bytes[index] ?? 0;
    return this.smallAt;
  }
}

class KoffiEvp implements Evp {
  readonly library: string;
  readonly #functions: Functions;
  readonly #ciphers: ReadonlyMap<string, Address>;
  readonly #scratch: Scratch;
  readonly #contexts: FinalizationRegistry<Address>;

  constructor(library: string, functions: Functions, koffi: Koffi) {
    this.library = library;
    this.#functions = functions;
    this.#ciphers = new Map(
      Object.entries({
        'aes-128-gcm': functions.EVP_aes_128_gcm(),
        'aes-256-gcm': functions.EVP_aes_256_gcm(),
        'chacha20-poly1305': functions.EVP_chacha20_poly1305(),
        'aes-128-ecb': functions.EVP_aes_128_ecb(),
        'aes-256-ecb': functions.EVP_aes_256_ecb(),
        chacha20: functions.EVP_chacha20(),
      }).map(([name, cipher]) => {
        if (cipher === 0) throw new Error(`no ${name}`);
        return [name, cipher];
      }),
    );
    this.#scratch = new Scratch(koffi);
    this.#contexts = new FinalizationRegistry((context) => {
      functions.EVP_CIPHER_CTX_free(context);
    });
  }

  aead(name: EvpAeadName, key: Uint8Array): EvpAead {
    return new KoffiAead(this.#functions, this.#scratch, (owner, encrypt) => this.#context(owner, name, key, encrypt));
  }

  blockCipher(keyBytes: 16 | 32, key: Uint8Array): (block: Uint8Array) => Uint8Array {
    const { EVP_CipherUpdate: update, EVP_CIPHER_CTX_set_padding: setPadding } = this.#functions;
    const scratch = this.#scratch;
    const { blockAt, lengthAt, block: out } = scratch;
    const encrypt = (block: Uint8Array): Uint8Array => {
      check(update(context, blockAt, lengthAt, scratch.small(block), BLOCK_BYTES));
      return out;
    };
    const context = this.#context(encrypt, keyBytes === 16 ? 'aes-128-ecb' : 'aes-256-ecb', key, 1);
    check(setPadding(context, 0));
    return encrypt;
  }

  chacha20(key: Uint8Array): (counterAndNonce: Uint8Array) => Uint8Array {
    const { EVP_CipherUpdate: update, EVP_CipherInit_ex: init } = this.#functions;
    const scratch = this.#scratch;
    const { blockAt, lengthAt, zerosAt } = scratch;
    const out = scratch.block.subarray(0, MASK_BYTES);
    const stream = (counterAndNonce: Uint8Array): Uint8Array => {
      check(init(context, 0, 0, 0, scratch.small(counterAndNonce), 1));
      check(update(context, blockAt, lengthAt, zerosAt, MASK_BYTES));
      return out;
    };
    const context = this.#context(stream, 'chacha20', key, 1);
    return stream;
  }

  /** A context with its key; it is freed when nobody has `owner` any more. */
  #context(owner: object, name: string, key: Uint8Array, encrypt: 0 | 1): Address {
    const context = this.#functions.EVP_CIPHER_CTX_new();
    if (context === 0) throw new Error('OpenSSL has no memory left');
    this.#contexts.register(owner, context);
    const cipher = this.#ciphers.get(name) ?? 0;
    check(this.#functions.EVP_CipherInit_ex(context, cipher, 0, this.#scratch.small(key), 0, encrypt));
    return context;
  }
}

type NewContext = (owner: object, encrypt: 0 | 1) => Address;

class KoffiAead implements EvpAead {
  readonly #functions: Functions;
  readonly #scratch: Scratch;
  readonly #context: NewContext;
  /** Most keys are for one direction only. */
  #sealing: Address = 0;
  #opening: Address = 0;
  /** Packets nearly always lie in the memory in which the one before lay. */
  #lastBuffer: ArrayBufferLike | null = null;
  #lastAddress: Address = 0;

  constructor(functions: Functions, scratch: Scratch, context: NewContext) {
    this.#functions = functions;
    this.#scratch = scratch;
    this.#context = context;
  }

  seal(nonce: Uint8Array, bytes: Uint8Array, headerAt: number, payloadAt: number, end: number): void {
    if (end + TAG_BYTES > bytes.length) throw new RangeError('no room for the tag');
    const at = this.#addressOf(bytes);
    if (at !== 0) this.#seal(nonce, at + headerAt, payloadAt - headerAt, end - payloadAt);
    else {
      const { packet, packetAt } = this.#scratch;
      packet.set(bytes.subarray(headerAt, end));
      this.#seal(nonce, packetAt, payloadAt - headerAt, end - payloadAt);
      bytes.set(packet.subarray(payloadAt - headerAt, end - headerAt + TAG_BYTES), payloadAt);
    }
  }

  open(nonce: Uint8Array, bytes: Uint8Array, headerAt: number, payloadAt: number, end: number): boolean {
    const tagAt = end - TAG_BYTES;
    if (tagAt < payloadAt || end > bytes.length) return false;
    const at = this.#addressOf(bytes);
    if (at !== 0) return this.#open(nonce, at + headerAt, payloadAt - headerAt, tagAt - payloadAt, true);
    const { packet, packetAt } = this.#scratch;
    packet.set(bytes.subarray(headerAt, end));
    if (!this.#open(nonce, packetAt, payloadAt - headerAt, tagAt - payloadAt, false)) return false;
    bytes.set(packet.subarray(payloadAt - headerAt, tagAt - headerAt), payloadAt);
    return true;
  }

  #seal(nonce: Uint8Array, at: Address, headerBytes: number, payloadBytes: number): void {
    const { EVP_CipherUpdate: update, EVP_CipherInit_ex: init, EVP_CipherFinal_ex: final } = this.#functions;
    const { lengthAt } = this.#scratch;
    if (this.#sealing === 0) this.#sealing = this.#context(this, 1);
    const context = this.#sealing;
    const payload = at + headerBytes;
    const tag = payload + payloadBytes;
    check(init(context, 0, 0, 0, this.#scratch.small(nonce), 1));
    check(update(context, 0, lengthAt, at, headerBytes));
    if (payloadBytes > 0) check(update(context, payload, lengthAt, payload, payloadBytes));
    check(final(context, tag, lengthAt));
    check(this.#functions.EVP_CIPHER_CTX_ctrl(context, CTRL_GET_TAG, TAG_BYTES, tag));
  }

  /** `restores`: what was decrypted in vain is to be as it was. */
  #open(nonce: Uint8Array, at: Address, headerBytes: number, payloadBytes: number, restores: boolean): boolean {
    const { EVP_CipherUpdate: update, EVP_CipherInit_ex: init, EVP_CipherFinal_ex: final } = this.#functions;
    const { lengthAt } = this.#scratch;
    if (this.#opening === 0) this.#opening = this.#context(this, 0);
    const context = this.#opening;
    const payload = at + headerBytes;
    const tag = payload + payloadBytes;
    check(init(context, 0, 0, 0, this.#scratch.small(nonce), 0));
    check(this.#functions.EVP_CIPHER_CTX_ctrl(context, CTRL_SET_TAG, TAG_BYTES, tag));
    check(update(context, 0, lengthAt, at, headerBytes));
    if (payloadBytes > 0) check(update(context, payload, lengthAt, payload, payloadBytes));
    if (final(context, tag, lengthAt) > 0) return true;
    if (restores) this.#restore(nonce, at, headerBytes, payloadBytes);
    return false;
  }

  /** Both AEADs are stream ciphers at heart: to encrypt again what was decrypted gives back what came. */
  #restore(nonce: Uint8Array, at: Address, headerBytes: number, payloadBytes: number): void {
    const { EVP_CipherUpdate: update, EVP_CipherInit_ex: init } = this.#functions;
    const { lengthAt } = this.#scratch;
    if (this.#sealing === 0) this.#sealing = this.#context(this, 1);
    const payload = at + headerBytes;
    check(init(this.#sealing, 0, 0, 0, this.#scratch.small(nonce), 1));
    check(update(this.#sealing, 0, lengthAt, at, headerBytes));
    if (payloadBytes > 0) check(update(this.#sealing, payload, lengthAt, payload, payloadBytes));
  }

  /** Where `bytes` begin; 0 where C cannot be told so. */
  #addressOf(bytes: Uint8Array): Address {
    const { buffer } = bytes;
    if (buffer !== this.#lastBuffer) {
      const address = addressOf(buffer);
      // Others are not kept: they would never be free.
      if (address === undefined) return 0;
      this.#lastBuffer = buffer;
      this.#lastAddress = address;
    }
    return this.#lastAddress + bytes.byteOffset;
  }
}

/** OpenSSL says 1 where it did what it was asked. Anything else must never look like a sealed packet. */
function check(result: number): void {
  if (result !== 1) throw new Error('OpenSSL refused');
}
