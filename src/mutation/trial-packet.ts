import { addressBytes } from '../base/address.js';
import { setUint32, toHex } from '../base/bytes.js';
import type { HeaderField } from './arm.js';
import type { ByteRange } from './differences.js';
import { mutate } from './header.js';
import { KeyedRandom } from './keyed-random.js';
import { type ArmName, PLAIN_ARM } from './names.js';
import { buildProbe } from './probe.js';
import { type ArmRegistry, BUILT_IN } from './registry.js';
import { hmac } from './sealed.js';

/** What a packet of an experiment is made of. */
export interface PacketSpec {
  readonly arm: ArmName;
  /** Of the UDP payload; `null`: as the arm is. */
  readonly lengthBytes: number | null;
  /** Bytes taken from a packet of another arm, of the same length: what a search puts in or leaves out. */
  readonly graft: { readonly from: ArmName; readonly bytes: readonly ByteRange[] } | null;
  /** IP TTL or hop limit; `null`: the host's. */
  readonly ttl: number | null;
  /** It holds its sender's address as that host knows it, at {@link ADDRESS_AT}: what an application-layer gateway looks for. */
  readonly carries?: 'address';
  /** Of plain STUN: header fields that are changed in it, as the arms of these fields change them. */
  readonly fields?: readonly HeaderField[];
}

/** Behind what the control's own bytes are known by. */
export const ADDRESS_AT = 40;

/**
 * A packet of an experiment. Both ends make the same one of the session's key and `counter`, so the receiver knows it
 * byte for byte, whatever the arm: it sees what was rewritten on the way, and nobody without the key can forge one.
 * Throws `RangeError` for an unknown arm.
 */
export function buildTrialPacket(
  { arm, lengthBytes, graft, carries, fields = [] }: PacketSpec,
  {
    key,
    counter,
    arms = BUILT_IN,
    sender = null,
  }: {
    readonly key: Uint8Array;
    readonly counter: number;
    readonly arms?: ArmRegistry;
    /** The address for {@link PacketSpec.carries}, as an IP address. */
    readonly sender?: string | null;
  },
): { readonly id: string; readonly bytes: Uint8Array } {
  const packetOf = (name: ArmName, length: number | null): Uint8Array =>
    buildProbe(name, {
      key,
      counter,
      arms,
      random: new KeyedRandom(key, `icepath trial ${name} ${String(counter)}`),
      ...(length === null ? {} : { lengthBytes: length }),
    }).bytes;
  const whole = packetOf(arm, lengthBytes);
  const bytes = arm === PLAIN_ARM ? mutate({ name: arm, stun: true, fields }, whole, key) : whole;
  if (graft) {
    const other = packetOf(graft.from, bytes.length);
    for (const { at, end } of graft.bytes)
      if (at < bytes.length) bytes.set(other.subarray(at, Math.min(end, bytes.length)), at);
  }
  if (carries && sender !== null) {
    const address = addressBytes(sender);
    if (bytes.length >= ADDRESS_AT + address.length) bytes.set(address, ADDRESS_AT);
  }
  const counterBytes = new Uint8Array(4);
  setUint32(counterBytes, 0, counter);
  return { id: toHex(hmac(key, 'icepath trial id', counterBytes).subarray(0, 12)), bytes };
}
