/** verdicts.md, Exit codes: those that every command shares. */
export const EXIT = { ok: 0, bug: 1, usage: 2, couldNotRun: 6, interrupted: 130 } as const;

/** A stream that takes text: `process.stdout` is one, a test's collector another. */
export interface TextStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** What a command may touch of the terminal. stdout takes what the user asked for, stderr everything else. */
export interface CommandIo {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** One option or positional argument: how it reads in the help, and what its text means. */
export interface Option<Value> {
  readonly help: string;
  /** How a value looks, `HOST:PORT`; `null` for a switch. */
  readonly placeholder: string | null;
  readonly repeatable: boolean;
  /** Gets everything that was given, in order; nothing when it was left out. Throws an `IcepathError`: exit 2. */
  readonly parse: (given: readonly string[]) => Value;
}

export type Options = Readonly<Record<string, Option<unknown>>>;
export type OptionValues<Known extends Options> = {
  readonly [Name in keyof Known]: Known[Name] extends Option<infer Value> ? Value : never;
};

/** One sub-command: one file in this folder and one line in `index.ts`. */
export interface Command<Known extends Options = Options> {
  /** Its name and positional arguments, as yargs writes them: `client <invite>`. */
  readonly usage: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** At least one: a command line, and what it does. */
  readonly examples: readonly (readonly [commandLine: string, meaning: string])[];
  /** By name, positional arguments included. */
  readonly options: Known;
  /** Resolves with the exit code (verdicts.md, Exit codes). An `IcepathError` that it throws exits 6. */
  run(options: OptionValues<Known>, io: CommandIo): Promise<number>;
}

/** Sub-commands of one name: `icepath lab list`, `icepath lab run` … */
export interface CommandGroup {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  readonly examples: Command['examples'];
  /** Each `usage` without the group's name. */
  readonly commands: readonly Command[];
}

/** Ties the type of `run`'s argument to the options. */
export function defineCommand<const Known extends Options>(command: Command<Known>): Command<Known> {
  return command;
}
