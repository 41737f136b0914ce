import type { Duplex } from 'node:stream';
import { viewOf } from '../../base/bytes.js';
import type { QuicLink } from './link.js';

/**
 * The protocol of draft-banks-quic-performance, which other stacks speak, too: a stream of the client's begins with
 * 8 bytes, big-endian, of how many bytes it wants, then what it sends; when it has sent all, so many bytes come back.
 */
export const PERF_ALPN = 'perf';
const SIZE_BYTES = 8;
const CHUNK = new Uint8Array(64 * 1024);

export interface PerfResult {
  readonly uploadedBytes: number;
  readonly downloadedBytes: number;
  /** From the first byte that was written to the last that was read. */
  readonly milliseconds: number;
}

/** Answers one stream. Rejects where the far end gives it up. */
export async function servePerf(stream: Duplex): Promise<void> {
  const head = new Uint8Array(SIZE_BYTES);
  let received = 0;
  await readAll(stream, (chunk) => {
    if (received < SIZE_BYTES) head.set(chunk.subarray(0, SIZE_BYTES - received), received);
    received += chunk.length;
  });
  if (received < SIZE_BYTES) throw new Error('a perf stream without a size');
  await sendZeros(stream, Number(viewOf(head).getBigUint64(0)));
}

/** One stream of a client's; `uploadBytes` counts the 8 bytes of the size, too. */
export async function requestPerf(
  link: QuicLink,
  { uploadBytes, downloadBytes }: { readonly uploadBytes: number; readonly downloadBytes: number },
  now: () => number,
  onProgress: (downloadedBytes: number) => void = () => undefined,
): Promise<PerfResult> {
  const stream = await link.openStream('bidi');
  const startedAt = now();
  const head = new Uint8Array(SIZE_BYTES);
  viewOf(head).setBigUint64(0, BigInt(downloadBytes));
  stream.write(head);
  const sent = sendZeros(stream, Math.max(0, uploadBytes - SIZE_BYTES));
  let downloadedBytes = 0;
  await readAll(stream, (chunk) => {
    downloadedBytes += chunk.length;
    onProgress(downloadedBytes);
  });
  await sent;
  if (downloadedBytes !== downloadBytes) throw new Error(`${String(downloadedBytes)} bytes came`);
  return { uploadedBytes: Math.max(SIZE_BYTES, uploadBytes), downloadedBytes, milliseconds: now() - startedAt };
}

/** Reads to the end, each piece as it comes: an async iterator would put them together first. The other half goes on. */
function readAll(stream: Duplex, onChunk: (chunk: Uint8Array) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.on('data', onChunk);
    stream.once('end', resolve);
    stream.once('error', reject);
    stream.once('close', () => {
      reject(new Error('the stream was closed'));
    });
  });
}

async function sendZeros(stream: Duplex, bytes: number): Promise<void> {
  for (let left = bytes; left > 0; left -= CHUNK.length) {
    const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
    if (!stream.write(chunk)) await roomIn(stream);
  }
  stream.end();
}

function roomIn(stream: Duplex): Promise<void> {
  return new Promise((resolve, reject) => {
    const onDrain = (): void => {
      stream.off('close', onClose);
      resolve();
    };
    const onClose = (): void => {
      stream.off('drain', onDrain);
      reject(stream.errored ?? new Error('the stream was closed'));
    };
    stream.once('drain', onDrain);
    stream.once('close', onClose);
  });
}
