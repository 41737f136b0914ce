import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { IcepathError } from '../../src/base/errors.js';
import type { Scenario } from '../../src/world/scenario.js';
import { parseScenario } from '../../src/world/scenario-file.js';
import { SCENARIO_NAMES, textOf } from './scenario-files.js';

const WHOLE = `title: One modem each
story: The modems are on open carriers.
meaning: They reach each other.
client:
  name: Laptop
  interfaces:
    wwan0: { kind: cellular, carrier: open, label: o2, metric: 700 }
server:
  name: Desktop
  interfaces:
    usb0: { kind: tethered, carrier: narrow, metric: 700 }
carriers:
  narrow:
    observed: made up
    boxes:
      - hop
      - filter: { match: { larger-than: 1 kB }, action: { throttle: 50 packets/s } }
      - nat: { mapping: eim, filtering: adf, ports: random, lifetime: 2 min }
wanted: wwan0 <-> usb0
events:
  - { at: 15 s, down: client.wwan0 }
  - { at: 1 min, up: client.wwan0 }
expect:
  state: established
  exit: 0
  paths: { eth0-eth0-v4: established }
  carriers: { o2: open }
`;

function read(text: string, resolve = textOf): Scenario {
  return parseScenario(text, 'mine.yaml', resolve);
}

/** What a person is told, a mistake a line. */
function mistakes(text: string, resolve = textOf): string[] {
  try {
    read(text, resolve);
    return [];
  } catch (error) {
    if (!(error instanceof IcepathError)) throw error;
    expect(error.code).toBe('scenario-invalid');
    return error.message.split('\n');
  }
}

/** {@link WHOLE} with something else in one place. */
function changed(from: string, to: string): string {
  expect(WHOLE.split(from)).toHaveLength(2);
  return WHOLE.replace(from, () => to);
}

