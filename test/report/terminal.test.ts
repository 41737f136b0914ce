import { describe, expect, test } from 'vitest';
import { renderReport } from '../../src/report/terminal.js';
import { widthOf } from '../../src/report/table.js';
import { PATH_STATES } from '../../src/verdict/words.js';
import { blockedPath, filteredPath, samplePath, sampleReport } from '../support/report.js';

const WIDE = { columns: 130, colour: false };
const ESCAPE = '\u001b';

function lineWith(text: string, part: string | RegExp): string {
  return text.split('\n').find((line) => (typeof part === 'string' ? line.includes(part) : part.test(line))) ?? '';
}

describe('the table of paths', () => {
  const text = renderReport(sampleReport(), WIDE);

  test('has ends with kind and label, family, state, cause, tallies received/sent', () => {
    const cells = lineWith(text, 'blocked: peer').trim().split(/ {2,}/);
    expect(cells).toEqual([
      '◆',
      'wwan0 [cellular, o2]',
      'usb0 [tethered, telekom]',
      'IPv4',
      'blocked: peer-udp-blocked',
      '0/48 ✗',
      '0/48 ✗',
      '–',
      '–',
    ]);
  });

  test('has the RTT and the arm of a path that works', () => {
    expect(lineWith(text, 'stun-filtered').trim().split(/ {2,}/).slice(-4)).toEqual([
      '20/48',
      '24/24',
      '41 ms',
      'stun~cookie',
    ]);
  });

  test('marks the selected path, and says what the marks mean', () => {
    expect(lineWith(text, /^▸/)).toContain('eth0 [ethernet]');
    expect(lineWith(text, '▸ selected')).toContain('◆ wanted');
  });
});

test('every path has its sentence, and every verdict its reasons', () => {
  const report = sampleReport();
  const text = renderReport(report, { columns: 1000, colour: false });
  for (const { headline, evidence } of report.paths)
    for (const sentence of [headline, ...evidence]) expect(text).toContain(sentence);
  for (const { label, verdict, because, remaining } of report.carriers) {
    expect(lineWith(text, verdict)).toContain(label);
    for (const reason of [...because, ...remaining]) expect(text).toContain(reason);
  }
  for (const advice of report.advice) expect(text).toContain(advice);
});

test('evidence stands below the sentence: conditions, fields, arms against the control, ICMP with its sender', () => {
  const text = renderReport(sampleReport(), WIDE);
  expect(text).toContain('✓ reference: 47 of 48 controls answered');
  expect(text).toContain('passes once changed: cookie, or first-byte + length');
  expect(lineWith(text, 'up: random')).toMatch(/random 24\/24, stun 0\/24 \(p 1e-7\), stun~cookie 23\/24$/);
  expect(text).not.toContain('down: random');
  expect(text).toContain('ICMP 1/1 (administratively prohibited) from 2001:db8::1');
});

test('a path that left by another interface says so', () => {
  const path = samplePath({ state: 'misrouted', egress: { client: 'mismatch', server: 'verified' } });
  expect(renderReport(sampleReport({ paths: [path] }), WIDE)).toMatch(/client mismatch, server verified/);
});

test('the NAT of an end and how the reference answered it stand in one line', () => {
  const line = lineWith(renderReport(sampleReport(), WIDE), /client wwan0 o2 .*47/);
  expect(line.trim().split(/ {2,}/)).toEqual([
    'client wwan0 o2',
    'IPv4',
    '47/48',
    '3/3',
    'endpoint-independent',
    'per address+port',
    'holds 0/3',
    '203.0.113.7:41003',
  ]);
});

test('the yardsticks have a line each', () => {
  const text = renderReport(sampleReport(), WIDE);
  expect(lineWith(text, 'libjuice')).toContain('connected after 0.48 ms over udp 192.0.2.10:5000');
  expect(lineWith(text, 'libwebrtc')).toContain('did not connect after 30.0 s (gave up)');
  expect(renderReport(sampleReport({ webrtc: null }), WIDE)).not.toContain('libwebrtc');
});

test('the last line is the exit code with its reason', () => {
  expect(renderReport(sampleReport(), WIDE).trimEnd().split('\n').at(-1)).toBe(
    'exit 3: a wanted path is blocked: wwan0-usb0-v4',
  );
});

test('an incomplete run says so at the top', () => {
  const { run } = sampleReport();
  const text = renderReport(sampleReport({ run: { ...run, incomplete: 'interrupted after 3.2 s' } }), WIDE);
  expect(text.split('\n').slice(0, 5).join('\n')).toContain('Incomplete: interrupted after 3.2 s');
});

test('a run without a path still reads', () => {
  const text = renderReport(sampleReport({ paths: [], carriers: [], reference: [], advice: [], webrtc: null }), WIDE);
  expect(text).toMatch(/No path/);
});

describe('the width of the terminal', () => {
  test.each([50, 60, 80, 100, 120])('%i columns hold the table', (columns) => {
    const text = renderReport(sampleReport(), { columns, colour: false });
    const table = text.slice(0, text.indexOf('What happened'));
    expect(widthOf(table)).toBeLessThanOrEqual(columns);
    for (const { state } of sampleReport().paths) expect(table).toContain(state);
  });

  test('colours do not count: the same lines break at the same places', () => {
    const plain = renderReport(sampleReport(), { columns: 100, colour: false });
    const coloured = renderReport(sampleReport(), { columns: 100, colour: true });
    expect(coloured.replaceAll(new RegExp(`${ESCAPE}\\[\\d+m`, 'g'), '')).toBe(plain);
  });
});

test('without colours there is not one escape', () => {
  expect(renderReport(sampleReport(), WIDE)).not.toContain(ESCAPE);
});

test('every state of the contract renders', () => {
  for (const state of PATH_STATES) {
    const text = renderReport(sampleReport({ paths: [{ ...blockedPath, state, cause: null }] }), WIDE);
    expect(lineWith(text, '◆')).toContain(state);
  }
});

test('a label that carries terminal commands or hidden characters is shown, not obeyed', () => {
  const label = `o2${ESCAPE}[2J\u202egnp\n.exe`;
  const path = { ...filteredPath, client: { ...filteredPath.client, label } };
  const text = renderReport(sampleReport({ paths: [path] }), WIDE);
  expect(text).not.toContain(ESCAPE);
  expect(text).toContain('o2\\u{1b}[2J\\u{202e}gnp\\u{a}.exe');
});
