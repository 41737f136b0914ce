import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concatBytes, utf8Bytes, viewOf } from '../../src/base/bytes.js';
import { drain } from '../../src/base/machine.js';
import { NEVER } from '../../src/base/time.js';
import { ControlChannel, type ControlInput, type ControlOutput } from '../../src/control/channel.js';
import { encodeFrame } from '../../src/control/frames.js';
import type { ChannelBinding } from '../../src/control/handshake.js';

const secret = new Uint8Array(16).fill(7);
const fingerprint = new Uint8Array(32).fill(3);
const binding: ChannelBinding = {
  exporter: new Uint8Array(32).fill(1),
  clientFingerprint: new Uint8Array(32).fill(2),
  serverFingerprint: fingerprint,
};

type Side = 'client' | 'server';
type Seen = Exclude<ControlOutput, { type: 'bytes' }>;

/** Two channels on a virtual clock and a wire that can be cut; every byte arrives at once, in pieces of one length. */
class Wire {
  now = 0;
  cut = false;
  pieceBytes = Number.POSITIVE_INFINITY;
  readonly seen: Record<Side, Seen[]> = { client: [], server: [] };
  readonly said: Record<Side, Uint8Array[]> = { client: [], server: [] };
  readonly ends: Record<Side, ControlChannel>;

  constructor(options: { secret?: Uint8Array; admit?: () => boolean } = {}) {
    const admit = options.admit ?? (() => true);
    this.ends = {
      client: new ControlChannel({ role: 'client', secret: options.secret ?? secret, binding, fingerprint }),
      server: new ControlChannel({ role: 'server', secret, binding, admit }),
    };
  }

  open(): this {
    this.give('server', { type: 'open' });
    this.give('client', { type: 'open' });
    return this;
  }

  give(side: Side, input: ControlInput): void {
    this.ends[side].handle(input, this.now);
    const far = side === 'client' ? 'server' : 'client';
    for (const output of drain(this.ends[side])) {
      if (output.type !== 'bytes') this.seen[side].push(output);
      else {
        this.said[side].push(output.bytes);
        if (!this.cut) this.carry(far, output.bytes);
      }
    }
  }

  carry(to: Side, bytes: Uint8Array): void {
    for (let offset = 0; offset < bytes.length; offset += this.pieceBytes) {
      this.give(to, { type: 'bytes', bytes: bytes.subarray(offset, offset + this.pieceBytes) });
    }
  }

  /** Runs every timer up to `until`. */
  run(until: number): void {
    for (;;) {
      const next = Math.min(this.ends.client.deadline(), this.ends.server.deadline());
      if (next > until) break;
      this.now = Math.max(this.now, next);
      for (const side of ['client', 'server'] as const) {
        if (this.ends[side].deadline() <= this.now) this.give(side, { type: 'timeout' });
      }
    }
    this.now = until;
  }

  messages(side: Side): unknown[] {
    return this.seen[side].flatMap((output) => (output.type === 'message' ? [output.message] : []));
  }

  lost(side: Side): string | null {
    const output = this.seen[side].find(({ type }) => type === 'lost');
    return output?.type === 'lost' ? output.code : null;
  }
}