describe('what a file says', () => {
  const scenario = read(WHOLE);

  it('is in the model’s units', () => {
    const [client, server] = scenario.internet.uplinks;
    expect(client).toMatchObject({ host: 'client', interface: 'wwan0', label: 'o2', metric: 700, gateway: true });
    // Where nothing is said of the link: 20 ms each way.
    expect([client?.up, client?.down]).toEqual([{ delayMs: 20 }, { delayMs: 20 }]);
    expect(server?.label).toBe('narrow');
    expect(server?.carrier.boxes).toEqual([
      { type: 'hop' },
      { type: 'filter', rules: [{ match: { largerThanBytes: 1000 }, action: { type: 'throttle', perSecond: 50 } }] },
      { type: 'nat', nat: { mapping: 'eim', filtering: 'adf', ports: 'random', lifetimeMs: 120_000 } },
    ]);
    expect(scenario.events.map(({ atMs }) => atMs)).toEqual([15_000, 60_000]);
  });

  it('events: addresses, routes and boxes that change', () => {
    const more = ['readdress', 'unroute', 'route', 'restart'].map(
      (what) => `  - { at: 1 min, ${what}: client.wwan0 }\n`,
    );
    const [address, gone, there, restart] = read(changed('expect:\n', `${more.join('')}expect:\n`)).events.slice(2);
    const on = { host: 'client', interface: 'wwan0' };
    expect(address?.action).toEqual({ type: 'address', ...on });
    expect([gone?.action, there?.action]).toEqual([
      { type: 'route', ...on, there: false },
      { type: 'route', ...on, there: true },
    ]);
    expect(restart?.action).toEqual({ type: 'restart', ...on });
  });

  it('events that cannot be: a route that is there comes back, the LAN has no boxes, data that are not sent', () => {
    const event = (what: string): string[] => mistakes(changed('expect:\n', `  - { at: 1 min, ${what} }\nexpect:\n`));
    expect(event('route: client.wwan0')[0]).toContain('client.wwan0 is there already');
    expect(event('restart: client.eth0')[0]).toContain('needs an interface with a carrier');
    expect(event('readdress: server.eth0')[0]).toContain('needs an interface with a carrier');
    expect(event('unroute: client.wwan0, route: client.wwan0')[0]).toContain('takes exactly one of');
    expect(mistakes(changed('  state: established\n', '  state: established\n  transfer: complete\n'))[0]).toContain(
      'expect.transfer: there is none',
    );
  });

  it('links: each quantity with its unit', () => {
    const link =
      'delay: 40 ms, jitter: 1.5 ms, loss: 30 %, rate: 10 Mbit/s, queue: 64 KiB, mtu: 1400 bytes, duplicates: 1 %, reorders: yes';
    const text = changed(
      'label: o2, metric: 700',
      `metric: 700, link: { ${link} }, up: { bursts: { loss: 25 %, length: 2 s } }`,
    );
    const down = {
      delayMs: 40,
      jitterMs: 1.5,
      loss: 0.3,
      rateBps: 10_000_000,
      queueBytes: 65_536,
      mtuBytes: 1400,
      duplicates: 0.01,
      reorders: true,
    };
    const [client] = read(text.replace('{ o2: open }', '{ open: open }')).internet.uplinks;
    expect(client?.down).toEqual(down);
    expect(client?.up).toEqual({ ...down, bursts: { loss: 0.25, burstMs: 2000 } });
  });

  it('what is left out is as from the command line; the control is always tried', () => {
    expect(scenario.run).toMatchObject({
      prefer: 'cellular,tethered,wifi,ethernet',
      firstOnly: false,
      pin: { client: true, server: true },
      reflector: true,
      clockAheadMs: { client: 0, server: 0 },
      hung: [],
      mute: [],
    });
    expect(read(`${WHOLE}arms: stun\n`).run.arms).toEqual(['random', 'stun']);
  });

  it('a scenario like another inherits its world and its run, not what it says of itself', () => {
    const text =
      'like: other\ntitle: Lossy\nclient: { interfaces: { wwan0: { link: { loss: 5 % } } } }\nexpect: { state: blocked, exit: 3 }\n';
    const like = read(text, (name) => (name === 'other' ? WHOLE : null));
    expect(like).toMatchObject({ name: 'mine', title: 'Lossy', observed: null, story: scenario.story });
    expect(like.internet.uplinks[0]).toMatchObject({ label: 'o2', up: { delayMs: 20, loss: 0.05 } });
    expect(like.internet.uplinks[1]).toEqual(scenario.internet.uplinks[1]);
    expect(like.expect).toEqual({ outcomes: [{ state: 'blocked', exit: 3 }], paths: {}, carriers: [], suspects: [] });
  });
});

