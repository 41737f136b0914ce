import type {
  ArmReport,
  CarrierReport,
  DirectionReport,
  HostReport,
  PathEndReport,
  PathReport,
  ReferenceLegReport,
  Report,
  YardstickReport,
} from '../verdict/report.js';
import { policiesStory } from './policies.js';
import { paint, type Style } from './style.js';
import { columnsOf, widthOf } from './table.js';
import { printableAll, wrap } from './text.js';
import { transferStory } from './transfer.js';
import { duration, familyName, icmpName, natCells, natLine, STATE_PAINT, when } from './words.js';

const NOTHING = '–';

/** A report for people: what works, what does not, why and by whom. Ends with a line break. */
export function renderReport(given: Report, style: Style): string {
  const report = printableAll(given);
  const sections = [
    header(report, style),
    pathTable(report.paths, style),
    section('What happened', report.paths.map((path) => pathStory(path, style)).join('\n'), style),
    section('Data', transferStory(report.transfer, style), style),
    section('Towards the reference', ends(report.run.hosts, report.reference, style), style),
    section('Who', carrierStories(report.carriers, style), style),
    section('Policies', policiesStory(report.policies, style), style),
    section(`Profile ${report.profile?.name ?? ''}`, profileStory(report, style), style),
    section('Other stacks', (report.webrtc ?? []).map((entry) => yardstickLine(entry, style)).join('\n'), style),
    section('Next', report.advice.map((advice) => wrap(advice, style.columns, '  → ')).join('\n'), style),
    exitLine(report, style),
  ];
  return `${sections.filter((text) => text !== '').join('\n\n')}\n`;
}

/** The table, the wanted paths' sentences, who is in the way, and the exit: what stands on one screen. */
export function renderShortReport(given: Report, style: Style): string {
  const report = printableAll(given);
  const wanted = report.paths.filter((path) => path.wanted);
  const carriers = report.carriers.filter(({ verdict }) => verdict !== 'open');
  const sections = [
    pathTable(report.paths, style),
    section('Data', transferStory(report.transfer, style), style),
    wanted.map(({ headline }) => wrap(headline, style.columns, '◆ ')).join('\n'),
    alike(carriers)
      .map((group) => carrierLine(group, style))
      .join('\n'),
    exitLine(report, style),
  ];
  return `${sections.filter((text) => text !== '').join('\n')}\n`;
}

function section(title: string, body: string, style: Style): string {
  return body === '' ? '' : `${paint(style, 'bold', title)}\n${body}`;
}

function header({ run }: Report, style: Style): string {
  const facts = [
    `icepath ${run.version}`,
    `run ${run.id}`,
    run.label,
    when(run.started),
    duration(run.durationMs),
    run.backend,
  ];
  const title = facts.filter((fact) => fact !== null && fact !== '').join(' · ');
  const lines = [paint(style, 'bold', wrap(title, style.columns)), ...run.hosts.map((host) => hostLine(host, style))];
  if (run.incomplete !== null) lines.push(paint(style, 'yellow', wrap(run.incomplete, style.columns, 'Incomplete: ')));
  return lines.join('\n');
}

const PINNING: Readonly<Record<HostReport['pinning'], string>> = {
  device: '',
  address: ' (sockets bound by address, not pinned to the device)',
  off: ' (sockets not pinned)',
};

function hostLine({ role, name, interfaces, pinning }: HostReport, style: Style): string {
  const names = interfaces.map(({ name: interfaceName, kind, label }) => {
    return endWithKind({ interface: interfaceName, kind, label });
  });
  return wrap(`${names.join(' · ')}${PINNING[pinning]}`, style.columns, `${role} ${name}: `);
}

/** The widest layout that fits: with kinds; without; without arm, then RTT; or a few lines a path. */
function pathTable(paths: readonly PathReport[], style: Style): string {
  if (paths.length === 0) return 'No path: one of the hosts has no usable interface.';
  const names = tableRows(paths, endName, style);
  const tables = [
    columnsOf(tableRows(paths, endWithKind, style)),
    ...[9, 8, 7].map((count) => columnsOf(names.map((row) => row.slice(0, count)))),
  ];
  const table = tables.find((text) => widthOf(text) <= style.columns) ?? stackedTable(paths, style);
  return `${table}\n${legend(paths, style)}`;
}

function tableRows(paths: readonly PathReport[], end: (end: NamedEnd) => string, style: Style): string[][] {
  const head = ['', 'client', 'server', '', 'state', 'up', 'down', 'RTT', 'arm'].map((text) =>
    paint(style, 'dim', text),
  );
  const rows = paths.map((path) => [
    marks(path),
    end(path.client),
    end(path.server),
    familyName(path.family),
    stateOf(path, style),
    directionCell(path.up, style),
    directionCell(path.down, style),
    path.rttMs === null ? NOTHING : duration(path.rttMs.median),
    path.arm ?? NOTHING,
  ]);
  return [head, ...rows];
}

