import { z } from 'zod';

/** The hooks at which this host's own packets are dropped. */
const HOOKS = ['input', 'output'] as const;
type Hook = (typeof HOOKS)[number];

const chainSchema = z.object({
  chain: z.object({
    family: z.string(),
    table: z.string(),
    name: z.string(),
    hook: z.string().optional(),
    policy: z.string().optional(),
  }),
});
const ruleSchema = z.object({
  rule: z.object({
    family: z.string(),
    table: z.string(),
    chain: z.string(),
    handle: z.number(),
    comment: z.string().optional(),
    expr: z.array(z.record(z.string(), z.unknown())),
  }),
});
type Rule = z.infer<typeof ruleSchema>['rule'];
const targetSchema = z.object({ target: z.string() });
const counterSchema = z.object({ packets: z.number() });

/**
 * Packets by rule, of rules that drop or reject and count, in chains that input or output reaches, from
 * `nft -j list ruleset`. Keys are `nft FAMILY TABLE CHAIN: RULE`; a chain whose name does not tell its hook has it in
 * brackets. Empty when the text is not what it should be.
 */
export function nftDrops(json: string): Record<string, number> {
  const items = ruleset(json);
  const chains = items.flatMap((item) => chainSchema.safeParse(item).data?.chain ?? []);
  const rules = items.flatMap((item) => ruleSchema.safeParse(item).data?.rule ?? []);
  const counters: Record<string, number> = {};
  for (const { family, table, name, hook } of chains) {
    const at = HOOKS.find((candidate) => candidate === hook);
    if (!at) continue;
    const siblings = rules.filter((rule) => rule.family === family && rule.table === table);
    for (const chain of reachable(name, (from) =>
      siblings.filter((rule) => rule.chain === from).flatMap(jumpTargets),
    )) {
      for (const rule of siblings) {
        const packets = rule.chain === chain ? droppedBy(rule) : null;
        if (packets === null) continue;
        const key = `nft ${family} ${table} ${chainName(chain, at)}: ${describeRule(rule)}`;
        counters[key in counters ? `${key} #${String(rule.handle)}` : key] = packets;
      }
    }
  }
  return counters;
}

/** Chains of input or output that drop what no rule lets through, which nft does not count: `inet filter input`. */
export function nftClosed(json: string): string[] {
  return ruleset(json)
    .flatMap((item) => chainSchema.safeParse(item).data?.chain ?? [])
    .filter(({ hook, policy }) => policy === 'drop' && HOOKS.some((known) => known === hook))
    .map(({ family, table, name }) => `${family} ${table} ${name}`);
}

function ruleset(json: string): unknown[] {
  try {
    return z.object({ nftables: z.array(z.unknown()) }).parse(JSON.parse(json)).nftables;
  } catch {
    return [];
  }
}

function chainName(chain: string, hook: Hook): string {
  return new RegExp(`\\b${hook}\\b`, 'i').test(chain) ? chain : `${chain} (${hook})`;
}

/** `start` and every chain that it jumps to, directly or not. */
function reachable(start: string, jumps: (chain: string) => readonly string[]): Set<string> {
  const found = new Set([start]);
  for (const chain of found) for (const target of jumps(chain)) found.add(target);
  return found;
}

function jumpTargets({ expr }: Rule): string[] {
  return expr.flatMap((statement) => targetSchema.safeParse(statement.jump ?? statement.goto).data?.target ?? []);
}

function droppedBy({ expr }: Rule): number | null {
  if (!expr.some((statement) => 'drop' in statement || 'reject' in statement)) return null;
  const counter = expr.find((statement) => 'counter' in statement);
  return counterSchema.safeParse(counter?.counter).data?.packets ?? null;
}

function describeRule({ expr, comment }: Rule): string {
  const words = expr.flatMap((statement) => {
    if ('match' in statement) return [describeMatch(statement.match)];
    return Object.keys(statement).filter((word) => word === 'drop' || word === 'reject');
  });
  return comment === undefined ? words.join(' ') : `${words.join(' ')} "${comment}"`;
}

const matchSchema = z.object({ op: z.string(), left: z.unknown(), right: z.unknown() });

function describeMatch(match: unknown): string {
  const { data } = matchSchema.safeParse(match);
  if (!data) return '…';
  const operator = data.op === '==' || data.op === 'in' ? ' ' : ` ${data.op} `;
  return `${describeOperand(data.left)}${operator}${describeOperand(data.right)}`;
}

const payloadSchema = z.object({ payload: z.object({ protocol: z.string(), field: z.string() }) });
const rawSchema = z.object({ payload: z.object({ base: z.string(), offset: z.number(), len: z.number() }) });
const metaSchema = z.object({ meta: z.object({ key: z.string() }) });
const ctSchema = z.object({ ct: z.object({ key: z.string() }) });
const prefixSchema = z.object({ prefix: z.object({ addr: z.string(), len: z.number() }) });

/** The common operands in nft's own syntax, the others as they came. */
function describeOperand(operand: unknown): string {
  if (typeof operand === 'string' || typeof operand === 'number') return String(operand);
  const payload = payloadSchema.safeParse(operand).data?.payload;
  if (payload) return `${payload.protocol} ${payload.field}`;
  const raw = rawSchema.safeParse(operand).data?.payload;
  if (raw) return `@${raw.base},${String(raw.offset)},${String(raw.len)}`;
  const meta = metaSchema.safeParse(operand).data?.meta;
  if (meta) return meta.key;
  const ct = ctSchema.safeParse(operand).data?.ct;
  if (ct) return `ct ${ct.key}`;
  const prefix = prefixSchema.safeParse(operand).data?.prefix;
  if (prefix) return `${prefix.addr}/${String(prefix.len)}`;
  return JSON.stringify(operand);
}

/** The same from `iptables -nvxL`, where policies count too. Keys are `iptables CHAIN: RULE`. */
export function iptablesDrops(program: string, text: string): Record<string, number> {
  const chains = text.split(/\n(?=Chain )/).flatMap((block) => {
    const [, name, policy, packets] = /^Chain (\S+) \((?:policy (\S+) (\d+) packets|\d+ references)/.exec(block) ?? [];
    if (name === undefined) return [];
    const rules = block
      .split('\n')
      .slice(2)
      .map(parseIptablesRule)
      .filter((rule) => rule !== null);
    if (policy === 'DROP') rules.push({ packets: Number(packets), target: 'DROP', text: 'policy DROP' });
    return [{ name, rules }];
  });
  const counters: Record<string, number> = {};
  for (const hook of HOOKS) {
    const rulesOf = (chain: string) => chains.find(({ name }) => name === chain)?.rules ?? [];
    for (const chain of reachable(hook.toUpperCase(), (from) => rulesOf(from).map(({ target }) => target))) {
      for (const rule of rulesOf(chain)) {
        if (rule.target !== 'DROP' && rule.target !== 'REJECT') continue;
        const key = `${program} ${chainName(chain, hook)}: ${rule.text}`;
        counters[key] = (counters[key] ?? 0) + rule.packets;
      }
    }
  }
  return counters;
}

function parseIptablesRule(line: string): { packets: number; target: string; text: string } | null {
  const [packets = '', , target = '', ...rest] = line.trim().split(/\s+/);
  return /^\d+$/.test(packets) ? { packets: Number(packets), target, text: `${target} ${rest.join(' ')}` } : null;
}
