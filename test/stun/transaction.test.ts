import { expect, test } from 'vitest';
import { ClientTransaction } from '../../src/stun/transaction.js';

function timeline(transaction: ClientTransaction): { readonly sent: number[]; readonly failed: number } {
  transaction.start(0);
  const sent = [0];
  for (;;) {
    const now = transaction.deadline();
    if (transaction.onTimeout(now) === 'failed') return { sent, failed: now };
    sent.push(now);
  }
}

test('RFC 8489 §6.2.1: sent at 0, 500, 1500 … 31500 ms, failed at 39500 ms', () => {
  const { sent, failed } = timeline(new ClientTransaction());
  expect(sent).toEqual([0, 500, 1500, 3500, 7500, 15500, 31500]);
  expect(failed).toBe(39500);
});

test('its own timers', () => {
  const { sent, failed } = timeline(new ClientTransaction({ rtoMs: 100, requests: 3, lastWaitMs: 250 }));
  expect(sent).toEqual([0, 100, 300]);
  expect(failed).toBe(550);
});

test('early timeouts wait, an answer ends everything', () => {
  const transaction = new ClientTransaction();
  expect(transaction.deadline()).toBe(Infinity);
  transaction.start(1000);
  expect(transaction.onTimeout(1499)).toBe('wait');
  expect(transaction.onTimeout(1500)).toBe('send');
  expect(transaction.sent).toBe(2);
  transaction.finish();
  expect(transaction.deadline()).toBe(Infinity);
  expect(transaction.onTimeout(1e9)).toBe('wait');
});
