import { expect, test } from 'vitest';
import { runVirtual } from '../../src/world/virtual-lab.js';
import type { TransferReport } from '../../src/verdict/transfer.js';
import { scenario } from './scenario-files.js';

// What issue 6 asks of the scenarios with data, on the virtual clock; on the kernel they run as all others do.

function transferOf(name: string): TransferReport {
  const { report } = runVirtual(scenario(name), { seed: 1, version: '0' });
  if (!report.transfer) throw new Error(`no transfer in ${name}`);
  return report.transfer;
}

test('notes-100s: all paths are joined within 2 RTT and 100 ms, and each carries its share', () => {
  const { complete, bytesSent, bytesReceived, perPath, up } = transferOf('notes-100s');
  expect({ complete, bytesReceived }).toEqual({ complete: true, bytesReceived: bytesSent });
  const paths = ['eth0-eth0-v4', 'wlan0-usb0-v4', 'wlan0-wlan0-v4', 'wwan0-usb0-v4', 'wwan0-wlan0-v4'];
  expect(perPath.map(({ path }) => path)).toEqual(paths);
  // Delays of the links alone are 88 ms there and back.
  for (const { joined } of perPath) expect(joined[0]?.afterMs).toBeLessThanOrEqual(2 * 88 + 100);
  for (const { share } of perPath) expect(share).toBeGreaterThan(0.05);
  // Half as much again as the cable alone would carry.
  expect(up?.goodputBps).toBeGreaterThan(1.5e6);
});

test('wifi-off-on: nothing is lost, the pause is at most 150 ms, and the WiFi carries data again within a second', () => {
  const { complete, bytesSent, bytesReceived, longestPauseMs, perPath } = transferOf('wifi-off-on');
  expect({ complete, bytesReceived }).toEqual({ complete: true, bytesReceived: bytesSent });
  expect(longestPauseMs).toBeLessThanOrEqual(150);
  const wifi = perPath.filter(({ path }) => path.startsWith('wlan0'));
  const carried = (from: number, to: number): number =>
    wifi.reduce((sum, { perSecond }) => sum + perSecond.slice(from, to).reduce((all, bytes) => all + bytes, 0), 0);
  // 400 kbit/s are 50 kB/s. The run began to check two or three seconds before the data flowed.
  expect(carried(3, 11)).toBeGreaterThan(8 * 40_000);
  expect(carried(16, 26)).toBe(0);
  expect(carried(31, 41)).toBeGreaterThan(10 * 40_000);
  for (const { joined } of wifi) expect(joined[1]?.afterMs).toBeLessThan(1000);
});

test('notes-100s-blocked: all data stay on the cable', () => {
  const { complete, bytesSent, bytesReceived, perPath } = transferOf('notes-100s-blocked');
  expect({ complete, bytesReceived }).toEqual({ complete: true, bytesReceived: bytesSent });
  expect(perPath.map(({ path, share }) => [path, share])).toEqual([['eth0-eth0-v4', 1]]);
  // A megabit a second for 100 s, less what headers take: at most a tenth.
  expect(bytesReceived).toBeGreaterThan(0.9 * 12.5e6);
});
