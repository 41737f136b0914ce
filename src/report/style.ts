/** How wide the terminal is, and whether it shows colours. */
export interface Style {
  readonly columns: number;
  readonly colour: boolean;
}

const DEFAULT_COLUMNS = 100;

/** Colours only on a terminal, and not where NO_COLOR is set (no-color.org). */
export function styleOf(
  stream: { readonly isTTY?: boolean; readonly columns?: number },
  env: Readonly<Record<string, string | undefined>>,
): Style {
  const terminal = stream.isTTY === true;
  return {
    // Terminals that do not know their width say 0.
    columns: terminal && stream.columns ? stream.columns : DEFAULT_COLUMNS,
    colour: terminal && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb',
  };
}

/** SGR codes (ECMA-48 §8.3.117): how each begins and ends. */
const SGR = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
} as const;
export type Paint = keyof typeof SGR;

export function paint(style: Style, how: Paint, text: string): string {
  if (!style.colour || text === '') return text;
  const [on, off] = SGR[how];
  return `\u001b[${on}m${text}\u001b[${off}m`;
}