function stackedTable(paths: readonly PathReport[], style: Style): string {
  return paths
    .map((path) => {
      const rtt = path.rttMs === null ? '' : `  RTT ${duration(path.rttMs.median)}`;
      const arm = path.arm === null ? '' : `  ${path.arm}`;
      return [
        `${marks(path)} ${endName(path.client)} ↔ ${endName(path.server)} ${familyName(path.family)}`,
        `   ${stateOf(path, style)}`,
        `   up ${directionCell(path.up, style)}  down ${directionCell(path.down, style)}${rtt}${arm}`,
      ].join('\n');
    })
    .join('\n');
}

function marks(path: PathReport): string {
  return `${path.selected ? '▸' : ' '}${path.wanted ? '◆' : ' '}`;
}

function legend(paths: readonly PathReport[], style: Style): string {
  const directions = paths.flatMap((path) => [path.up.state, path.down.state]);
  const entries = [
    paths.some((path) => path.selected) ? '▸ selected' : null,
    paths.some((path) => path.wanted) ? '◆ wanted' : null,
    'up: client → server, received/sent',
    directions.includes('closed') ? '✗ closed' : null,
    directions.includes('unknown') ? '? not known' : null,
  ];
  return paint(style, 'dim', wrap(entries.filter((entry) => entry !== null).join(' · '), style.columns));
}

function stateOf({ state, cause }: PathReport, style: Style): string {
  return paint(style, STATE_PAINT[state], cause === null ? state : `${state}: ${cause}`);
}

function directionCell({ state, sent, received }: DirectionReport, style: Style): string {
  const tally = `${received}/${sent}`;
  if (state === 'open') return tally;
  return state === 'closed' ? paint(style, 'red', `${tally} ✗`) : `${tally} ?`;
}

type NamedEnd = Pick<PathEndReport, 'interface' | 'kind' | 'label'>;

function endName({ interface: name, label }: NamedEnd): string {
  return label === name || label === '' ? name : `${name} ${label}`;
}

function endWithKind({ interface: name, kind, label }: NamedEnd): string {
  return label === name || label === '' ? `${name} [${kind}]` : `${name} [${kind}, ${label}]`;
}

/** The sentence, and below it what a sceptic asks for. */
function pathStory(path: PathReport, style: Style): string {
  const indent = '     ';
  const details = [
    ...path.evidence,
    egressLine(path),
    ...path.icmp.map(
      ({ type, code, from }) => `${icmpName(path.nat64 ? 'ipv4' : path.family, type, code)} from ${from}`,
    ),
    fieldsLine(path),
    armsLine('up', path.arms),
    armsLine('down', path.arms),
    ...path.findings.user.map(({ summary }) => summary),
    ...(path.wanted ? path.conditions : []).map(
      ({ condition, met, detail }) => `${met ? '✓' : '✗'} ${condition}: ${detail}`,
    ),
  ];
  const lines = details
    .filter((detail) => detail !== null)
    .map((detail) => paint(style, 'dim', wrap(detail, style.columns, indent)));
  return [wrap(path.headline, style.columns, `  ${path.wanted ? '◆' : ' '} `), ...lines].join('\n');
}

function egressLine({ egress, state }: PathReport): string | null {
  const verified = egress.client === 'verified' && egress.server === 'verified';
  if (verified || state === 'not-gathered') return null;
  return `leaves by the right interface: client ${egress.client}, server ${egress.server}`;
}

function fieldsLine({ fields }: PathReport): string | null {
  if (fields.length === 0) return null;
  const sets = fields.map((names) => names.join(' + '));
  return `passes once changed: ${sets.join(', or ')}`;
}

/** Only where arms fared differently from each other: otherwise the table has said it. */
function armsLine(direction: 'up' | 'down', arms: readonly ArmReport[]): string | null {
  const tallies = arms.map((arm) => ({ name: arm.arm, ...arm[direction] })).filter(({ sent }) => sent > 0);
  const shares = tallies.map(({ sent, received }) => received / sent);
  if (tallies.length < 2 || Math.max(...shares) - Math.min(...shares) < 0.5) return null;
  const texts = tallies.map(({ name, sent, received, p }) => {
    return `${name} ${received}/${sent}${p === null || p > 0.05 ? '' : ` (p ${p.toExponential(0)})`}`;
  });
  return `${direction}: ${texts.join(', ')}`;
}

