import { diagnose, type Finding } from '../net/diagnose.js';
import { readHostFacts } from '../net/host-facts.js';
import { paint, type Paint, styleOf, type Style } from '../report/style.js';
import { printableAll, wrap } from '../report/text.js';
import { defineCommand, EXIT } from './command.js';
import { jsonOption, toOption } from './options.js';

export const doctorCommand = defineCommand({
  usage: 'doctor',
  summary:
    'what this host has wrong for a run: routes, gateways, rp_filter, firewall, clock, modems, each with its remedy',
  examples: [
    ['icepath doctor', 'before the first run, on both hosts; nothing is sent and nothing is changed'],
    ['icepath doctor --to 203.0.113.7', 'how each address gets to that host: the far end, or the reference'],
    ['icepath doctor --json', 'the findings and what they were drawn from, as one JSON document'],
  ],
  options: { to: toOption, json: jsonOption },
  async run({ to, json }, { stdout, env }) {
    const facts = await readHostFacts(undefined, to);
    const findings = diagnose(facts);
    stdout.write(
      json
        ? `${JSON.stringify({ findings, modems: facts.modems, networkManager: facts.networkManager }, null, 2)}\n`
        : renderFindings(findings, styleOf(stdout, env)),
    );
    return EXIT.ok;
  },
});

const MARKS: Readonly<Record<Finding['level'], readonly [string, Paint]>> = {
  fails: ['✗', 'red'],
  spoils: ['!', 'yellow'],
  note: ['·', 'dim'],
  ok: ['✓', 'green'],
};
const LEVELS = Object.keys(MARKS) as Finding['level'][];

/** The worst first, each with the command that mends it. Ends with a line break. */
export function renderFindings(given: readonly Finding[], style: Style): string {
  const findings = printableAll(given);
  if (findings.length === 0) return 'This host has no interface that a run could use.\n';
  const lines = LEVELS.flatMap((level) =>
    findings
      .filter((one) => one.level === level)
      .map(({ subject, what, remedy }) => {
        const [mark, colour] = MARKS[level];
        const sentence = wrap(what, style.columns, `${mark} ${subject}: `);
        const mend = remedy === null ? [] : [`    → ${remedy}`];
        return [paint(style, colour, sentence), ...mend].join('\n');
      }),
  );
  const wrong = findings.filter(({ level }) => level === 'fails' || level === 'spoils').length;
  const verdict = wrong === 0 ? 'Nothing stands in the way of a run.' : `${wrong} to mend before a run is believed.`;
  return `${lines.join('\n')}\n\n${verdict}\n`;
}
