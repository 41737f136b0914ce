import { beforeAll, describe, expect, test } from 'vitest';
import { judge } from '../../src/session/judge.js';
import type { RecordEvent } from '../../src/session/record.js';
import type { ProfileReport } from '../../src/verdict/profile.js';
import type { Report } from '../../src/verdict/report.js';
import { runVirtual } from '../../src/world/virtual-lab.js';
import { parseProfile } from '../../src/profile/file.js';
import { profile, textOf } from '../profile/pair.js';
import { scenario } from '../world/scenario-files.js';

interface Played {
  readonly report: Report;
  readonly events: readonly RecordEvent[];
  readonly played: ProfileReport;
}

function play(name: string, profileName: string): Played {
  const { report, events } = runVirtual(scenario(name), { seed: '1', version: 'test', profile: profile(profileName) });
  if (!report.profile) throw new Error('no profile in the report');
  return { report, events, played: report.profile };
}

describe('wifi-off-on under whatsapp-video-2024 (AC10)', () => {
  let run: Played;

  beforeAll(() => {
    run = play('wifi-off-on', 'whatsapp-video-2024');
  }, 120_000);

  test('the direct path is found 400 to 1000 ms after the call began (O6), the relay before it', () => {
    const { found, path, firstPathMs, relayMs } = run.played;
    expect([found, path]).toEqual([true, 'wlan0-wlan0-v4']);
    expect(firstPathMs).toBeGreaterThanOrEqual(400);
    expect(firstPathMs).toBeLessThanOrEqual(1000);
    expect(relayMs).toBeLessThan(100);
  });

  test('the cut costs the client 500 ± 200 ms, and from then on both ends stay on the relay', () => {
    const [gap, ...more] = run.played.gaps;
    expect(more).toEqual([]);
    expect(gap?.host).toBe('client');
    const length = (gap?.untilMs ?? NaN) - (gap?.fromMs ?? NaN);
    expect(length).toBeGreaterThanOrEqual(300);
    expect(length).toBeLessThanOrEqual(700);
    const after = run.played.used.filter(({ atMs }) => atMs > (gap?.fromMs ?? NaN));
    expect(after.map(({ on }) => on)).not.toContain('direct');
    for (const host of ['client', 'server']) expect(after.findLast((one) => one.host === host)?.on).toBe('relay');
    expect(run.played.says.join('\n')).toMatch(/when wlan0 was back, the client sent 40 probes, in vain/);
  });

  test('when the WiFi is back only the client probes, and the far end, which logs it, does not answer: unresponsive (O23, AC12)', () => {
    // O12: 20 packets to an address; those to the reflexive one come through, since both ends keep their port (O1).
    expect(run.played.again).toMatchObject([
      { host: 'client', interface: 'wlan0', probes: 40, heard: 20, answered: 0, state: 'unresponsive' },
    ]);
    const back = run.events.find((event) => event.type === 'profile' && event.what === 'interface-up');
    const logged = run.events.filter(
      (event) =>
        event.type === 'profile' && event.host === 'server' && event.what === 'heard' && event.t > (back?.t ?? NaN),
    );
    expect(logged).toHaveLength(20);
    expect(run.played.says.join('\n')).toContain('20 came to the far end, which answered none: unresponsive');
    expect(run.report.paths.filter(({ state }) => state === 'blocked')).toEqual([]);
    expect(run.report.carriers.filter(({ verdict }) => /^(?:blocks|filters)/.test(verdict))).toEqual([]);
  });

  test("icepath's own run loses nothing beside it, and its pause is shorter", () => {
    expect(run.report.exit.code).toBe(0);
    expect(run.report.transfer?.complete).toBe(true);
    expect(run.report.transfer?.longestPauseMs).toBeLessThan(300);
  });

  test('the record alone gives the same report', () => {
    expect(judge(run.events).profile).toEqual(run.played);
  });
});

test('the same schedule with a far end that answers finds the WiFi again', () => {
  const text = 'extends: whatsapp-video-2024\ntitle: Answers\nobserved: [Nobody has seen it.]\n';
  const up = 'up: { relay: yes, probes: changed, unchanged-answers: yes }\n';
  const answers = parseProfile(text + up, 'answers.yaml', textOf);
  const { report } = runVirtual(scenario('wifi-off-on'), { seed: '1', version: 'test', profile: answers });
  expect(report.profile?.again).toMatchObject([{ host: 'client', interface: 'wlan0', state: 'established' }]);
  expect(report.profile?.says.join('\n')).toContain('and found a direct path again');
}, 120_000);

test('an end that keeps its path does not probe when another interface is back', () => {
  const { again } = play('wifi-off-on', 'rfc8445').played;
  expect(again).toMatchObject([
    { host: 'client', interface: 'wlan0', probes: 0, heard: 0, answered: 0, state: 'unprobed' },
  ]);
}, 120_000);

test('where carriers block peers the schedule gives up after 20 probes in 11.4 s, and no verdict is another', () => {
  const { report, played } = play('ice-02', 'whatsapp-video-2024');
  expect(played).toMatchObject({ found: false, path: null, gaveUpAfterMs: 11_400 });
  for (const { probes, heard } of played.paths) {
    expect([probes.client % 20, probes.server % 20]).toEqual([0, 0]);
    expect(heard).toEqual({ client: 0, server: 0 });
  }
  expect(played.says[0]).toMatch(/would find no direct path here/);
  const without = runVirtual(scenario('ice-02'), { seed: '1', version: 'test' }).report;
  expect(without.profile).toBeUndefined();
  const verdicts = ({ paths, exit }: Report) => [exit.code, paths.map(({ id, state, cause }) => [id, state, cause])];
  expect(verdicts(report)).toEqual(verdicts(without));
}, 120_000);

test('rfc8445 finds what is open; its probes are none of the run’s evidence', () => {
  const { report, events, played } = play('control-open', 'rfc8445');
  expect(played.found).toBe(true);
  expect(report.exit.code).toBe(0);
  const ports = new Set(
    events.flatMap((event) => (event.type === 'candidate' && event.use === 'ice' ? [event.address.port] : [])),
  );
  for (const event of events)
    if (event.type === 'sent' && event.purpose === 'check') expect(ports.has(event.to.port)).toBe(true);
}, 120_000);
