import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../src/base/random.js';
import { drain } from '../../src/base/machine.js';
import { Presence, PRESENCE, type PresenceInput, type PresenceOutput } from '../../src/control/presence.js';
import { CLOSE } from '../../src/control/rendezvous.js';

const waiting = JSON.stringify({ type: 'waiting' });
const ticket = 'T'.repeat(22);

/** A server's presence on a virtual clock. */
class Server {
  now = 0;
  readonly presence = new Presence(new SeededRandom('presence'));
  readonly seen: { readonly at: number; readonly output: PresenceOutput }[] = [];

  give(input: PresenceInput): this {
    this.presence.handle(input, this.now);
    for (const output of drain(this.presence)) this.seen.push({ at: this.now, output });
    return this;
  }

  /** Up to the next thing that it does by itself. */
  wait(): this {
    this.now = this.presence.deadline();
    return this.give({ type: 'timeout' });
  }

  present(): this {
    return this.give({ type: 'start' }).give({ type: 'opened' }).give({ type: 'text', text: waiting });
  }

  types(): string[] {
    return this.seen.map(({ output }) => output.type);
  }
}

describe('a server at a rendezvous', () => {
  test('says hello, is present, and hears of clients', () => {
    const server = new Server().present().give({ type: 'text', text: JSON.stringify({ type: 'visitor', ticket }) });
    expect(server.types()).toEqual(['connect', 'hello', 'present', 'visitor']);
    expect(server.seen.at(-1)?.output).toEqual({ type: 'visitor', ticket });
  });

  test('goes back there with growing pauses, up to a quarter of a minute, and says once that it is away', () => {
    const server = new Server().present().give({ type: 'closed', code: 1006 });
    for (let n = 0; n < 12; n += 1) {
      server.wait().give({ type: 'failed', code: 'rendezvous-unreachable', reason: 'No.' });
    }
    expect(server.types().filter((type) => type === 'absent')).toEqual(['absent']);
    const tries = server.seen.filter(({ output }) => output.type === 'connect').map(({ at }) => at);
    const pauses = tries.slice(1).map((at, index) => at - (tries[index] ?? 0));
    for (const [index, pause] of pauses.entries()) {
      const most = Math.min(PRESENCE.firstRetryMs * 2 ** index, PRESENCE.lastRetryMs);
      expect(pause).toBeGreaterThanOrEqual(most / 2);
      expect(pause).toBeLessThanOrEqual(most);
    }
    server.wait().give({ type: 'opened' }).give({ type: 'text', text: waiting });
    expect(server.types().at(-1)).toBe('present');
    const back = server.now;
    server.give({ type: 'closed', code: CLOSE.ends });
    expect(server.presence.deadline() - back).toBeLessThanOrEqual(PRESENCE.firstRetryMs);
    expect(server.types().at(-1)).toBe('absent');
  });

  test('leaves a rendezvous that has fallen silent, and stays with one that pings', () => {
    const server = new Server().present();
    for (let n = 0; n < 100; n += 1) {
      server.now += PRESENCE.silentMs - 1;
      server.give({ type: 'timeout' }).give({ type: 'ping' });
    }
    expect(server.types()).toEqual(['connect', 'hello', 'present']);
    server.wait();
    expect(server.types().slice(3)).toEqual(['drop', 'absent']);
  });

  test('does not wait for an answer for ever', () => {
    const server = new Server().give({ type: 'start' }).give({ type: 'opened' }).wait();
    expect(server.now).toBe(PRESENCE.answerMs);
    expect(server.types()).toEqual(['connect', 'hello', 'drop', 'absent']);
  });

  test.each([
    ['nonsense', 'welcome'],
    ['a client before it waits', JSON.stringify({ type: 'visitor', ticket })],
    ['being joined to nobody', JSON.stringify({ type: 'joined' })],
  ])('%s is not what a rendezvous says', (_, text) => {
    const server = new Server().give({ type: 'start' }).give({ type: 'opened' }).give({ type: 'text', text });
    expect(server.seen.at(-1)?.output).toMatchObject({ type: 'absent', code: 'rendezvous-protocol' });
  });
});
