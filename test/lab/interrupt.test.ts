import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { formatInvite, parseInvite } from '../../src/control/invite.js';
import { recordEventSchema } from '../../src/session/record.js';
import type { Report } from '../../src/verdict/report.js';
import { createLab, destroyLabs, type Lab } from '../support/lab.js';
import { startIcepath, type IcepathProcess } from '../support/lab-process.js';
import { clientCommand, reflectors, serverCommand } from '../support/lab-run.js';
import { WANTED } from '../support/lab-scenario.js';
import { mesh, type Topology } from '../support/lab-topology.js';
import { describeWith } from '../support/skip.js';
import { CLI } from '../support/sources.js';

// What is left when somebody ends icepath in its midst, in networks where nothing is in the way.

const TIMEOUT_MS = 120_000;
const RUN_TIMEOUT_MS = 60_000;
/** After the client has connected: before there is a plan, while the first paths come up, and in the rounds. */
const MOMENTS_MS = [0, 600, 1500, 3500, 6000];

interface Network {
  readonly lab: Lab;
  readonly server: IcepathProcess;
  readonly invite: string;
  readonly client: (...args: readonly string[]) => IcepathProcess;
}

async function network(
  work: (network: Network) => Promise<void>,
  { serverArgs = [], topology = mesh() }: { serverArgs?: readonly string[]; topology?: Topology } = {},
): Promise<void> {
  const lab = createLab(topology);
  const started: IcepathProcess[] = [];
  const start: typeof startIcepath = (...how) => {
    const made = startIcepath(...how);
    started.push(made);
    return made;
  };
  try {
    for (const { args, ports } of reflectors(lab)) await start(lab, 'R', args).listening(ports);
    const server = start(lab, 'D', [...serverCommand(lab), ...serverArgs]);
    const invite = await server.invite();
    await work({
      lab,
      server,
      invite,
      client: (...args) => start(lab, 'L', [...clientCommand(lab, invite), ...args]),
    });
  } catch (error) {
    throw new Error(`${String(error)}\n${started.map((made) => made.story()).join('\n')}`, { cause: error });
  } finally {
    lab.destroy();
  }
}

const connected = (client: IcepathProcess) => client.logs(({ msg }) => msg === 'connected');
const isUp = (client: IcepathProcess) =>
  client.logs(({ msg, path, to }) => msg === 'path.state' && path === WANTED && to === 'established');
/** Reports on the server's stdout end with the exit code. */
const served = (server: IcepathProcess, times: number) => server.prints(() => reportsOf(server).length >= times);
const reportsOf = (server: IcepathProcess) => server.stdout.match(/^exit \d+: .*/gm) ?? [];

/** Every line is an event, and the last one is the end; judged again it gives a report. */
function judged(record: string): Report {
  const lines = readFileSync(record, 'utf8').trimEnd().split('\n');
  const events = lines.map((line) => recordEventSchema.parse(JSON.parse(line)));
  expect(events.at(-1)?.type).toBe('end');
  return JSON.parse(execFileSync(process.execPath, [CLI, 'report', record, '--json'], { encoding: 'utf8' })) as Report;
}

function accused(report: Report): string[] {
  return report.carriers
    .filter(({ verdict }) => verdict !== 'open' && verdict !== 'inconclusive')
    .map(({ label, verdict }) => `${label} ${verdict}`);
}

/** A whole run at the same server: it must be as if nothing had been before. */
async function wholeRun(client: IcepathProcess): Promise<void> {
  expect(await client.ended(RUN_TIMEOUT_MS)).toBe(0);
  expect(client.report().exit.code).toBe(0);
}

