import { answering, holds, locateOnPaper, widthOf } from '../test/support/paper-location.js';
import type { PaperWay } from '../test/support/paper-way.js';

// bench-location: worlds of 5 to 15 routers with the filter behind every one of them, each kind of filter, each regime
// of loss. Prints how often the interval holds the true place (it must be always), and how wide it is.

const [seeds = 2] = process.argv.slice(2).map(Number);
const KINDS: readonly { readonly drops: PaperWay['drops']; readonly words: string; readonly shared?: true }[] = [
  { drops: 'trigger', words: 'stateless' },
  { drops: 'tuple', words: 'blocks the tuple' },
  { drops: 'flow', words: 'judges the first packet' },
  { drops: 'peer', words: 'drops peers, one way', shared: true },
  // Beyond the routers that the way to the reference shares, nothing is the control of packets to a peer.
  { drops: 'peer', words: 'drops peers, ways part' },
];

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
const quantile = (sorted: readonly number[], share: number): string => {
  const value = sorted[Math.floor((sorted.length - 1) * share)] ?? NaN;
  return value === Infinity ? 'open' : String(value);
};

let wrong = 0;
print('loss (2 s bursts) | filter                  | runs | false | none | width: median, 95 % | packets | seconds');
for (const loss of [0, 0.02, 0.12, 0.25]) {
  for (const { drops, words, shared } of KINDS) {
    const tally = { runs: 0, wrong: 0, none: 0, packets: 0, ms: 0 };
    const widths: number[] = [];
    for (let routers = 5; routers <= 15; routers += 1) {
      for (let filterAfter = 0; filterAfter <= routers; filterAfter += 1) {
        for (let seed = 1; seed <= seeds; seed += 1) {
          const { finding, bench } = locateOnPaper({
            hops: answering(routers),
            filterAfter,
            drops,
            toReference: shared ? routers : Math.ceil(routers / 2),
            seed: `${String(routers)} ${String(filterAfter)} ${String(seed)}`,
            ...(loss > 0 ? { loss: { bursts: { loss, burstMs: 2000 } } } : {}),
          });
          tally.runs += 1;
          tally.packets += bench.trials.length;
          tally.ms += bench.now;
          if (!finding) tally.none += 1;
          else {
            widths.push(widthOf(finding));
            if (!holds(finding, filterAfter)) tally.wrong += 1;
          }
        }
      }
    }
    wrong += tally.wrong;
    widths.sort((left, right) => left - right);
    const cells = [
      `${String(loss * 100)} %`.padEnd(17),
      words.padEnd(23),
      String(tally.runs).padStart(4),
      String(tally.wrong).padStart(5),
      String(tally.none).padStart(4),
      `${quantile(widths, 0.5)}, ${quantile(widths, 0.95)}`.padEnd(19),
      String(Math.round(tally.packets / tally.runs)).padStart(7),
      String(Math.round(tally.ms / tally.runs / 1000)).padStart(7),
    ];
    print(cells.join(' | '));
  }
}
process.exitCode = wrong === 0 ? 0 : 1;
