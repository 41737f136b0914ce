import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { HostInterface } from '../../src/base/interface.js';
import { stillThere, watchInterfaces } from '../../src/net/interface-watch.js';
import { type ListedInterface, selectInterfaces } from '../../src/net/interfaces.js';

const on = (name: string, ...addresses: string[]): HostInterface => ({
  name,
  kind: 'wifi',
  label: name,
  addresses: addresses.map((address) => ({ family: 'ipv4', address, prefixLength: 24 })),
});

test('with the first line what is gone is told, and nothing that is new', () => {
  const known = [on('wlan0', '192.0.2.1', '192.0.2.2'), on('wwan0', '198.51.100.1')];
  const now = [on('wlan0', '192.0.2.2', '192.0.2.3'), on('wwan0')];
  expect(stillThere(known, now)).toEqual([on('wlan0', '192.0.2.2'), on('wwan0')]);
  expect(stillThere(known, known)).toEqual(known);
});

describe('what is plugged in under way', () => {
  const listed = (...all: HostInterface[]): ListedInterface[] => all.map((one) => ({ ...one, up: true, driver: null }));
  let there: readonly ListedInterface[] = [];
  let told: HostInterface[][] = [];

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'setTimeout', 'clearInterval', 'clearTimeout'] });
    there = listed(on('wlan0', '192.0.2.1'));
    told = [];
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** Watches from now on, and gives how to look a second later what was told since. */
  const watching = (interfaces: readonly HostInterface[], joins: boolean): ((now: ListedInterface[]) => unknown[]) => {
    const end = watchInterfaces({
      interfaces,
      list: () => there,
      onChange: (now) => {
        told.push([...now]);
      },
      ...(joins && { joins: (all) => selectInterfaces(all, []) }),
    });
    ends.push(end);
    return (now) => {
      there = now;
      vi.advanceTimersByTime(1000);
      return told.splice(0);
    };
  };
  const ends: (() => void)[] = [];
  afterEach(() => {
    for (const end of ends.splice(0)) end();
  });

  test('is told with what a run has, once it has an address, and stays when it is pulled out', () => {
    const look = watching([on('wlan0', '192.0.2.1')], true);
    const wlan0 = on('wlan0', '192.0.2.1');
    expect(look(listed(wlan0, on('usb0')))).toEqual([]);
    expect(look(listed(wlan0, on('usb0', '198.51.100.1')))).toEqual([[wlan0, on('usb0', '198.51.100.1')]]);
    expect(look(listed(wlan0))).toEqual([[wlan0, on('usb0')]]);
    expect(look(listed(on('usb0', '198.51.100.2'), wlan0))).toEqual([[wlan0, on('usb0', '198.51.100.2')]]);
  });

  test('is told where nothing was there to begin with', () => {
    there = [];
    expect(watching([], true)(listed(on('usb0', '198.51.100.1')))).toEqual([[on('usb0', '198.51.100.1')]]);
  });

  test('is nothing to a run whose user named its interfaces, nor is loopback, nor what containers make', () => {
    const wlan0 = on('wlan0', '192.0.2.1');
    expect(watching([wlan0], false)(listed(wlan0, on('usb0', '198.51.100.1')))).toEqual([]);
    const lo: HostInterface = { ...on('lo', '127.0.0.1'), kind: 'loopback' };
    expect(watching([wlan0], true)(listed(wlan0, lo, on('docker0', '172.17.0.1')))).toEqual([]);
  });
});
