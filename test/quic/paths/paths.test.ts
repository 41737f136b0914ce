import { describe, expect, test } from 'vitest';
import { fromHex } from '../../../src/base/bytes.js';
import { SeededRandom } from '../../../src/base/random.js';
import { NEVER } from '../../../src/base/time.js';
import { LocalIds } from '../../../src/quic/paths/local-ids.js';
import { PathIds } from '../../../src/quic/paths/path-ids.js';
import { RemoteIds } from '../../../src/quic/paths/remote-ids.js';
import { AmplificationLimit, PathValidation } from '../../../src/quic/paths/validation.js';
import type { Frame, NewConnectionIdFrame } from '../../../src/quic/wire/frames.js';

const idOf = (sequence: number) => fromHex(`c0c0c0c0c0c0c0${(sequence % 256).toString(16).padStart(2, '0')}`);
const tokenOf = (sequence: number) => new Uint8Array(16).fill(sequence);
const issued = (sequence: number, changes: Partial<NewConnectionIdFrame> = {}): NewConnectionIdFrame => ({
  type: 'new-connection-id',
  path: 1,
  sequence,
  retirePriorTo: 0,
  id: idOf(sequence),
  resetToken: tokenOf(sequence),
  ...changes,
});

describe('connection ids of the far end (RFC 9000 §5.1, §19.15)', () => {
  test('the first is used; going over to the next retires it, until that is acknowledged', () => {
    const ids = new RemoteIds(1, 3);
    expect(ids.current).toBeNull();
    ids.onNew(issued(0));
    ids.onNew(issued(1));
    expect([ids.current, ids.spare]).toEqual([idOf(0), 1]);
    expect(ids.rotate()).toBe(true);
    expect(ids.current).toEqual(idOf(1));
    const retirement: Frame = { type: 'retire-connection-id', path: 1, sequence: 0 };
    expect(ids.retirements()).toEqual([retirement]);
    expect(ids.retirements()).toEqual([retirement]);
    ids.onRetireAcked(0);
    expect([ids.retirements(), ids.rotate()]).toEqual([[], false]);
    // An old frame that comes again brings nothing back.
    expect(ids.onNew(issued(0))).toBeNull();
    expect(ids.spare).toBe(0);
  });

  test('retire_prior_to takes the older ones, and what comes late for them is retired at once', () => {
    const ids = new RemoteIds(null, 4);
    ids.setFirst(idOf(0), null);
    ids.onNew(issued(1));
    ids.onNew(issued(3, { retirePriorTo: 3 }));
    expect(ids.current).toEqual(idOf(3));
    ids.onNew(issued(2));
    expect(ids.retirements()).toEqual(
      [0, 1, 2].map((sequence) => ({ type: 'retire-connection-id', path: null, sequence })),
    );
    expect(ids.current).toEqual(idOf(3));
  });

  test.each<[string, NewConnectionIdFrame, number]>([
    ['an id with two sequence numbers', issued(5, { id: idOf(0) }), 0x0a],
    ['a sequence number with two ids', issued(0, { id: idOf(5) }), 0x0a],
    ['an id with two tokens', issued(0, { resetToken: tokenOf(9) }), 0x0a],
    ['more than allowed', issued(2), 0x09],
  ])('refused: %s', (_, frame, code) => {
    const ids = new RemoteIds(1, 2);
    ids.onNew(issued(0));
    ids.onNew(issued(1));
    expect(ids.onNew(issued(0))).toBeNull();
    expect(ids.onNew(frame)).toMatchObject({ code });
  });

  test('a far end that makes us retire without end is stopped', () => {
    const ids = new RemoteIds(1, 2);
    let code: number | undefined;
    for (let sequence = 0; sequence < 100 && code === undefined; sequence += 1) {
      code = ids.onNew(issued(sequence, { retirePriorTo: sequence }))?.code;
    }
    expect(code).toBe(0x09);
    expect(ids.retirements().length).toBeLessThan(10);
  });

  test('a stateless reset is known by the token of an id in use, and of no other (§10.3.1)', () => {
    const ids = new RemoteIds(1, 3);
    ids.onNew(issued(0));
    ids.onNew(issued(1));
    expect([ids.isReset(tokenOf(0)), ids.isReset(tokenOf(1)), ids.isReset(tokenOf(2))]).toEqual([true, true, false]);
    ids.rotate();
    expect(ids.isReset(tokenOf(0))).toBe(false);
    ids.abandon();
    expect([ids.isReset(tokenOf(1)), ids.current, ids.retirements()]).toEqual([false, null, []]);
  });
});

