import { expect, it } from 'vitest';
import { concatBytes, viewOf } from '../../src/base/bytes.js';
import type { Ms } from '../../src/base/time.js';
import { captureInterfaces } from '../../src/world/capture.js';
import { natCarrier } from '../../src/world/carriers.js';
import { buildInternet, type Internet } from '../../src/world/internet.js';
import type { Packet } from '../../src/world/packet.js';
import { VirtualRun } from '../../src/world/virtual-run.js';
import { testWith } from '../support/skip.js';
import { tsharkFieldsIn } from '../support/tshark.js';
import { present } from './packets.js';
import { mesh, PLAN } from './worlds.js';

const STARTED_AT_MS = Date.UTC(2024, 5, 6, 11, 46);
/** What verdicts.md plugs in; the reference is one host with one interface. */
const HOSTS = {
  client: ['eth0', 'wlan0', 'wwan0'],
  server: ['eth0', 'wlan0', 'usb0'],
  reference: ['eth0'],
} as const;
type HostName = keyof typeof HOSTS;

const FIELDS = [
  ...(['frame.interface_name', 'frame.packet_flags_direction', 'frame.time_epoch', 'frame.len'] as const),
  ...(['ip.src', 'ip.dst', 'ipv6.src', 'ipv6.dst', 'ip.checksum.status', 'udp.checksum.status'] as const),
  ...(['tcp.checksum.status', 'icmp.checksum.status', 'icmpv6.checksum.status'] as const),
  ...(['icmp.type', 'icmp.code', 'icmpv6.type', 'icmpv6.code', 'stun.type', 'stun.id', 'stun.response-to'] as const),
] as const;
const DIRECTIONS = { received: '0x00000001', sent: '0x00000002' } as const;
const GOOD = '1';

interface Seen {
  readonly interface: string;
  readonly direction: 'sent' | 'received';
  readonly packet: Packet;
  readonly at: Ms;
}

/** A whole run behind a carrier that rejects, captured; and what taps of our own saw meanwhile. */
function capturedRun(): Record<HostName, { capture: Uint8Array; seen: Seen[] }> {
  const reject = {
    // All but the reference's networks.
    match: { heading: 'out', remoteExcept: ['192.0.2.0/24', '2001:db8:ff::/64'] },
    action: { type: 'reject', error: 'admin-prohibited' },
  } as const;
  const nat = { mapping: 'eim', filtering: 'apdf', ports: 'preserving' } as const;
  const carrier = natCarrier('rejecting', 'a test', nat, [reject]);
  const uplinks = mesh({ o2: { carrier } });
  const internet: Internet = buildInternet({ seed: 1, uplinks, families: ['ipv4', 'ipv6'] });
  const files: Record<string, Uint8Array[]> = {};
  const end = captureInterfaces(internet, STARTED_AT_MS, (host) => {
    const chunks: Uint8Array[] = [];
    files[host] = chunks;
    return { write: (bytes) => chunks.push(bytes) };
  });
  const nodes = { ...internet.hosts, reference: internet.reference };
  const seen: Record<HostName, Seen[]> = { client: [], server: [], reference: [] };
  for (const host of Object.keys(HOSTS) as HostName[]) {
    for (const port of HOSTS[host]) {
      internet.network.tap({ node: nodes[host], port }, (packet, direction, at) => {
        seen[host].push({ interface: port, direction, packet, at });
      });
    }
  }
  new VirtualRun({ internet, seed: 1, version: 'test', plan: PLAN }).run();
  end();
  expect(Object.keys(files).sort()).toEqual(Object.keys(HOSTS).sort());
  const of = (host: HostName): { capture: Uint8Array; seen: Seen[] } => ({
    capture: concatBytes(...(files[host] ?? [])),
    seen: seen[host],
  });
  return { client: of('client'), server: of('server'), reference: of('reference') };
}

it('a capture changes nothing in a run', () => {
  const uplinks = mesh().filter(({ kind }) => kind === 'cellular');
  const run = (isCaptured: boolean): unknown => {
    const internet = buildInternet({ seed: 7, uplinks });
    if (isCaptured) captureInterfaces(internet, STARTED_AT_MS, () => ({ write: () => undefined }));
    return new VirtualRun({ internet, seed: 7, version: 'test', plan: { ...PLAN, arms: ['random', 'stun'] } }).run();
  };
  expect(run(true)).toEqual(run(false));
});

