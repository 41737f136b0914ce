import type { Duplex } from 'node:stream';
import { concatBytes, setUint16, xorBytes } from '../../src/base/bytes.js';
import type { PacketCipher } from '../../src/quic/crypto/ciphers.js';
import { expandLabel } from '../../src/quic/crypto/hkdf.js';
import { nodeCiphers } from '../../src/quic/crypto/node-ciphers.js';
import { type CipherSuite, TAG_BYTES } from '../../src/quic/crypto/suites.js';
import type { Handshake, HandshakeResult, Level } from '../../src/quic/tls/handshake.js';
import type { QuicError } from '../../src/quic/wire/errors.js';

const CHANGE_CIPHER_SPEC = 20;
const ALERT = 21;
const HANDSHAKE = 22;
const APPLICATION_DATA = 23;
const HEADER_BYTES = 5;

/** One direction's keys of the record layer (RFC 8446 §5.2 and §7.3). */
class RecordKeys {
  readonly level: Level;
  readonly #cipher: PacketCipher;
  readonly #iv: Uint8Array;
  #sequence = 0;

  constructor(level: Level, suite: CipherSuite, secret: Uint8Array) {
    this.level = level;
    const none = new Uint8Array();
    this.#cipher = nodeCiphers.packetCipher(suite.aead, expandLabel(suite.hash, secret, 'key', none, suite.keyBytes));
    this.#iv = expandLabel(suite.hash, secret, 'iv', none, 12);
  }

  #nonce(): Uint8Array {
    const counter = new Uint8Array(12);
    setUint16(counter, 10, this.#sequence);
    this.#sequence += 1;
    return xorBytes(this.#iv, counter);
  }

  seal(type: number, content: Uint8Array): Uint8Array {
    const header = recordHeader(APPLICATION_DATA, content.length + 1 + TAG_BYTES);
    const record = concatBytes(header, content, Uint8Array.of(type), new Uint8Array(TAG_BYTES));
    this.#cipher.seal(this.#nonce(), record, 0, HEADER_BYTES, record.length - TAG_BYTES);
    return record;
  }

  open(record: Uint8Array): { readonly type: number; readonly content: Uint8Array } {
    const bytes = record.slice();
    if (!this.#cipher.open(this.#nonce(), bytes, 0, HEADER_BYTES, bytes.length)) throw new Error('bad record');
    let end = bytes.length - TAG_BYTES - 1;
    while (bytes[end] === 0) end -= 1;
    return { type: bytes[end] ?? 0, content: bytes.subarray(HEADER_BYTES, end) };
  }
}

function recordHeader(type: number, length: number): Uint8Array {
  return Uint8Array.of(type, 3, 3, length >> 8, length & 0xff);
}

/**
 * Puts our handshake, which knows no records, behind the record layer of TLS over TCP, so that Node's own TLS (OpenSSL)
 * can be its far end.
 */
export class TlsRecords {
  readonly keylog: string[] = [];
  readonly alerts: number[] = [];
  received = '';
  error: QuicError | null = null;
  result: HandshakeResult | null = null;
  readonly done: Promise<void>;
  readonly #machine: Handshake;
  readonly #stream: Duplex;
  #buffer: Uint8Array = new Uint8Array();
  #read: RecordKeys | null = null;
  #write: RecordKeys | null = null;
  #later: RecordKeys | null = null;
  #finish: () => void = () => undefined;

  constructor(machine: Handshake, stream: Duplex) {
    this.#machine = machine;
    this.#stream = stream;
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
    stream.on('data', (chunk: Buffer) => {
      this.#receive(new Uint8Array(chunk));
    });
    stream.on('close', () => {
      this.#finish();
    });
    stream.on('error', () => {
      this.#finish();
    });
    machine.handle({ type: 'start' });
    this.#drain();
  }

  /** Application data, once the handshake is complete. */
  say(text: string): void {
    if (this.#write === null) throw new Error('no keys yet');
    this.#stream.write(this.#write.seal(APPLICATION_DATA, new TextEncoder().encode(text)));
  }

  #receive(chunk: Uint8Array): void {
    this.#buffer = concatBytes(this.#buffer, chunk);
    while (this.#buffer.length >= HEADER_BYTES) {
      const [type = 0, , , high = 0, low = 0] = this.#buffer;
      const end = HEADER_BYTES + high * 256 + low;
      if (this.#buffer.length < end) return;
      const record = this.#buffer.slice(0, end);
      this.#buffer = this.#buffer.slice(end);
      if (type === CHANGE_CIPHER_SPEC) continue;
      const isSealed = type === APPLICATION_DATA && this.#read !== null;
      const inner = isSealed ? this.#read?.open(record) : { type, content: record.subarray(HEADER_BYTES) };
      if (inner !== undefined) this.#take(inner.type, inner.content);
    }
  }

  #take(type: number, content: Uint8Array): void {
    if (type === ALERT) {
      this.alerts.push(content[1] ?? -1);
      this.#finish();
    } else if (type === APPLICATION_DATA) this.received += new TextDecoder().decode(content);
    else if (type === HANDSHAKE) {
      const level = this.#read?.level ?? 'initial';
      this.#machine.handle({ type: 'crypto', level, data: content });
      this.#drain();
    }
  }

  #drain(): void {
    for (let output = this.#machine.poll(); output !== undefined; output = this.#machine.poll()) {
      switch (output.type) {
        case 'send':
          this.#stream.write(
            this.#write === null
              ? concatBytes(recordHeader(HANDSHAKE, output.data.length), output.data)
              : this.#write.seal(HANDSHAKE, output.data),
          );
          break;
        case 'keys': {
          this.#write = new RecordKeys(output.level, output.suite, output.write);
          const read = new RecordKeys(output.level, output.suite, output.read);
          // A server has its keys for 1-RTT before the client's Finished has come.
          if (output.level === '1-rtt' && this.#machine.role === 'server') this.#later = read;
          else this.#read = read;
          break;
        }
        case 'keylog':
          this.keylog.push(output.line);
          break;
        case 'complete':
          this.#read = this.#later ?? this.#read;
          this.result = output;
          this.#finish();
          break;
        case 'failed':
          this.error = output.error;
          this.#finish();
          this.#stream.destroy();
          break;
        case 'parameters':
          break;
      }
    }
  }
}
