import { describe, expect, it } from 'vitest';
import type { RecordEvent } from '../../../src/session/record.js';
import type { Report } from '../../../src/verdict/report.js';
import { CARRIERS, natCarrier } from '../../../src/world/carriers.js';
import { buildInternet, type Internet, type UplinkOptions } from '../../../src/world/internet.js';
import { VirtualRun } from '../../../src/world/virtual-run.js';
import { mesh, PLAN } from '../../world/worlds.js';

// What befalls hosts and networks while data flow (issue 6, "Faults"): nothing is lost, or both ends say honestly that it is.

/** Draws other ports whenever it has lost its mappings. */
const restless = natCarrier('restless', 'a test', { mapping: 'eim', filtering: 'apdf', ports: 'random' });
const cellular = (o2: Partial<UplinkOptions> = {}, telekom: Partial<UplinkOptions> = {}): UplinkOptions[] =>
  mesh({ o2, telekom }).filter(({ kind }) => kind === 'cellular');
const RATE = 8e4;

interface Fault {
  readonly uplinks?: readonly UplinkOptions[];
  readonly seconds?: number;
  /** Whether the cable, over which the control channel runs, carries data too. */
  readonly cable?: boolean;
}

class FaultyRun {
  readonly internet: Internet;
  readonly run: VirtualRun;
  readonly #bytes: number;

  constructor({ uplinks = mesh(), seconds = 12, cable = false }: Fault, internet?: Internet) {
    this.internet = internet ?? buildInternet({ seed: 1, uplinks });
    this.#bytes = (2 * seconds * RATE) / 8;
    this.run = new VirtualRun({
      internet: this.internet,
      seed: 1,
      version: 'test',
      plan: { ...PLAN, arms: ['random', 'stun'], transfer: { seconds, direction: 'both', rateBps: RATE } },
      reflector: internet === undefined,
      ...(cable ? {} : { hung: { client: ['eth0'], server: ['eth0'] } }),
    });
  }

  /** After so many milliseconds of the run. */
  at(ms: number, act: (internet: Internet) => void): this {
    const { network } = this.internet;
    this.run.at(network.now + ms, () => {
      act(this.internet);
    });
    return this;
  }

  /** The report, once the server too has ended. */
  report(): Report {
    const { network } = this.internet;
    const report = this.run.run();
    network.runUntil(network.now + 90_000, () => this.run.server.isOver);
    expect(this.run.server.isOver).toBe(true);
    return report;
  }

  whole(): Report {
    const report = this.report();
    expect(report.transfer).toMatchObject({
      complete: true,
      error: null,
      bytesSent: this.#bytes,
      bytesReceived: this.#bytes,
    });
    expect(errorsOf(this.run)).toEqual({ client: null, server: null });
    expect(report.carriers.filter(({ verdict }) => /^(?:blocks|filters)/.test(verdict))).toEqual([]);
    return report;
  }
}

type End = Extract<RecordEvent, { type: 'transferred' }>;

function errorsOf({ client, server }: VirtualRun): Record<'client' | 'server', string | null | undefined> {
  const own = (events: readonly RecordEvent[], host: string): End | undefined =>
    events.find((event): event is End => event.type === 'transferred' && event.host === host);
  return { client: own(client.events, 'client')?.error, server: own(server.events, 'server')?.error };
}

const joinedOf = ({ transfer }: Report, id: string): readonly { readonly atMs: number }[] =>
  transfer?.perPath.find(({ path }) => path === id)?.joined ?? [];

const PATH = 'wwan0-usb0-v4';
const EVERY_CABLE = ['client.eth0', 'client.wwan0', 'client.wlan0', 'server.eth0', 'server.usb0', 'server.wlan0'];
const everything = (up: boolean) => (internet: Internet) => {
  for (const name of [...EVERY_CABLE, 'reference']) internet.cables.get(name)?.setUp(up);
};

