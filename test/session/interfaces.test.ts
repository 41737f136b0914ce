import { describe, expect, it } from 'vitest';
import { judge } from '../../src/session/judge.js';
import type { RecordEvent } from '../../src/session/record.js';
import type { VirtualRun } from '../../src/world/virtual-run.js';
import { virtualRun } from '../world/worlds.js';

// Interfaces that come and go during a run (issue 6, part 3): addresses are gathered again, only what changed is checked
// again, and the far end answers although nothing changed on its side (requirements.md O23: WhatsApp's does not).

const OF_WLAN0 = ['wlan0-wlan0-v4', 'wlan0-usb0-v4'];

const down = (run: VirtualRun, at: number): void => {
  run.at(at, () => {
    run.client.host.setUp('wlan0', false);
  });
};
const up = (run: VirtualRun, at: number): void => {
  run.at(at, () => {
    run.client.host.setUp('wlan0', true);
  });
};
const validOf = ({ client }: VirtualRun, path: string): number[] =>
  client.events.flatMap((event) =>
    event.type === 'valid' && event.host === 'client' && event.path === path ? [event.t] : [],
  );

/** The record of a far end that hears a path's checks from `from` on, and neither answers nor asks: of a program like O23's. */
function silenced(events: readonly RecordEvent[], from: number): RecordEvent[] {
  const ofPath = ({ interface: near, towards }: { readonly interface: string; readonly towards?: string | null }) =>
    near === 'wlan0' && (towards === undefined || towards === null || towards === 'wlan0');
  const said = new Set<string>();
  for (const event of events)
    if (event.type === 'sent' && event.host === 'server' && event.leg === 'peer' && event.t >= from && ofPath(event))
      if (event.purpose !== 'arm' && event.purpose !== 'trial') said.add(`${event.purpose === 'response'} ${event.id}`);
  return events.filter((event) => {
    if (event.t < from) return true;
    if (event.type === 'valid') return event.path !== 'wlan0-wlan0-v4';
    if (event.type !== 'sent' && event.type !== 'received') return true;
    const isOfServer = event.type === 'sent' ? event.host === 'server' : event.host === 'client';
    return !isOfServer || !said.has(`${event.purpose === 'response'} ${event.id}`);
  });
}

describe('an interface that goes', () => {
  it('takes its paths with it: lost by a local fault, said in a sentence, nobody accused, the others untouched', () => {
    const one = virtualRun();
    down(one, 4000);
    const { paths, carriers } = one.run();
    for (const path of paths.filter(({ id }) => OF_WLAN0.includes(id))) {
      expect(path).toMatchObject({ state: 'lost', cause: 'local-fault' });
      expect(path.summary).toContain("when the client's address on wlan0 (hhg) went away");
    }
    for (const id of ['eth0-eth0-v4', 'wwan0-wlan0-v4', 'wwan0-usb0-v4'])
      expect(paths.find((path) => path.id === id)).toMatchObject({ state: 'established', cause: null });
    expect(carriers.filter(({ verdict }) => /^(?:blocks|filters)/.test(verdict))).toEqual([]);
  });

  it('and comes back is joined again by both ends; what did not change is not gathered again', () => {
    const one = virtualRun();
    down(one, 3000);
    up(one, 4000);
    const { paths } = one.run();
    for (const id of OF_WLAN0) {
      const path = paths.find((one) => one.id === id);
      expect(path).toMatchObject({ state: 'established', cause: null, lapses: [{ gone: 'client' }] });
      expect(path?.summary).toContain(
        "lost after 3.0 s, when the client's address on wlan0 (hhg) went away, and up again: down for 1.",
      );
      const [first = 0, ...again] = validOf(one, id);
      expect(first).toBeLessThan(3000);
      // 2 RTT of 88 ms to gather and to check, and 100 ms.
      expect(again.filter((t) => t > 4000 && t <= 4276)).toHaveLength(1);
    }
    const gathered = one.client.events.filter(
      (event) => event.type === 'candidate' && event.host === 'client' && event.use === 'ice' && event.t > 3000,
    );
    expect(gathered.length).toBeGreaterThan(0);
    expect(gathered.every((event) => 'interface' in event && event.interface === 'wlan0')).toBe(true);
  });

  it('and comes back to a far end that logs its checks and answers none: unresponsive, not lost, not blocked (O23, AC12)', () => {
    const one = virtualRun();
    down(one, 3000);
    up(one, 4000);
    one.run();
    const { paths, carriers, exit } = judge(silenced(one.client.events, 3000));
    const path = paths.find(({ id }) => id === 'wlan0-wlan0-v4');
    expect(path).toMatchObject({ state: 'unresponsive', cause: 'peer-fault' });
    expect(path?.summary).toMatch(/the server logged \d+ of \d+ checks on wlan0 \(hh2\) and answered none/);
    expect(carriers.filter(({ verdict }) => /^(?:blocks|filters)/.test(verdict))).toEqual([]);
    // Only the wanted path counts for it, and that one is up.
    expect(exit.code).toBe(0);
  });

  it('ten times in a row: the run ends, and the path is up at its end', () => {
    const one = virtualRun();
    for (let n = 0; n < 10; n += 1) {
      down(one, 1000 + n * 400);
      up(one, 1200 + n * 400);
    }
    expect(one.run().paths.find(({ id }) => id === 'wlan0-wlan0-v4')).toMatchObject({ state: 'established' });
  });
});