describeWith(['linux', 'ip', 'nft', 'root', 'koffi', 'dist'], 'icepath ended in its midst', () => {
  afterAll(destroyLabs);

  test.concurrent(
    'Ctrl-C at the client at five moments: what is known is reported, and the server serves the next one',
    { timeout: TIMEOUT_MS },
    () =>
      network(async ({ lab, server, client }) => {
        let reports = 0;
        for (const [index, momentMs] of MOMENTS_MS.entries()) {
          const record = join(lab.directory, `${momentMs}.icepath.jsonl`);
          const json = index % 2 === 0;
          const interrupted = client('--record', record, ...(json ? ['--json'] : []));
          await connected(interrupted);
          await sleep(momentMs);
          interrupted.child.kill('SIGINT');
          expect(await interrupted.ended(RUN_TIMEOUT_MS)).toBe(130);
          if (interrupted.stdout === '') {
            // Only before there was a plan is there nothing to tell.
            expect(momentMs).toBe(0);
            expect(interrupted.log.at(-1)?.msg).toMatch(/interrupted before the run began/);
            expect(existsSync(record) ? readFileSync(record, 'utf8') : '').toBe('');
            continue;
          }
          const report = judged(record);
          expect(report.exit).toMatchObject({ code: 130, reason: expect.stringMatching(/^interrupted/) as string });
          expect(accused(report)).toEqual([]);
          if (json) expect(interrupted.report()).toEqual(report);
          else expect(interrupted.stdout).toMatch(/^Incomplete: interrupted after [\d.]+ s$[^]*^exit 130: /m);
          reports += 1;
          await served(server, reports);
        }
        await wholeRun(client('--json'));
        await served(server, reports + 1);
        expect(reportsOf(server).at(-1)).toMatch(/^exit 0: /);
        server.child.kill('SIGINT');
        expect(await server.ended(RUN_TIMEOUT_MS)).toBe(130);
      }),
  );

  test.concurrent(
    'Ctrl-C at the server in the midst of a run: paths that were up stay established',
    { timeout: TIMEOUT_MS },
    () =>
      network(async ({ lab, server, client }) => {
        const record = join(lab.directory, 'client.icepath.jsonl');
        const left = client('--json', '--record', record);
        await isUp(left);
        server.child.kill('SIGINT');
        expect(await server.ended(RUN_TIMEOUT_MS)).toBe(130);
        // The exit line answers for the wanted path, at both ends; the server's own exit code says that it was interrupted.
        expect(reportsOf(server)).toEqual([expect.stringMatching(/^exit 0: /)]);
        expect(server.stdout).toMatch(/^Incomplete: .*the server was interrupted/m);
        const exit = await left.ended(RUN_TIMEOUT_MS);
        const report = left.report();
        expect(exit).toBe(report.exit.code);
        expect(report.paths.find(({ id }) => id === WANTED)?.state).toBe('established');
        expect(report.paths.filter(({ state }) => state === 'lost' || state === 'blocked')).toEqual([]);
        expect(accused(report)).toEqual([]);
        expect(judged(record)).toEqual(report);
      }),
  );

  test.concurrent('a client that is killed: the server says so, and serves the next one', { timeout: TIMEOUT_MS }, () =>
    network(async ({ server, client }) => {
      const killed = client('--json');
      await isUp(killed);
      killed.child.kill('SIGKILL');
      await served(server, 1);
      expect(server.log.map(({ msg }) => msg)).toContain('control.lost');
      expect(server.stdout).toMatch(/^Incomplete: .*control channel/m);
      await wholeRun(client('--json'));
      await served(server, 2);
    }),
  );

  test.concurrent(
    'who must not get in does not disturb who is: a second client, a wrong secret, a wrong interface',
    { timeout: TIMEOUT_MS },
    () =>
      network(
        async ({ lab, server, invite, client }) => {
          const first = client('--json');
          await connected(first);
          const second = client('--json');
          expect(await second.ended(RUN_TIMEOUT_MS)).toBe(6);
          expect(second.told()).toMatch(/control-busy/);

          const { secret, ...rest } = parseInvite(invite);
          const forgery = formatInvite({ ...rest, secret: secret.map((byte) => byte ^ 1) });
          const forged = startIcepath(lab, 'L', clientCommand(lab, forgery));
          expect(await forged.ended(RUN_TIMEOUT_MS)).toBe(6);
          expect(forged.told()).toMatch(/control-refused/);

          const lost = client('--interface', 'wwan7=cellular:o2');
          expect([2, 6]).toContain(await lost.ended(RUN_TIMEOUT_MS));
          expect(lost.told()).toMatch(/wwan7/);
          for (const name of ['eth0', 'wlan0', 'wwan0']) expect(lost.told()).toContain(name);

          await wholeRun(first);
          // With --once the server is done.
          expect(await server.ended(RUN_TIMEOUT_MS)).toBe(0);
          expect(reportsOf(server)).toEqual([expect.stringMatching(/^exit 0: /)]);
          expect(server.log.filter(({ msg }) => msg === 'refused').map(({ code }) => code)).toEqual([
            'control-busy',
            'control-refused',
          ]);
        },
        { serverArgs: ['--once'] },
      ),
  );
});