describe('while data flow', () => {
  it('an interface gets another address: its only path is joined again within a second, nothing is lost', () => {
    const report = new FaultyRun({ uplinks: cellular() })
      .at(6000, ({ hosts }) => {
        hosts.client.setAddresses('wwan0', [{ family: 'ipv4', address: '10.10.0.7', prefixLength: 24 }]);
      })
      .whole();
    expect(report.paths.find(({ id }) => id === PATH)).toMatchObject({ lapses: [{ gone: 'client' }] });
    expect(joinedOf(report, PATH)).toHaveLength(2);
    expect(report.transfer?.longestPauseMs).toBeLessThan(1000);
  });

  it('a NAT forgets its mappings: towards an open host the path moves with them, and nothing is lost', () => {
    const report = new FaultyRun({ uplinks: cellular({ carrier: restless }, { carrier: CARRIERS.public }) })
      .at(6000, ({ carriers }) => {
        carriers.get('client.wwan0')?.restart();
      })
      .whole();
    expect(report.transfer?.longestPauseMs).toBeLessThan(1000);
  });

  it.each(['client.wwan0', 'server.usb0'])(
    '… of %s, towards a strict NAT: fresh sockets once consent is gone',
    (at) => {
      const report = new FaultyRun({ uplinks: cellular({ carrier: restless }, { carrier: restless }) })
        .at(6000, ({ carriers }) => {
          carriers.get(at)?.restart();
        })
        .whole();
      // RFC 7675: consent lives for 30 s.
      expect(report.transfer?.longestPauseMs).toBeLessThan(32_000);
      expect(joinedOf(report, PATH)).toHaveLength(2);
    },
  );

  it('the default route of an interface is removed and put back: the data wait, or go elsewhere', () => {
    const report = new FaultyRun({ uplinks: cellular() })
      .at(5000, ({ hosts }) => {
        hosts.client.setDefaultRoutes('wwan0', false);
      })
      .at(9000, ({ hosts }) => {
        hosts.client.setDefaultRoutes('wwan0', true);
      })
      .whole();
    expect(report.transfer?.longestPauseMs).toBeGreaterThan(3000);
    expect(joinedOf(report, PATH)).toHaveLength(1);
  });

  it('… for so long that consent is gone: its paths are joined again after it came back', () => {
    const back = 47_000;
    const report = new FaultyRun({ seconds: 70 })
      .at(5000, ({ hosts }) => {
        hosts.client.setDefaultRoutes('wwan0', false);
      })
      .at(back, ({ hosts }) => {
        hosts.client.setDefaultRoutes('wwan0', true);
      })
      .whole();
    for (const id of [PATH, 'wwan0-wlan0-v4']) {
      expect(report.paths.find((path) => path.id === id)).toMatchObject({ state: 'established' });
      expect(joinedOf(report, id).filter(({ atMs }) => atMs > back && atMs < back + 20_000)).toHaveLength(1);
    }
    // The WiFi carried the data meanwhile.
    expect(report.transfer?.longestPauseMs).toBeLessThan(1000);
  });

  it('nothing gets through for 30 s but the control channel: the data wait, and nothing is lost', () => {
    const uplinks = EVERY_CABLE.filter((name) => !name.endsWith('eth0'));
    const set = (up: boolean) => (internet: Internet) => {
      for (const name of uplinks) internet.cables.get(name)?.setUp(up);
    };
    const report = new FaultyRun({}).at(5000, set(false)).at(35_000, set(true)).whole();
    expect(report.transfer?.longestPauseMs).toBeLessThan(31_000);
  });

  it('nothing at all gets through for 30 s: both ends say why there was no more, and accuse no carrier', () => {
    const faulty = new FaultyRun({}).at(5000, everything(false)).at(35_000, everything(true));
    const { transfer, carriers } = faulty.report();
    const why =
      'the run ended before it was complete: the control channel ended (Nothing was heard from the far end for 6 s.)';
    expect(transfer).toMatchObject({ complete: false, error: why });
    expect(errorsOf(faulty.run)).toEqual({ client: why, server: why });
    expect(carriers.filter(({ verdict }) => /^(?:blocks|filters)/.test(verdict))).toEqual([]);
  });

  it('the cable with the control channel is pulled: the data go on over the other paths to their end', () => {
    const faulty = new FaultyRun({ cable: true, seconds: 25 }).at(5000, ({ cables }) => {
      cables.get('client.eth0')?.setUp(false);
    });
    const { transfer } = faulty.report();
    expect(errorsOf(faulty.run)).toEqual({ client: null, server: null });
    expect(transfer).toMatchObject({ complete: false });
    expect(transfer?.error).toMatch(
      /^the server's record ends before the transfer's: all that the client sent was ackn/,
    );
    const received = ({ events }: VirtualRun['client'], host: string): number[] =>
      events.flatMap((event) =>
        event.type === 'transferred' && event.host === host ? [event.sentBytes, event.receivedBytes] : [],
      );
    expect(received(faulty.run.client, 'client')).toEqual([250_000, 250_000]);
    expect(received(faulty.run.server, 'server')).toEqual([250_000, 250_000]);
  });

  it('… before QUIC connects, and no path lets it: both ends say so, and end', () => {
    // Room for STUN, and none for an Initial (RFC 9000 §14.1).
    const narrow = natCarrier('narrow', 'a test', { mapping: 'eim', filtering: 'apdf', ports: 'preserving' }, [
      { match: { protocol: 'udp', largerThanBytes: 1000 }, action: { type: 'drop' } },
    ]);
    const faulty = new FaultyRun({ uplinks: cellular({ carrier: narrow }) }).at(2000, ({ cables }) => {
      cables.get('client.eth0')?.setUp(false);
    });
    expect(faulty.report().transfer).toMatchObject({ complete: false, bytesReceived: 0 });
    const { client, server } = errorsOf(faulty.run);
    expect(client).toMatch(/^no path (?:lets QUIC through|came up)/);
    expect(server).toBe('no path came up on which QUIC connects');
  });

  it('the server is killed and started again: the first client says so, the next one is served', () => {
    const first = new FaultyRun({ cable: true });
    first.at(5000, () => {
      first.run.server.kill();
    });
    const { transfer, exit } = first.report();
    expect(transfer).toMatchObject({ complete: false });
    expect(transfer?.error).toMatch(/^the run ended before it was complete: the control channel ended/);
    expect(exit.code).toBe(3);
    new FaultyRun({ cable: true }, first.internet).whole();
  });

  it('the client is killed: the server says so and ends, and the next client is served', () => {
    const first = new FaultyRun({ cable: true });
    first.at(5000, () => {
      first.run.client.kill();
    });
    first.report();
    expect(errorsOf(first.run).server).toMatch(/^the run ended before it was complete: the control channel ended/);
    new FaultyRun({ cable: true }, first.internet).whole();
  });
});
