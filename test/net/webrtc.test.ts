import { fork } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseTransportAddress } from '../../src/base/address.js';
import type { Yardstick, YardstickChannel } from '../../src/net/driver.js';
import { openInChild, type Launch, type OpenPeer } from '../../src/net/webrtc-child.js';
import type { WebrtcEvents } from '../../src/net/webrtc-stack.js';
import { yardstickWith } from '../../src/net/webrtc.js';
import type { YardstickReport } from '../../src/verdict/report.js';
import { buildTree, Netns, type BuiltTree } from '../support/netns.js';
import { describeWith, testWith } from '../support/skip.js';

class End implements YardstickChannel {
  readonly said: unknown[] = [];
  far: End | null = null;
  onMessage: YardstickChannel['onMessage'] = null;
  /** As it would come over the wire. */
  send(message: Readonly<Record<string, unknown>>): void {
    this.said.push(message);
    const text = JSON.stringify(message);
    setImmediate(() => this.far?.onMessage?.(JSON.parse(text)));
  }
}

function channelPair(): readonly [client: End, server: End] {
  const [client, server] = [new End(), new End()];
  client.far = server;
  server.far = client;
  return [client, server];
}

const running = (): AbortSignal => new AbortController().signal;
const patienceMs = 20_000;

/** A whole yardstick between two ends; what the client reports. */
async function measure(client: Yardstick, server: Yardstick, over = running()): Promise<readonly unknown[]> {
  const [near, far] = channelPair();
  const [reports, answered] = await Promise.all([client('client', [], near, over), server('server', [], far, over)]);
  expect(answered).toEqual([]);
  return reports;
}

interface Fake {
  readonly open: OpenPeer;
  readonly opened: { name: string; servers: readonly string[]; over: AbortSignal; taken: unknown[] }[];
}

/** A stack in memory: answers an offer, is connected by an answer. */
function fake(change: (events: WebrtcEvents, taken: unknown[]) => void = () => undefined): Fake {
  const opened: Fake['opened'] = [];
  const open: OpenPeer = (name, servers, events, over) => {
    const taken: unknown[] = [];
    opened.push({ name, servers, over, taken });
    return Promise.resolve({
      offer: () => {
        events.onSignal({ kind: 'description', type: 'offer', sdp: `${name} offers` });
      },
      signal: (signal) => {
        taken.push(signal);
        change(events, taken);
        if (signal.kind !== 'description') return;
        if (signal.type === 'answer') events.onConnected('ours ↔ theirs');
        else events.onSignal({ kind: 'description', type: 'answer', sdp: `${name} answers` });
      },
    });
  };
  return { open, opened };
}

const missing: OpenPeer = () => Promise.reject(new Error('no such package'));
const missed = (note: string): object[] =>
  ['libjuice', 'libwebrtc'].map((stack) => ({ stack, connected: false, afterMs: null, pair: null, note }));