/** Per end what its NAT does and how the reference answers: what "blocked" is measured against. */
function ends(hosts: readonly HostReport[], legs: readonly ReferenceLegReport[], style: Style): string {
  const rows: string[][] = [];
  const details: string[] = [];
  for (const host of hosts) {
    for (const { name, label, nat } of host.interfaces) {
      for (const family of ['ipv4', 'ipv6'] as const) {
        const model = nat[family];
        const leg = legs.find(
          (entry) => entry.host === host.role && entry.interface === name && entry.family === family,
        );
        if (model === undefined && leg === undefined) continue;
        const who = `${host.role} ${label === name ? name : `${name} ${label}`}`;
        const seen = model?.reflexive ?? null;
        rows.push([
          `  ${who}`,
          familyName(family),
          leg === undefined ? NOTHING : `${leg.udp.k}/${leg.udp.n}`,
          leg === undefined ? NOTHING : `${leg.tcp.k}/${leg.tcp.n}`,
          ...(model === undefined ? [NOTHING, NOTHING, NOTHING] : natCells(model)),
          seen === null ? NOTHING : `${seen.address}:${seen.port}`,
        ]);
        const more = model ? natLine(model) : null;
        const notes = [...(more === null ? [] : [more]), ...(model?.missing ?? [])];
        for (const note of notes) details.push(wrap(note, style.columns, `    ${who}: `));
      }
    }
  }
  if (rows.length === 0) return '';
  const head = ['', '', 'UDP', 'TCP', 'NAT maps', 'NAT lets in', 'spoil test', 'seen as'];
  const all = [head.map((text) => paint(style, 'dim', text)), ...rows];
  const tables = [8, 7, 5, 4].map((count) => columnsOf(all.map((row) => row.slice(0, count))));
  const table = tables.find((text) => widthOf(text) <= style.columns) ?? tables.at(-1) ?? '';
  const notAsked = [...new Set(legs.flatMap((leg) => leg.notAsked))];
  if (notAsked.length > 0) {
    const text = `${notAsked.join(', ')} (a reference cannot undo what they change)`;
    details.push(wrap(text, style.columns, '    not asked of the reference: '));
  }
  return [table, ...details.map((line) => paint(style, 'dim', line))].join('\n');
}

function carrierStories(carriers: readonly CarrierReport[], style: Style): string {
  return alike(carriers)
    .map((group) => carrierStory(group, style))
    .join('\n');
}

/** Ends of which the same is said, for the same reasons, share an entry. */
function alike(carriers: readonly CarrierReport[]): readonly (readonly [CarrierReport, ...CarrierReport[]])[] {
  const groups = new Map<string, [CarrierReport, ...CarrierReport[]]>();
  for (const carrier of carriers) {
    const key = JSON.stringify([carrier.verdict, carrier.because, carrier.remaining]);
    const group = groups.get(key);
    if (group) group.push(carrier);
    else groups.set(key, [carrier]);
  }
  return [...groups.values()];
}

function endNames(group: readonly CarrierReport[]): string {
  return group
    .map(({ host, interface: name, label, family }) => {
      return `${label === name ? `${host} ${name}` : `${label} (${host} ${name})`} ${familyName(family)}`;
    })
    .join(', ');
}

function carrierStory(group: readonly [CarrierReport, ...CarrierReport[]], style: Style): string {
  const { verdict, because, remaining } = group[0];
  const colour = verdict === 'open' ? 'green' : verdict === 'inconclusive' ? 'yellow' : 'red';
  const lines = [
    `${wrap(endNames(group), style.columns - verdict.length - 2, '  ')}: ${paint(style, colour, verdict)}`,
    ...because.map((reason) => wrap(reason, style.columns, '     because ')),
    ...(remaining.length === 0 ? [] : [wrap(remaining.join('; '), style.columns, '     still possible: ')]),
  ];
  return lines.join('\n');
}

function carrierLine(group: readonly [CarrierReport, ...CarrierReport[]], style: Style): string {
  const { verdict, remaining } = group[0];
  const more = remaining.length === 0 ? '' : `; still possible: ${remaining.join('; ')}`;
  return wrap(`${endNames(group)}: ${verdict}${more}`, style.columns, '  ');
}

function profileStory({ profile }: Report, style: Style): string {
  return (profile?.says ?? []).map((sentence) => wrap(sentence, style.columns, '  ')).join('\n');
}

function yardstickLine({ stack, connected, afterMs, pair, note }: YardstickReport, style: Style): string {
  const time = afterMs === null ? '' : ` after ${duration(afterMs)}`;
  const over = pair === null ? '' : ` over ${pair}`;
  const more = note === null ? '' : ` (${note})`;
  const outcome = connected ? `connected${time}${over}` : `did not connect${time}`;
  return wrap(`${outcome}${more}`, style.columns, `  ${stack.padEnd(10)} `);
}

function exitLine({ exit }: Report, style: Style): string {
  const colour = exit.code === 0 ? 'green' : exit.code === 3 ? 'red' : 'yellow';
  return paint(style, colour, wrap(exit.reason, style.columns, `exit ${exit.code}: `));
}