describe('connection ids of this end (RFC 9000 §5.1.1, §19.16)', () => {
  test('as many as the far end keeps, but no more than a few', () => {
    const ids = new LocalIds(2);
    expect([ids.missing(2), ids.missing(1_000_000)]).toEqual([2, 4]);
    expect(ids.issue(idOf(0), tokenOf(0))).toEqual(issued(0, { path: 2 }));
    expect(ids.issue(idOf(1), tokenOf(1)).sequence).toBe(1);
    expect(ids.missing(2)).toBe(0);
    expect(ids.onRetire(0, idOf(1))).toEqual(idOf(0));
    expect([ids.missing(2), ids.isActive(0), ids.onRetire(0, idOf(1))]).toEqual([1, false, null]);
    expect(ids.issue(idOf(2), tokenOf(2)).sequence).toBe(2);
  });

  test('refused: what was never issued, and the id that the packet was sent to', () => {
    const ids = new LocalIds(null);
    ids.setFirst(idOf(0));
    expect(ids.onRetire(1, idOf(0))).toMatchObject({ code: 0x0a });
    expect(ids.onRetire(0, idOf(0))).toMatchObject({ code: 0x0a });
  });
});

describe('path validation (RFC 9000 §8.2)', () => {
  const begun = () => {
    const validation = new PathValidation(new SeededRandom(1));
    validation.start(100, 0);
    return validation;
  };
  const dataOf = (frame: Frame | null) => (frame?.type === 'path-challenge' ? frame.data : new Uint8Array());

  test('what comes back proves it, also for an earlier challenge; anything else does not', () => {
    const validation = begun();
    const first = dataOf(validation.takeChallenge(0));
    expect(first).toHaveLength(8);
    expect(validation.takeChallenge(0)).toBeNull();
    expect(validation.deadline()).toBe(100);
    validation.onTimeout(100);
    const second = dataOf(validation.takeChallenge(100));
    expect(second).not.toEqual(first);
    expect(validation.deadline()).toBe(300);
    expect(validation.onResponse(new Uint8Array(8))).toBe(false);
    expect(validation.onResponse(first)).toBe(true);
    expect([validation.state, validation.deadline()]).toEqual(['validated', NEVER]);
    expect(validation.onResponse(second)).toBe(false);
  });

  test('it fails after 3 · 999 ms, or three PTOs where those are longer', () => {
    const validation = begun();
    const times: number[] = [];
    while (validation.state === 'validating') {
      if (validation.takeChallenge(times.at(-1) ?? 0) === null) throw new Error('no challenge');
      times.push(validation.deadline());
      validation.onTimeout(validation.deadline());
    }
    expect(times).toEqual([100, 300, 700, 1500, 2997]);
    expect(validation.state).toBe('failed');
    const slow = new PathValidation(new SeededRandom(1));
    slow.start(2000, 0);
    slow.onTimeout(5999);
    expect(slow.state).toBe('validating');
    slow.onTimeout(6000);
    expect(slow.state).toBe('failed');
  });

  test('an answer to a validation that has begun anew since proves nothing', () => {
    const validation = begun();
    const first = dataOf(validation.takeChallenge(0));
    validation.start(100, 50);
    expect(validation.onResponse(first)).toBe(false);
  });
});

test('to an address that has proved nothing three times what came from it (RFC 9000 §8.1)', () => {
  const limit = new AmplificationLimit(false);
  expect(limit.leftBytes).toBe(0);
  limit.onReceived(1200);
  limit.onSent(1200);
  expect(limit.leftBytes).toBe(2400);
  limit.onSent(2400);
  limit.onReceived(100);
  expect(limit.leftBytes).toBe(300);
  limit.lift();
  expect(limit.leftBytes).toBe(Infinity);
});

