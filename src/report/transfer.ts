import type { TransferPath, TransferReport, TransferWay } from '../verdict/transfer.js';
import { paint, type Style } from './style.js';
import { columnsOf } from './table.js';
import { wrap } from './text.js';
import { duration } from './words.js';

/** What became of the data: a sentence, and a table of the paths. Empty where none were to be sent. */
export function transferStory(transfer: TransferReport | null, style: Style): string {
  if (!transfer) return '';
  const { complete, error, up, down, longestPauseMs, perPath } = transfer;
  const ways = [wayWords('up', up), wayWords('down', down)].filter((words) => words !== '').join(', ');
  const verdict = complete
    ? paint(style, 'green', 'everything that was sent arrived')
    : paint(style, 'red', `not complete: ${error ?? ''}`);
  const story = wrap(`${ways}; longest pause ${duration(longestPauseMs)}; ${verdict}`, style.columns, '  ');
  if (perPath.length === 0) return story;
  const head = ['', 'path', 'share', 'bytes', 'rate', 'loss', 'RTT', 'joined'].map((text) => paint(style, 'dim', text));
  return `${story}\n${columnsOf([head, ...perPath.map(pathRow)])}`;
}

function wayWords(name: string, way: TransferWay | null): string {
  if (!way) return '';
  return `${name} ${bytesText(way.bytesReceived)} of ${bytesText(way.bytesSent)} at ${rateText(way.goodputBps)}`;
}

function pathRow({ path, share, bytes, goodputBps, lossRatio, rttMs, joined, left }: TransferPath): string[] {
  const [first] = joined;
  const times = joined.length > 1 ? `, ${String(joined.length)} times` : '';
  const gone = left.length >= joined.length && left.length > 0 ? ', left' : '';
  return [
    ' ',
    path,
    `${(share * 100).toFixed(1)} %`,
    bytesText(bytes),
    rateText(goodputBps),
    `${(lossRatio * 100).toFixed(1)} %`,
    duration(rttMs),
    first ? `after ${duration(first.atMs)}${times}${gone}` : '–',
  ];
}

function rateText(bitsPerSecond: number): string {
  if (bitsPerSecond >= 1e6) return `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s`;
  return `${(bitsPerSecond / 1e3).toFixed(0)} kbit/s`;
}

function bytesText(bytes: number): string {
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e3).toFixed(1)} kB`;
}
