import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { forgetFlows } from '../support/conntrack.js';
import { createLab, destroyLabs, type Lab } from '../support/lab.js';
import { runIcepath, type IcepathOptions, type IcepathResult } from '../support/lab-run.js';
import { WANTED } from '../support/lab-scenario.js';
import { type Changes, mesh } from '../support/lab-topology.js';
import { describeWith } from '../support/skip.js';

// A kernel's NAT forgets all its mappings while data flow through it, and translates to other ports from then on: what a
// restarted router does (RFC 9308 §3.6). How long a pause may be the virtual clock tells (test/session/transfer/faults.test.ts).

const TIMEOUT_MS = 600_000;
const RATE_BPS = 400_000;
const RESTART_SECOND = 5;
/** Long enough for packets of each socket that is in use. */
const LOOK_MS = 2000;
/** masquerade keeps a socket's own port where that is free: from a range it cannot, so that other ports come of it. */
const OTHER_PORTS = [20_000, 29_999] as const;

interface Rebinding {
  /** The two NATs: of the client's modem, and of the server's. */
  readonly carriers: Changes;
  readonly seconds: number;
  /** Whether the NAT takes another range of ports from then on: one that draws them for each flow need not. */
  readonly otherPorts: boolean;
  readonly only?: IcepathOptions['only'];
}

describeWith(['linux', 'ip', 'nft', 'root', 'koffi', 'dist'], 'a kernel’s NAT that forgets under way', () => {
  afterAll(destroyLabs);

  async function rebind({ carriers, seconds, otherPorts, only }: Rebinding): Promise<IcepathResult> {
    const lab = createLab(mesh(carriers));
    try {
      const ports = watchPorts(lab);
      let [before, after]: [number[], number[]] = [[], []];
      const result = await runIcepath({
        lab,
        ...(only && { only }),
        clientArgs: [
          ...['--arms', 'random,stun', '--duration', String(seconds), '--rate', `${RATE_BPS / 1000} kbit/s`],
        ],
        during: async ({ clientLogs }) => {
          await clientLogs(({ msg, second }) => msg === 'transfer.progress' && Number(second) >= RESTART_SECOND);
          before = await ports(LOOK_MS);
          if (otherPorts) translateTo(lab, OTHER_PORTS);
          forgetFlows(`/run/netns/${lab.namespace('o2')}`);
          after = await ports(LOOK_MS);
        },
      });
      expectWhole(result, seconds);
      expect(before.length, 'ports before').toBeGreaterThan(0);
      expect(after.length, 'ports after').toBeGreaterThan(0);
      expect(after.filter((port) => before.includes(port))).toEqual([]);
      return result;
    } finally {
      lab.destroy();
    }
  }

  const joinedOf = ({ report }: IcepathResult, path: string): number =>
    report.transfer?.perPath.find((one) => one.path === path)?.joined.length ?? 0;

  test.concurrent('towards a host that lets anybody in the path moves along', { timeout: TIMEOUT_MS }, async () => {
    const result = await rebind({
      carriers: { o2: { nat: 'symmetric' }, telekom: { nat: 'none' } },
      seconds: 12,
      otherPorts: false,
      only: ['wwan0', 'usb0'],
    });
    // One and the same path of QUIC's: it was not joined again.
    expect(joinedOf(result, WANTED)).toBe(1);
  });

  test.concurrent(
    'where the far NAT waits for the old port, other paths carry on',
    { timeout: TIMEOUT_MS },
    async () => {
      const { report } = await rebind({ carriers: {}, seconds: 12, otherPorts: true });
      const late = report.transfer?.perPath.filter(({ perSecond }) => perSecond.slice(-3).some((bytes) => bytes > 0));
      expect(late?.map(({ path }) => path)).toEqual(
        expect.arrayContaining([expect.stringMatching(/^(?:eth0|wlan0)-/)]),
      );
    },
  );

  test.concurrent('… where there is none, fresh sockets do once consent is gone', { timeout: TIMEOUT_MS }, async () => {
    const result = await rebind({ carriers: {}, seconds: 55, otherPorts: true, only: ['wwan0', 'usb0'] });
    expect(joinedOf(result, WANTED)).toBeGreaterThanOrEqual(2);
    const lost = result.record.filter((event) => event.type === 'lost' && event.path === WANTED);
    expect(lost[0]).toMatchObject({ reason: 'consent expired (RFC 7675)' });
  });
});

/** Both ends say that what was sent is what arrived, and nobody is accused of anything. */
function expectWhole({ report, exitCode, serverExitCode }: IcepathResult, seconds: number): void {
  const { transfer, carriers, paths } = report;
  expect(transfer).toMatchObject({ complete: true, error: null });
  expect(transfer?.bytesReceived).toBe(transfer?.bytesSent);
  // What a capped sender writes is rounded down, at each end.
  expect(Math.abs((transfer?.bytesSent ?? 0) - (2 * seconds * RATE_BPS) / 8)).toBeLessThanOrEqual(2);
  expect(paths.find(({ id }) => id === WANTED)?.state).toBe('established');
  expect(carriers.filter(({ verdict }) => /^(?:blocks|filters)/.test(verdict))).toEqual([]);
  expect([exitCode, serverExitCode]).toEqual([0, 0]);
}

/** Gives the ports that packets from the client's modem come from, on the far side of its NAT, within so many milliseconds. */
function watchPorts(lab: Lab): (forMs: number) => Promise<number[]> {
  const far = lab.topology.uplinks.find(({ label }) => label === 'telekom');
  const to = far?.nat === 'none' ? lab.address('D', 'usb0') : lab.publicAddress('telekom');
  lab.exec(
    'public',
    'nft',
    ['-f', '-'],
    `
    table ip seen {
      set ports { type inet_service; flags dynamic; size 1024; }
      chain forward {
        type filter hook forward priority 10
        iifname "o2" ip daddr ${to} meta l4proto udp add @ports { udp sport }
      }
    }`,
  );
  return async (forMs) => {
    lab.exec('public', 'nft', ['flush', 'set', 'ip', 'seen', 'ports']);
    await sleep(forMs);
    const listed = JSON.parse(lab.exec('public', 'nft', ['-j', 'list', 'set', 'ip', 'seen', 'ports'])) as {
      nftables: { set?: { elem?: number[] } }[];
    };
    return listed.nftables.flatMap(({ set }) => set?.elem ?? []);
  };
}

/** masquerade of a range keeps one port for all destinations, as it does without. */
function translateTo(lab: Lab, [first, last]: readonly [number, number]): void {
  const rule = `oifname "wan" meta l4proto udp masquerade to :${String(first)}-${String(last)}`;
  lab.exec('o2', 'nft', ['-f', '-'], `flush chain ip nat out\nadd rule ip nat out ${rule}\n`);
}