describe('the yardstick', () => {
  test('lets both stacks connect, one after the other, and leaves no peer open', async () => {
    const [client, server] = [fake(), fake()];
    const [near, far] = channelPair();
    const references = [parseTransportAddress('192.0.2.1:3478'), parseTransportAddress('[2001:db8::1]:3478')];
    const done = yardstickWith({ ...server, patienceMs })('server', references, far, running());
    const reports = await yardstickWith({ ...client, patienceMs })('client', references, near, running());
    await done;
    expect(reports).toEqual(
      ['libjuice', 'libwebrtc'].map((stack) => ({
        stack,
        connected: true,
        afterMs: expect.any(Number) as number,
        pair: 'ours ↔ theirs',
        note: null,
      })),
    );
    for (const { opened } of [client, server]) {
      expect(opened.map(({ name }) => name)).toEqual(['libjuice', 'libwebrtc']);
      expect(opened.map(({ over }) => over.aborted)).toEqual([true, true]);
      expect(opened[0]?.servers).toEqual(['stun:192.0.2.1:3478', 'stun:[2001:db8::1]:3478']);
    }
    expect([near.onMessage, far.onMessage]).toEqual([null, null]);
  });

  test('says which end lacks a package', async () => {
    const there = yardstickWith({ ...fake(), patienceMs });
    const absent = yardstickWith({ open: missing, patienceMs });
    expect(await measure(absent, there)).toEqual(missed('not available here: no such package'));
    expect(await measure(there, absent)).toEqual(missed('at the far end: not available: no such package'));
  });

  test('does not wait for ever for a far end that says nothing, nor for one that never connects', async () => {
    const impatient = yardstickWith({ ...fake(), patienceMs: 20 });
    expect(await impatient('client', [], new End(), running())).toEqual(missed('the far end did not answer'));
    const deaf: OpenPeer = () => Promise.resolve({ offer: () => undefined, signal: () => undefined });
    const mute = yardstickWith({ open: deaf, patienceMs });
    expect(await measure(impatient, mute)).toEqual(missed('not connected after 0.02 s'));
  });

  test('a stack that fails ends its attempt, at whichever end', async () => {
    const failing: OpenPeer = (_name, _servers, { onFailed }) => {
      const fail = (): void => {
        onFailed('it gave up');
      };
      return Promise.resolve({ offer: fail, signal: fail });
    };
    const [fine, broken] = [yardstickWith({ ...fake(), patienceMs }), yardstickWith({ open: failing, patienceMs })];
    expect(await measure(broken, fine)).toEqual(missed('it gave up'));
    expect(await measure(fine, broken)).toEqual(missed('at the far end: it gave up'));
  });

  test('ends at both ends when the run is over, and its peers with it', async () => {
    const over = new AbortController();
    const client = fake();
    const server = fake(() => {
      over.abort();
    });
    const reports = await measure(
      yardstickWith({ ...client, patienceMs }),
      yardstickWith({ ...server, patienceMs }),
      over.signal,
    );
    expect(reports).toEqual(missed('the run was over before').slice(0, 1));
    for (const { opened } of [client, server]) expect(opened.map((peer) => peer.over.aborted)).toEqual([true]);
  });

  const hostile: readonly unknown[] = [
    null,
    'yardstick',
    { type: 'yardstick' },
    { stack: 'libnice', payload: '{"kind":"begin"}' },
    { stack: 'libjuice', payload: 7 },
    ...[
      '',
      '{',
      'null',
      '[]',
      '{"kind":"offer"}',
      '{"kind":"description","type":"rollback","sdp":""}',
      '{"kind":"candidate","candidate":"x"}',
      JSON.stringify({ kind: 'description', type: 'answer', sdp: 'v'.repeat(65_537) }),
      JSON.stringify({ kind: 'failed', note: 'n'.repeat(257) }),
      `{"kind":"candidate","candidate":"","mid":"","__proto__":{"kind":"done"},"deep":${'['.repeat(5000)}${']'.repeat(5000)}`,
    ].map((payload) => ({ stack: 'libjuice', payload })),
  ];

  test('takes no harm from messages that are none', async () => {
    const [client, server] = [fake(), fake()];
    const [near, far] = channelPair();
    const reports = yardstickWith({ ...client, patienceMs })('client', [], near, running());
    const answered = yardstickWith({ ...server, patienceMs })('server', [], far, running());
    for (const message of hostile) {
      near.onMessage?.(message);
      far.onMessage?.(message);
    }
    expect((await reports).map((report) => (report as YardstickReport).connected)).toEqual([true, true]);
    await answered;
    expect(client.opened[0]?.taken).toHaveLength(1);
    expect(server.opened[0]?.taken).toHaveLength(1);
  });

  test('a far end opens one peer a stack and takes a bounded number of signals, however much is said', async () => {
    const { open, opened } = fake();
    const far = new End();
    const answered = yardstickWith({ open, patienceMs })('server', [], far, running());
    const say = (kind: string): void =>
      far.onMessage?.({ stack: 'libjuice', payload: JSON.stringify({ kind, candidate: 'x', mid: '0' }) });
    say('candidate');
    for (let index = 0; index < 1000; index++) {
      say('begin');
      say('candidate');
    }
    await new Promise((resolve) => setImmediate(resolve));
    say('done');
    say('begin');
    expect(opened).toHaveLength(1);
    expect(opened[0]?.taken).toHaveLength(256);
    far.onMessage?.({ stack: 'libwebrtc', payload: '{"kind":"done"}' });
    await answered;
  });
});

/** `udp 10.78.0.1:5000 (host) ↔ udp 10.78.0.2:6000 (prflx)` */
const pairOf = (local: string, remote: string): RegExp =>
  new RegExp(String.raw`^udp ${local}:\d+ \((host|prflx)\) ↔ udp ${remote}:\d+ \((host|prflx)\)$`);

