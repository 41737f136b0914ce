import { expect, test } from 'vitest';
import { drain } from '../../src/base/machine.js';
import { SeededRandom } from '../../src/base/random.js';
import { Host } from '../../src/session/host.js';
import type { SessionOutput } from '../../src/session/io.js';
import { PeerAddresses } from '../../src/session/limits.js';
import { ProfilePlay } from '../../src/session/profile-play.js';
import { profile } from '../profile/pair.js';
import { hostInterface } from '../support/hostile.js';

// O1: "always the same port", one for all servers and peers of a call.

const wlan0 = hostInterface('wlan0', 'wifi', 'hhg', '10.10.0.2', '2001:db8::2');
const wwan0 = hostInterface('wwan0', 'cellular', 'o2', '10.20.0.2');

type Open = Extract<SessionOutput, { type: 'open' }>;

class Played {
  readonly interfaces = { all: [wlan0, wwan0] };
  readonly host = new Host('client', new SeededRandom(1));
  readonly play: ProfilePlay;

  constructor(name: string) {
    this.host.tick(0);
    this.play = new ProfilePlay(this.host, {
      name,
      profile: profile(name).profile,
      interfaces: this.interfaces,
      references: [],
      peer: new PeerAddresses(this.interfaces.all),
      sessionKey: new Uint8Array(32),
      pin: true,
    });
    this.play.begin();
  }

  opens(): Open[] {
    return [...drain({ poll: () => this.host.outputs.shift() })].flatMap((one) => (one.type === 'open' ? [one] : []));
  }
}

test('all sockets of a WhatsApp call have one port, of the dynamic ones; an interface that is back has it again', () => {
  const played = new Played('whatsapp-video-2024');
  const ports = played.opens().map(({ address }) => address.port);
  expect(ports).toHaveLength(3);
  expect(new Set(ports).size).toBe(1);
  // RFC 6335 §6.
  expect(ports[0]).toBeGreaterThanOrEqual(49_152);
  expect(ports[0]).toBeLessThanOrEqual(65_535);
  played.interfaces.all = [wwan0];
  played.play.change();
  expect(played.opens()).toEqual([]);
  played.interfaces.all = [wlan0, wwan0];
  played.play.change();
  expect(played.opens().map(({ address }) => address.port)).toEqual([ports[0], ports[0]]);
});

test('where somebody has that port already another one does, once', () => {
  const played = new Played('whatsapp-video-2024');
  const [first] = played.opens();
  played.host.handle({ type: 'socket-failed', socket: first?.socket ?? '', code: 'EADDRINUSE', message: 'in use' });
  const again = played.opens();
  expect(again.map(({ interface: on, address }) => [on, address.address, address.port])).toEqual([
    ['wlan0', '10.10.0.2', 0],
  ]);
  // It goes with its address, like any other.
  played.interfaces.all = [wwan0];
  played.play.change();
  expect(played.host.socket(again[0]?.socket ?? '')).toBeNull();
  played.host.handle({ type: 'socket-failed', socket: first?.socket ?? '', code: 'EADDRINUSE', message: 'in use' });
  expect(played.opens()).toEqual([]);
});

test('an agent of RFC 8445 takes any port for each', () => {
  expect(new Played('rfc8445').opens().map(({ address }) => address.port)).toEqual([0, 0, 0]);
});