describe('the control channel', () => {
  test.each([1, 7, Number.POSITIVE_INFINITY])(
    'carries messages both ways in order, pieces of %d bytes',
    (pieceBytes) => {
      const wire = new Wire();
      wire.pieceBytes = pieceBytes;
      wire.open();
      for (const n of [1, 2, 3]) {
        wire.give('client', { type: 'send', message: { type: 'up', n } });
        wire.give('server', { type: 'send', message: { type: 'down', n } });
      }
      expect(wire.seen.client[0]).toEqual({ type: 'authenticated' });
      expect(wire.messages('server')).toEqual([1, 2, 3].map((n) => ({ type: 'up', n })));
      expect(wire.messages('client')).toEqual([1, 2, 3].map((n) => ({ type: 'down', n })));
    },
  );

  test('a message right behind the welcome is not lost', () => {
    const wire = new Wire();
    wire.cut = true;
    wire.open();
    wire.carry('server', concatBytes(...wire.said.client));
    wire.give('server', { type: 'send', message: { type: 'long', text: 'x'.repeat(100_000) } });
    wire.carry('client', concatBytes(...wire.said.server));
    expect(wire.messages('client')).toHaveLength(1);
  });

  test('without the secret nothing passes, in either direction', () => {
    const wire = new Wire({ secret: new Uint8Array(16) }).open();
    wire.give('client', { type: 'send', message: { type: 'up' } });
    wire.give('server', { type: 'send', message: { type: 'down' } });
    expect(wire.lost('client')).toBe('control-refused');
    expect(wire.lost('server')).toBe('control-refused');
    expect(wire.messages('server')).toEqual([]);
    expect(wire.said.server).toEqual([encodeFrame({ type: 'refused', code: 'refused' })]);
    expect(wire.seen.server.at(-1)).toEqual({ type: 'close' });
  });

  test('a recorded handshake is refused on another connection', () => {
    const recorded = concatBytes(...new Wire().open().said.client);
    const later = new ControlChannel({
      role: 'server',
      secret,
      binding: { ...binding, exporter: new Uint8Array(32).fill(9) },
      admit: () => true,
    });
    later.handle({ type: 'open' }, 0);
    later.handle({ type: 'bytes', bytes: recorded }, 0);
    expect(drain(later)).toContainEqual(expect.objectContaining({ type: 'lost', code: 'control-refused' }));
  });

  test('the second client is told "busy"', () => {
    const wire = new Wire({ admit: () => false }).open();
    expect(wire.lost('client')).toBe('control-busy');
  });

  test('a stranger has 5 s', () => {
    const wire = new Wire();
    wire.cut = true;
    wire.open().run(4999);
    expect(wire.lost('server')).toBeNull();
    wire.run(5000);
    expect([wire.lost('server'), wire.lost('client')]).toEqual(['control-timeout', 'control-timeout']);
  });

  test('a stranger may not announce a long frame', () => {
    const wire = new Wire();
    wire.give('server', { type: 'open' });
    wire.carry('server', Uint8Array.of(0, 0, 4, 1));
    expect(wire.lost('server')).toBe('control-protocol');
  });

  test('an idle channel lives', () => {
    const wire = new Wire().open();
    wire.run(3_600_000);
    expect([wire.lost('client'), wire.lost('server')]).toEqual([null, null]);
  });

  test('silence is a loss on both ends after 6 s', () => {
    const wire = new Wire().open();
    wire.run(10_000);
    wire.cut = true;
    wire.run(15_999);
    expect([wire.lost('client'), wire.lost('server')]).toEqual([null, null]);
    wire.run(16_000);
    expect([wire.lost('client'), wire.lost('server')]).toEqual(['control-silent', 'control-silent']);
  });

  test('who was asleep itself asks once more before it calls the far end lost', () => {
    const wire = new Wire().open();
    wire.now = 600_000;
    wire.give('client', { type: 'timeout' });
    wire.run(600_000);
    expect([wire.lost('client'), wire.lost('server')]).toEqual([null, null]);
    wire.cut = true;
    wire.run(610_000);
    expect(wire.lost('client')).toBe('control-silent');
  });

  test('close says goodbye after what was sent', () => {
    const wire = new Wire().open();
    wire.give('client', { type: 'send', message: { type: 'last' } });
    wire.give('client', { type: 'close', reason: 'done' });
    wire.give('client', { type: 'send', message: { type: 'too late' } });
    expect(wire.messages('server')).toEqual([{ type: 'last' }]);
    expect(wire.seen.server).toContainEqual({
      type: 'lost',
      code: 'control-closed',
      reason: 'The far end has ended: done',
    });
    expect(wire.seen.client).toEqual([{ type: 'authenticated' }, { type: 'close' }]);
    expect([wire.ends.client.deadline(), wire.ends.server.deadline()]).toEqual([NEVER, NEVER]);
  });

  test('a connection that goes is a loss, once', () => {
    const wire = new Wire().open();
    wire.give('server', { type: 'closed', code: 'control-closed', reason: 'The connection broke.' });
    wire.give('server', { type: 'closed', code: 'control-closed', reason: 'The connection broke.' });
    expect(wire.seen.server.map(({ type }) => type)).toEqual(['authenticated', 'lost', 'close']);
  });

  test('pings are answered and stay inside', () => {
    const wire = new Wire().open();
    wire.carry('server', encodeFrame({ type: 'ping', id: 41 }) ?? new Uint8Array(0));
    expect(wire.said.server.at(-1)).toEqual(encodeFrame({ type: 'pong', id: 41 }));
    expect(wire.messages('server')).toEqual([]);
  });

  test('garbage at any point ends it with a code and never throws', () => {
    const length = (body: Uint8Array): Uint8Array => {
      const header = new Uint8Array(4);
      viewOf(header).setUint32(0, body.length);
      return concatBytes(header, body);
    };
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ maxLength: 50 }).map(length),
      fc.jsonValue().map((value) => length(utf8Bytes(JSON.stringify(value)))),
    );
    fc.assert(
      fc.property(fc.boolean(), fc.array(piece, { maxLength: 10 }), (authenticated, pieces) => {
        const wire = new Wire();
        if (authenticated) wire.open();
        else wire.give('server', { type: 'open' });
        wire.cut = true;
        for (const bytes of pieces) wire.carry('server', bytes);
        wire.run(20_000);
        expect(wire.lost('server')).toMatch(/^control-(refused|protocol|timeout|silent|version|closed)$/);
        expect(wire.seen.server.filter(({ type }) => type === 'lost' || type === 'close')).toHaveLength(2);
      }),
    );
  });
});