testWith(['tshark'], 'tshark reads from the captures of a run what the interfaces saw', () => {
  const run = capturedRun();
  for (const { capture, seen } of Object.values(run)) {
    const frames = framesOf(capture);
    expect(seen.length).toBeGreaterThan(100);
    expect(frames.map(summary)).toEqual(seen.map(expected));
  }
  const { capture, seen } = run.client;
  expect(seen.filter(({ packet }) => packet.icmp?.quoted?.family === 'ipv4').length).toBeGreaterThan(0);
  expect(seen.filter(({ packet }) => packet.icmp?.quoted?.family === 'ipv6').length).toBeGreaterThan(0);

  const frames = framesOf(capture);
  const answers = frames.filter((_, index) => isBindingSuccess(present(seen[index]).packet));
  expect(new Set(answers.map((answer) => answer('stun.type')))).toEqual(new Set(['0x0101']));
  const answered = answers.filter((answer) => answer('stun.response-to') !== '');
  expect(answered.length).toBeGreaterThan(10);
  for (const answer of answered) {
    const request = present(frames[Number(answer('stun.response-to')) - 1]);
    expect(request('stun.id')).toBe(answer('stun.id'));
  }
});

/** One field of a frame: of its own headers, or of those that an ICMP error quotes. */
type Frame = (field: (typeof FIELDS)[number], of?: 'own' | 'quoted') => string;

function framesOf(capture: Uint8Array): Frame[] {
  return tsharkFieldsIn(capture, 'frame', ...FIELDS).map(
    (row) =>
      (field, of = 'own') =>
        row[FIELDS.indexOf(field)]?.split(',')[of === 'own' ? 0 : 1] ?? '',
  );
}

function summary(frame: Frame): unknown {
  const [ip, icmp] = frame('ip.src') === '' ? (['ipv6', 'icmpv6'] as const) : (['ip', 'icmp'] as const);
  const isIcmp = frame(`${icmp}.type`) !== '';
  const protocol = isIcmp ? icmp : frame('tcp.checksum.status') === '' ? 'udp' : 'tcp';
  return {
    interface: frame('frame.interface_name'),
    direction: frame('frame.packet_flags_direction'),
    epoch: frame('frame.time_epoch'),
    bytes: Number(frame('frame.len')),
    way: [frame(`${ip}.src`), frame(`${ip}.dst`)],
    checksums: [ip === 'ip' ? frame('ip.checksum.status') : GOOD, frame(`${protocol}.checksum.status`)],
    icmp: isIcmp ? [Number(frame(`${icmp}.type`)), Number(frame(`${icmp}.code`))] : null,
    quoted: isIcmp ? [frame(`${ip}.src`, 'quoted'), frame(`${ip}.dst`, 'quoted')] : null,
  };
}

function expected({ interface: name, direction, packet, at }: Seen): unknown {
  const { source, destination, icmp, sizeBytes } = packet;
  return {
    interface: name,
    direction: DIRECTIONS[direction],
    epoch: epochText(at),
    bytes: sizeBytes,
    way: [source, destination],
    checksums: [GOOD, GOOD],
    icmp: icmp && [icmp.type, icmp.code],
    quoted: icmp && [icmp.quoted?.source ?? '', icmp.quoted?.destination ?? ''],
  };
}

/** RFC 8489 §5, §6.3.4: a whole message of that class and method, with the cookie. */
function isBindingSuccess({ protocol, payload }: Packet): boolean {
  if (protocol !== 'udp' || payload.length < 20) return false;
  const view = viewOf(payload);
  const isWhole = view.getUint16(2) + 20 === payload.length;
  return view.getUint16(0) === 0x0101 && isWhole && view.getUint32(4) === 0x2112a442;
}

/** As tshark writes it. */
function epochText(at: Ms): string {
  const ns = BigInt(STARTED_AT_MS) * 1_000_000n + BigInt(Math.round(at * 1e6));
  return `${ns / 1_000_000_000n}.${String(ns % 1_000_000_000n).padStart(9, '0')}`;
}
