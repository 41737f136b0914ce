import { describe, expect, it } from 'vitest';
import { type PathCount, type TransferEnd, transferReport } from '../../src/verdict/transfer.js';

// Sums by hand: what is said of data is what both ends counted, and no more.

const count = (path: string, sent: number, received: number, lostPackets = 0): PathCount => ({
  ...{ path, sentBytes: sent * 1000, receivedBytes: received * 1000, sentDatagrams: sent },
  ...{ receivedDatagrams: received, lostPackets, smoothedRttMs: 50 },
});
const end = (sentBytes: number, receivedBytes: number, paths: readonly PathCount[]): TransferEnd => ({
  begunAt: 100,
  over: { sentBytes, receivedBytes, afterMs: 2000, longestPauseMs: 30, longestPauseAt: 500, error: null },
  seconds: [{ second: 2, sentBytes, receivedBytes, paths }],
  joined: [],
  left: [],
});
const UPLOAD = { direction: 'upload', seconds: 2, rateBps: null } as const;

describe('the report of a transfer', () => {
  it('says that all arrived only where both ends say so', () => {
    const [client, server] = [end(100_000, 0, []), end(0, 100_000, [])];
    expect(transferReport({ ...UPLOAD, client, server })).toMatchObject({ complete: true, error: null });
    // 100 kB in 2 s.
    expect(transferReport({ ...UPLOAD, client, server }).up?.goodputBps).toBe(400_000);
    const less = transferReport({ ...UPLOAD, client, server: end(0, 99_999, []) });
    expect(less).toMatchObject({ complete: false, error: 'not all that was sent was received' });
    const silent = transferReport({ ...UPLOAD, client, server: { ...server, over: null } });
    const known = 'all that the client sent was acknowledged, and it read all that was sent to it';
    expect(silent).toMatchObject({
      complete: false,
      error: `the server's record ends before the transfer's: ${known}`,
    });
    const mute = transferReport({ ...UPLOAD, client: { ...client, over: null }, server });
    expect(mute).toMatchObject({ complete: false, error: "the client's record ends before the transfer's" });
    // Its last second told of nothing, and what came was sent.
    const unheard = transferReport({ ...UPLOAD, client: { ...client, over: null, seconds: [] }, server });
    expect(unheard.up).toMatchObject({ bytesSent: 100_000, bytesReceived: 100_000 });
  });

  it('loss is what one end sent and the other did not get; what one end alone counted is not called lost for that', () => {
    const client = end(0, 0, [count('a', 100, 50), count('b', 100, 50, 2)]);
    const server = end(0, 0, [count('a', 60, 90)]);
    const [a, b] = transferReport({ ...UPLOAD, client, server }).perPath;
    // 160 were sent, 140 came.
    expect(a?.lossRatio).toBeCloseTo(20 / 160);
    // 2 of 100 were declared lost.
    expect(b?.lossRatio).toBeCloseTo(0.02);
  });
});