describe('a mistake is told with file, line and field', () => {
  const TABLE: readonly (readonly [string, string, string, string])[] = [
    ['an unknown field', 'title: One', 'tilte: One', '1: tilte: no field is called "tilte": did you mean title?'],
    ['a field that is missing', 'title: One modem each\n', '', '1: title: is missing'],
    ['an unknown field far inside', 'carrier: open', 'carier: open', '7: client.interfaces.wwan0.carier: no field'],
    ['a number without its unit', '15 s', '15', '21: events.at: takes a time with its unit, like "20 ms"'],
    ['a unit of something else', '2 min', '2 kB', '18: carriers.narrow.boxes.nat.lifetime: takes a time'],
    ['a rate for a size', '1 kB', '1 kB/s', '17: carriers.narrow.boxes.filter.match.larger-than: takes a size'],
    [
      'an unknown word',
      'kind: cellular',
      'kind: celular',
      '7: client.interfaces.wwan0.kind: cannot be "celular": did you mean cellular?',
    ],
    [
      'an unknown carrier',
      'carrier: open',
      'carrier: opne',
      '7: client.interfaces.wwan0.carrier: no carrier is called "opne": did you mean open?',
    ],
    [
      'a clock that goes nowhere',
      'name: Laptop',
      'name: L\n  clock: 5 min',
      '6: client.clock: takes a time and which way, like',
    ],
    [
      'a clock of one’s own on the kernel',
      'name: Laptop',
      'name: L\n  clock: 5 s behind',
      '6: client.clock: needs backends: virtual',
    ],
    ['an unknown box', '- hop', '- hub', '16: carriers.narrow.boxes.hub: no field is called "hub": did you mean'],
    [
      'two boxes in one',
      '- hop',
      '- { hop: {}, nat: linux-guarded }',
      '16: carriers.narrow.boxes: takes exactly one of hop, nat',
    ],
    [
      'a NAT of no kind',
      'nat: { mapping: eim, filtering: adf, ports: random, lifetime: 2 min }',
      'nat: linux',
      '18: carriers.narrow.boxes.nat: ',
    ],
    [
      'an unknown interface in wanted',
      'wwan0 <-> usb0',
      'wwan0 <-> usb1',
      '19: wanted: no interface of the server is called "usb1": did you mean usb0?',
    ],
    ['wanted that is no path', 'wwan0 <-> usb0', 'wwan0', '19: wanted: takes a path, like "wwan0 <-> usb0"'],
    [
      'an unknown interface in events',
      'down: client.wwan0',
      'down: client.wlan0',
      '21: events: no interface is called "client.wlan0": did you mean client.wwan0 or',
    ],
    [
      'an unknown path in expect',
      'eth0-eth0-v4',
      'eth0-eth0-v6',
      '26: expect.paths.eth0-eth0-v6: no path is called "eth0-eth0-v6": did you mean eth0-eth0-v4',
    ],
    [
      'an unknown label in expect',
      '{ o2: open }',
      '{ o3: open }',
      '27: expect.carriers.o3: no label is called "o3": did you mean o2?',
    ],
    ['an event before the one above it', '1 min', '10 s', '22: events.at: is before the event above it'],
    ['an event when the run is over', '1 min', '1 h', '22: events.at: is later than 90 s'],
    ['an interface that is up already', 'down: client', 'up: client', '21: events: client.wwan0 is up already'],
    [
      'an event of two kinds',
      'down: client.wwan0',
      'down: client.wwan0, kill: server',
      '21: events: takes exactly one of kill',
    ],
    ['a name twice', '  name: Laptop', '  name: Laptop\n  name: Notebook', '6: client.name: stands here twice'],
    ['an interface twice', 'server:\n', '    wwan0: {}\nserver:\n', '8: client.interfaces.wwan0: stands here twice'],
    [
      'a label twice on one host',
      'server:\n',
      '    wwan1: { kind: cellular, carrier: open, label: o2, metric: 1 }\nserver:\n',
      '8: client.interfaces.wwan1: has the label o2, as wwan0 has already',
    ],
    ['an interface that the LAN has', 'wwan0: {', 'eth0: {', '7: client.interfaces.eth0: is the LAN'],
    [
      'a carrier of no family that is used',
      'carrier: open',
      'carrier: ipv6-only',
      '7: client.interfaces.wwan0.carrier: ipv6-only has only ipv6, and the scenario only ipv4',
    ],
    ['no outcome', '  state: established\n', '', '23: expect: needs state and exit'],
    [
      'who alone is suspected',
      '  exit: 0',
      '  exit: 0\n  suspects: [o2]',
      '26: expect.suspects: takes two labels or more',
    ],
    ['an exit that no run has', 'exit: 0', 'exit: 5', '25: expect.exit: takes one of 0, 3, 4'],
    [
      'an arm that is not tried',
      'expect:\n',
      'arms: stun\nexpect:\n  arm: stun~40\n',
      '25: expect.arm: stun~40 is none of the arms',
    ],
    [
      'a policy of unknown words',
      'wanted:',
      'prefer: celular\nwanted:',
      '19: prefer: The policy word "celular" is unknown.',
    ],
    ['a list for a sentence', 'One modem each', '[a, b]', '1: title: takes a sentence'],
    ['a mapping within a line', 'story: The', 'story: x: The', '2: '],
    ['a tab where spaces belong', '  name: Laptop', '\tname: Laptop', '5: '],
    [
      'an alias',
      'story: The modems',
      'story: &a The modems\nobserved: *a\ntitel: The modems',
      '3: observed: is an alias (*a): write it out',
    ],
    ['a tag', 'One modem each', '!!js/function x', '1: '],
    ['a second document', 'events:', '---\nevents:', '20: '],
  ];
  for (const [what, from, to, told] of TABLE) {
    it(what, () => {
      const all = mistakes(changed(from, to));
      expect(
        all.filter((line) => line.startsWith(`mine.yaml:${told}`)),
        all.join('\n'),
      ).not.toEqual([]);
    });
  }

  it('all of them at once, from top to bottom', () => {
    const text = changed('kind: cellular', 'kind: phone').replace('15 s', '15').replace('exit: 0', 'exit: zero');
    expect(mistakes(text).map((line) => line.split(' ', 1)[0])).toEqual([
      'mine.yaml:7:',
      'mine.yaml:21:',
      'mine.yaml:25:',
    ]);
  });

  it('in a scenario that another is like, with that one’s file', () => {
    const resolve = (): string => changed('15 s', '15');
    expect(mistakes('like: other\ntitle: Mine\nexpect: { state: blocked, exit: 3 }\n', resolve)).toEqual([
      expect.stringMatching(/^scenarios\/other\.yaml:21: events\.at: /),
    ]);
  });

  it('like something that is not there, or like itself', () => {
    expect(mistakes('like: ../../etc/passwd\n', () => 'never asked')).toEqual([
      'mine.yaml:1: like: no scenario is called "../../etc/passwd"',
    ]);
    expect(mistakes('title: x\nlike: a\n', (name) => `like: ${name === 'a' ? 'b' : 'a'}\n`)).toEqual([
      'scenarios/b.yaml:1: like: a is like b is like a: that has no end',
    ]);
  });
});