describe('the stacks, each peer in a process of its own', () => {
  let tree: BuiltTree;
  let here: OpenPeer;
  const launched: Launch = (args, options) => fork(tree.file('src/net/webrtc-worker.ts'), args, options);

  beforeAll(() => {
    tree = buildTree();
    here = openInChild(launched);
  });
  afterAll(() => {
    tree.remove();
  });

  testWith(['node-datachannel', '@roamhq/wrtc'], 'connect on this host', async () => {
    const yardstick = yardstickWith({ open: here, patienceMs });
    const any = String.raw`[\[\]0-9a-f.:]+`;
    expect(await measure(yardstick, yardstick)).toEqual(
      ['libjuice', 'libwebrtc'].map((stack) => ({
        stack,
        connected: true,
        afterMs: expect.any(Number) as number,
        pair: expect.stringMatching(pairOf(any, any)) as string,
        note: null,
      })),
    );
  });

  const garbage = [
    '',
    'v=0',
    'v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=application 9 x y\r\n',
    '\0'.repeat(60_000),
  ];
  for (const [name, need] of [
    ['libjuice', 'node-datachannel'],
    ['libwebrtc', '@roamhq/wrtc'],
  ] as const) {
    testWith([need], `a description that ${name} does not take is a line in the report`, async () => {
      for (const sdp of garbage) {
        const note = await new Promise<string>((resolve, reject) => {
          const over = new AbortController();
          const onFailed = (note: string): void => {
            over.abort();
            resolve(note);
          };
          const events: WebrtcEvents = { onSignal: () => undefined, onConnected: reject, onFailed };
          here(name, [], events, over.signal).then((peer) => {
            peer.signal({ kind: 'candidate', candidate: sdp.slice(0, 1000), mid: '0' });
            peer.signal({ kind: 'description', type: 'offer', sdp });
          }, reject);
        });
        expect(note).toMatch(/\w/);
      }
    });

    testWith([need], `${name} that crashes is a line in the report`, async () => {
      const crashing = openInChild((args, options) => {
        const child = launched(args, options);
        child.on('message', (message) => {
          if ((message as { type: string }).type === 'signal') child.kill('SIGSEGV');
        });
        return child;
      });
      const reports = await measure(
        yardstickWith({ open: crashing, patienceMs }),
        yardstickWith({ ...fake(() => undefined), patienceMs }),
      );
      const line = (reports as YardstickReport[]).find(({ stack }) => stack === name);
      expect(line).toMatchObject({ connected: false, note: 'its process ended with SIGSEGV' });
    });
  }

  test('a worker that does not start is a package that is not available', async () => {
    const broken = openInChild((args, options) => fork(tree.file('src/net/no-such-file.ts'), args, options));
    const there = yardstickWith({ ...fake(), patienceMs });
    expect(await measure(yardstickWith({ open: broken, patienceMs }), there)).toEqual(
      missed('not available here: its process ended with exit code 1'),
    );
  });

  test('a worker ends with its parent, also while it loads', async () => {
    for (const name of ['libjuice', 'libwebrtc']) {
      const [early, late] = [0, 1].map(() => launched([name], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] }));
      early?.disconnect();
      late?.once('message', () => {
        late.disconnect();
      });
      for (const child of [early, late]) {
        if (child?.exitCode === null) expect(await once(child, 'exit')).toEqual([0, null]);
      }
    }
  });

  describeWith(['root', 'ip', 'node-datachannel', '@roamhq/wrtc'], 'between two hosts', () => {
    let near: Netns;
    let far: Netns;

    beforeAll(() => {
      near = new Netns('ip-i-near');
      far = new Netns('ip-i-far');
      near.link('eth0', far, 'eth0');
      near.ip('addr add 10.78.0.1/24 dev eth0');
      far.ip('addr add 10.78.0.2/24 dev eth0');
    });
    afterAll(() => {
      near.remove();
      far.remove();
    });

    const inside = (host: Netns): Yardstick => {
      const launch: Launch = (args, options) =>
        fork(tree.file('src/net/webrtc-worker.ts'), args, {
          ...options,
          execPath: 'ip',
          execArgv: ['netns', 'exec', host.name, process.execPath],
        });
      return yardstickWith({ open: openInChild(launch), patienceMs });
    };

    test('they connect over the link, and name its two ends', async () => {
      const reports = (await measure(inside(near), inside(far))) as YardstickReport[];
      expect(reports.map(({ note }) => note)).toEqual([null, null]);
      for (const { pair } of reports) expect(pair).toMatch(pairOf('10.78.0.1', '10.78.0.2'));
    });
  });
});
