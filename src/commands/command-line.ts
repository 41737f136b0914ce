import yargs from 'yargs';
import { errorCode, IcepathError } from '../base/errors.js';
import { printable } from '../report/text.js';
import { EXIT, type Command, type CommandIo } from './command.js';
import { VERSION } from './version.js';

// yargs has it since 17.5; its types do not know it.
declare module 'yargs' {
  interface Argv {
    usageConfiguration(configuration: { readonly 'hide-types': boolean }): this;
  }
}

/** Runs one command line; resolves with the exit code. Never rejects. */
export async function runCommandLine(
  argv: readonly string[],
  commands: readonly Command[],
  io: CommandIo,
): Promise<number> {
  let run: () => Promise<number>;
  try {
    const chosen = await choose(argv, commands, io);
    if ('output' in chosen) {
      io.stdout.write(`${chosen.output}\n`);
      return EXIT.ok;
    }
    const values = parseOptions(chosen.command, chosen.given);
    run = () => chosen.command.run(values, io);
  } catch (error) {
    return complain(error, EXIT.usage, io);
  }
  try {
    return await run();
  } catch (error) {
    return complain(error, EXIT.couldNotRun, io);
  }
}

/**
 * A stream that can no longer be written to must not end the run: a closed pipe (`icepath report … | head`) is nobody's
 * fault, a full disk is told and exits 6.
 */
export function watchOutput({ stdout, stderr }: Pick<NodeJS.Process, 'stdout' | 'stderr'>): void {
  stderr.on('error', () => undefined);
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return;
    const reason = new IcepathError(
      'output-unwritable',
      `what you asked for could not be written: ${errorCode(error)}`,
      'Make room, or send it elsewhere, and run it again.',
    );
    process.exitCode = complain(reason, EXIT.couldNotRun, { stderr });
  });
}

type Given = Readonly<Record<string, unknown>>;
type Choice = { readonly output: string } | { readonly command: Command; readonly given: Given };

async function choose(argv: readonly string[], commands: readonly Command[], io: CommandIo): Promise<Choice> {
  let chosen: { command: Command; given: Given } | undefined;
  let failure: string | undefined;
  let output = '';
  const parser = yargs()
    .scriptName('icepath')
    .usage('$0 COMMAND [options]\n\nWhich paths between two hosts work, which do not, why, and by whom.')
    .epilogue('icepath COMMAND --help explains one command.')
    .locale('en')
    .parserConfiguration({
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'greedy-arrays': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .usageConfiguration({ 'hide-types': true })
    .version(VERSION)
    .help()
    .alias('help', 'h')
    .strict()
    .strictCommands()
    .demandCommand(1, 'no command is named')
    .wrap(Math.min(io.stdout.columns ?? 100, 100));
  for (const command of commands) {
    parser.command(
      command.usage,
      command.summary,
      (builder) => {
        builder.usage(`$0 ${command.usage}\n\n${command.summary}`).epilogue('').strictCommands(false);
        for (const [name, option] of Object.entries(command.options)) {
          if (isPositional(command, name)) builder.positional(name, { describe: option.help, type: 'string' });
          else if (option.placeholder === null) builder.option(name, { describe: option.help, type: 'boolean' });
          else {
            const describe = `${option.placeholder}: ${option.help}`;
            builder.option(name, { describe, type: 'string', array: true, requiresArg: true });
          }
        }
        for (const [commandLine, meaning] of command.examples) builder.example(commandLine, meaning);
        return builder;
      },
      (given) => {
        chosen = { command, given };
      },
    );
  }
  await parser.parseAsync([...argv], {}, (error, _given, text) => {
    failure = error?.message;
    output = text;
  });
  if (failure !== undefined) throw usageError(failure, argv, commands);
  return chosen ?? { output };
}

function usageError(message: string, argv: readonly string[], commands: readonly Command[]): IcepathError {
  const named = commands.find((command) => nameOf(command) === argv[0]);
  const help = named === undefined ? 'icepath --help' : `icepath ${nameOf(named)} --help`;
  const missing = named && message.startsWith('Not enough non-option arguments') ? named.usage : null;
  const firstLine =
    missing === null ? (message.split('\n', 1)[0] ?? message) : `something is missing: icepath ${missing}`;
  return new IcepathError('usage', firstLine, `Run ${help} to see what it takes.`);
}

function parseOptions(command: Command, given: Given): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(command.options)) {
    const texts = textsOf(given[name]);
    if (texts.length > 1 && !option.repeatable) {
      throw new IcepathError(
        'option-repeated',
        `--${name} is given ${texts.length} times`,
        `Give --${name} once: icepath ${nameOf(command)} --help tells which options may be repeated.`,
      );
    }
    values[name] = option.parse(texts);
  }
  return values;
}

/** Everything comes from yargs as text, a list of texts, or `true` for a switch that is set. */
function textsOf(given: unknown): string[] {
  const items: readonly unknown[] = Array.isArray(given) ? given : [given];
  return items
    .filter((item) => item !== undefined && item !== false)
    .map((item) => (typeof item === 'string' ? item : 'true'));
}

function nameOf(command: Command): string {
  return command.usage.split(' ', 1)[0] ?? command.usage;
}

function isPositional(command: Command, name: string): boolean {
  return new RegExp(`[<[]${name}(\\.\\.)?[>\\]]`).test(command.usage);
}

function complain(error: unknown, exitCode: number, io: Pick<CommandIo, 'stderr'>): number {
  if (error instanceof IcepathError) {
    // Names from the far end or a file may stand in it.
    io.stderr.write(`icepath: ${printable(error.message)}\n  → ${printable(error.nextStep)} [${error.code}]\n`);
    return exitCode;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  io.stderr.write(
    `icepath: this is a bug\n${stack}\n  → Please report it with the lines above and icepath ${VERSION}. [bug]\n`,
  );
  return EXIT.bug;
}