describe('a file from a stranger', () => {
  it('is read to a limit only', () => {
    expect(mistakes('x'.repeat(70_000))).toEqual([expect.stringContaining('more than 65536 characters')]);
    expect(mistakes(`a: 1\nb: ${'- '.repeat(600)}`)).toEqual(['mine.yaml:2: the line has more than 1000 characters']);
    expect(mistakes('[\n'.repeat(20_000))).toEqual([expect.stringContaining('opening brackets')]);
  });

  it('cannot blow up by aliases', () => {
    const doubled = (name: string, of: string): string => `${name}: &${name} [*${of}, *${of}]`;
    const bomb = ['a: &a [x, x]', doubled('b', 'a'), doubled('c', 'b'), doubled('d', 'c'), doubled('e', 'd')];
    expect(mistakes(bomb.join('\n'))[0]).toBe('mine.yaml:2: b: is an alias (*a): write it out');
  });

  it('with nothing in it, or something else than fields', () => {
    for (const text of ['', '# nothing', '- a list', 'a text', '\0', '---\n...\n']) {
      expect(mistakes(text)).toEqual([expect.stringMatching(/^mine\.yaml:\d+: /)]);
    }
    expect(mistakes('__proto__: { polluted: yes }\nconstructor: x\n')).toContainEqual(
      expect.stringMatching(/^mine\.yaml:1: __proto__: no field/),
    );
  });
});

test('whatever is done to a file: a scenario comes of it, or lines that say where it is wrong', () => {
  const texts = SCENARIO_NAMES.map((name) => textOf(name) ?? '');
  const piece = fc.oneof(
    fc.constantFrom(
      ': ',
      '- ',
      '{',
      '}',
      '[',
      ']',
      '"',
      "'",
      '&a ',
      '*a',
      '!!int ',
      '|',
      '>-',
      '\t',
      '\n',
      '%',
      '? ',
      '#',
      '\0',
      '~',
    ),
    fc.constantFrom(
      'like: ice-02\n',
      'hung: yes',
      'mute: yes',
      '99999999 h',
      '__proto__: ',
      'eth0',
      'none',
      '0x40',
      '-1',
      '1e9',
      'ünïcode ☃',
    ),
  );
  const edit = fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), cut: fc.nat(12), piece });
  fc.assert(
    fc.property(fc.constantFrom(...texts, WHOLE), fc.array(edit, { minLength: 1, maxLength: 4 }), (text, edits) => {
      const mutated = edits.reduce((current, { at, cut, piece: added }) => {
        const offset = Math.floor(at * current.length);
        return current.slice(0, offset) + added + current.slice(offset + cut);
      }, text);
      const told = mistakes(mutated);
      expect(told.filter((line) => !/^(?:[\w/-]+\.yaml:\d+: .|… and )/.test(line))).toEqual([]);
    }),
    { numRuns: 600 },
  );
});