describe('path ids (multipath draft -21)', () => {
  const all = () => true;

  test('a client takes the smallest unused id for which both ends have connection ids, none twice', () => {
    const ids = new PathIds(false, 3, 2);
    expect(ids.open).toEqual([0]);
    expect(ids.next((path) => path === 2)).toBe(2);
    expect(ids.next(all)).toBe(1);
    ids.use(1);
    ids.abandon(1, 0x3e76);
    expect(ids.next(all)).toBe(2);
    expect(ids.use(1)).toBe(false);
    ids.use(2);
    expect(ids.next(all)).toBeNull();
    expect(ids.takeFrames()).toEqual([
      { type: 'path-abandon', path: 1, errorCode: 0x3e76 },
      { type: 'paths-blocked', maximum: 2 },
    ]);
    ids.onFrame({ type: 'max-path-id', maximum: 9 });
    expect(ids.next(all)).toBe(3);
    expect(ids.next(() => false)).toBeNull();
    expect(ids.takeFrames()).toEqual([{ type: 'path-cids-blocked', path: 3, nextSequence: 0 }]);
  });

  test('a server opens none, and follows a packet on a path within the limits', () => {
    const ids = new PathIds(true, 2, 5);
    expect(ids.next(all)).toBeNull();
    expect([ids.use(2), ids.use(3)]).toEqual([true, false]);
    expect(ids.open).toEqual([0, 2]);
  });

  test('PATH_ABANDON is answered by PATH_ABANDON, once, also for a path that was never used', () => {
    const ids = new PathIds(true, 4, 4);
    expect(ids.onFrame({ type: 'path-abandon', path: 3, errorCode: 0x3e })).toBeNull();
    expect(ids.takeFrames()).toEqual([{ type: 'path-abandon', path: 3, errorCode: 0 }]);
    ids.onFrame({ type: 'path-abandon', path: 3, errorCode: 0x3e });
    expect([ids.takeFrames(), ids.stateOf(3)]).toEqual([[], 'abandoned']);
    ids.onLost({ type: 'path-abandon', path: 3, errorCode: 0 });
    expect(ids.takeFrames()).toHaveLength(1);
  });

  test('a wish for a path: the newest counts, whatever comes late; both kinds share their numbers', () => {
    const ids = new PathIds(true, 4, 4);
    expect(ids.wishOf(1)).toBeNull();
    ids.onFrame({ type: 'path-status', path: 1, status: 'backup', sequence: 2 });
    ids.onFrame({ type: 'path-status', path: 1, status: 'available', sequence: 1 });
    expect(ids.wishOf(1)).toBe('backup');
    ids.onFrame({ type: 'path-status', path: 1, status: 'available', sequence: 3 });
    expect(ids.wishOf(1)).toBe('available');
  });

  test('this end says its wish again only while it is its last', () => {
    const ids = new PathIds(true, 4, 4);
    ids.setStatus(1, 'backup');
    const [first] = ids.takeFrames();
    expect(first).toEqual({ type: 'path-status', path: 1, status: 'backup', sequence: 0 });
    ids.setStatus(1, 'available');
    const [second] = ids.takeFrames();
    expect(second).toMatchObject({ sequence: 1, status: 'available' });
    if (first) ids.onLost(first);
    expect(ids.takeFrames()).toEqual([]);
    if (second) ids.onLost(second);
    expect(ids.takeFrames()).toEqual([second]);
  });

  test.each<Frame>([
    { type: 'path-abandon', path: 5, errorCode: 0 },
    { type: 'path-status', path: 5, status: 'backup', sequence: 0 },
    { type: 'path-cids-blocked', path: 5, nextSequence: 0 },
    { type: 'paths-blocked', maximum: 5 },
    { type: 'max-path-id', maximum: 2 ** 32 },
  ])('PROTOCOL_VIOLATION: $type beyond the limit', (frame) => {
    expect(new PathIds(true, 4, 9).onFrame(frame)).toMatchObject({ code: 0x0a });
  });

  test('frames for a path that is no more are passed over', () => {
    const ids = new PathIds(true, 4, 4);
    ids.abandon(2, 0);
    ids.takeFrames();
    expect(ids.onFrame({ type: 'path-status', path: 2, status: 'backup', sequence: 0 })).toBeNull();
    expect([ids.wishOf(2), ids.verdict(2, 0x3e), ids.verdict(3, 0x3e)]).toEqual([null, 'ignore', 'take']);
    expect(ids.takeFrames()).toEqual([]);
  });

  test('allowing more paths is said, and said again when lost', () => {
    const ids = new PathIds(false, 1, 8);
    ids.allow(4);
    expect(ids.takeFrames()).toEqual([{ type: 'max-path-id', maximum: 4 }]);
    expect(ids.maximum).toBe(4);
    ids.onLost({ type: 'max-path-id', maximum: 4 });
    expect(ids.takeFrames()).toHaveLength(1);
  });
});
