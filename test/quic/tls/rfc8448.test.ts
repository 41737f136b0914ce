import { expect, test } from 'vitest';
import { fromHex, toHex } from '../../../src/base/bytes.js';
import { x25519 } from '../../../src/quic/tls/key-exchange.js';
import { KeySchedule, Transcript } from '../../../src/quic/tls/key-schedule.js';

// RFC 8448 §3, "Simple 1-RTT Handshake".
const CLIENT_PRIVATE = '49af42ba7f7994852d713ef2784bcbcaa7911de26adc5642cb634540e7ea5005';
const SERVER_PRIVATE = 'b1580eeadf6dd589b8ef4f2d5652578cc810e9980191ec8d058308cea216a21e';
const CLIENT_HELLO = `010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7000006130113031302
  010000910000000b0009000006736572766572ff01000100000a00140012001d00170018001901000101010201030104002300000033002600
  24001d002099381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c002b0003020304000d0020001e04030503060302
  0308040805080604010501060102010402050206020202002d00020101001c00024001`;
const SERVER_HELLO = `020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e2692800130100002e0033
  0024001d0020c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f002b00020304`;
/** Of the transcript up to the server's Finished. */
const DIGEST = '9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13';

test('x25519, the transcript and the chain of secrets are those of the trace', () => {
  const client = x25519(fromHex(CLIENT_PRIVATE));
  const server = x25519(fromHex(SERVER_PRIVATE));
  expect(toHex(client.publicKey)).toBe('99381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c');
  expect(toHex(server.publicKey)).toBe('c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f');
  const shared = client.agree(server.publicKey) ?? new Uint8Array();
  expect(toHex(shared)).toBe('8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d');
  expect(server.agree(client.publicKey)).toEqual(shared);

  const transcript = new Transcript();
  transcript.add(fromHex(CLIENT_HELLO));
  transcript.add(fromHex(SERVER_HELLO));
  const digest = transcript.digest('sha256');
  expect(toHex(digest)).toBe('860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8');
  const schedule = new KeySchedule('sha256', shared, digest);
  expect(toHex(schedule.handshake.client)).toBe('b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21');
  expect(toHex(schedule.handshake.server)).toBe('b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38');

  const application = schedule.application(fromHex(DIGEST));
  expect(toHex(application.client)).toBe('9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5');
  expect(toHex(application.server)).toBe('a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643');
  expect(toHex(application.exporter)).toBe('fe22f881176eda18eb8f44529e6792c50c9a3f89452f68d8ae311b4309d3cf50');
});

test('x25519: what is no key, or would give a secret of zeros, is refused (RFC 8446 §7.4.2)', () => {
  const own = x25519(fromHex(CLIENT_PRIVATE));
  expect(own.agree(new Uint8Array(31))).toBeNull();
  expect(own.agree(new Uint8Array(32))).toBeNull();
});
