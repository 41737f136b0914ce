import yargs, { type Argv } from 'yargs';
import { errorCode, IcepathError } from '../base/errors.js';
import { printable } from '../report/text.js';
import { stayWithLab } from '../world/kernel/inside.js';
import { EXIT, type Command, type CommandGroup, type CommandIo } from './command.js';
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
  commands: readonly (Command | CommandGroup)[],
  io: CommandIo,
): Promise<number> {
  let run: () => Promise<number>;
  try {
    stayWithLab(io.env);
    const chosen = await choose(argv, commands, io);
    if ('output' in chosen) {
      io.stdout.write(`${chosen.output}\n`);
      return EXIT.ok;
    }
    const values = parseOptions(chosen);
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
/** What a command is called by: `icepath client`, `icepath lab run`. */
interface Chosen {
  readonly command: Command;
  readonly called: string;
  readonly given: Given;
}

async function choose(
  argv: readonly string[],
  commands: readonly (Command | CommandGroup)[],
  io: CommandIo,
): Promise<{ readonly output: string } | Chosen> {
  let chosen: Chosen | undefined;
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
  const add = (to: Argv, command: Command, prefix: string): void => {
    const called = `${prefix}${nameOf(command)}`;
    to.command(
      command.usage,
      command.summary,
      (builder) => describeCommand(builder, command, prefix),
      (given) => {
        chosen = { command, called, given };
      },
    );
  };
  for (const entry of commands) {
    if (!('commands' in entry)) {
      add(parser, entry, 'icepath ');
      continue;
    }
    const { name, summary, examples, commands: members } = entry;
    const prefix = `icepath ${name} `;
    parser.command(name, summary, (builder) => {
      builder
        .usage(`${prefix}COMMAND [options]\n\n${summary}`)
        .epilogue(`${prefix}COMMAND --help explains one command.`)
        .demandCommand(1, `${prefix}what? ${members.map(nameOf).join(', ')}`);
      for (const member of members) add(builder, member, prefix);
      for (const [commandLine, meaning] of examples) builder.example(commandLine, meaning);
      return builder;
    });
  }
  await parser.parseAsync([...argv], {}, (error, _given, text) => {
    failure = error?.message;
    output = text;
  });
  if (failure !== undefined) throw usageError(failure, argv, commands);
  return chosen ?? { output };
}

function describeCommand(builder: Argv, command: Command, prefix: string): Argv {
  builder.usage(`${prefix}${command.usage}\n\n${command.summary}`).epilogue('').strictCommands(false);
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
}

function usageError(
  message: string,
  argv: readonly string[],
  commands: readonly (Command | CommandGroup)[],
): IcepathError {
  const called = ['icepath'];
  let named: Command | null = null;
  for (let within = commands; within.length > 0;) {
    const entry = within.find((one) => nameOf(one) === argv[called.length - 1]);
    if (!entry) break;
    called.push(nameOf(entry));
    within = 'commands' in entry ? entry.commands : [];
    if ('usage' in entry) named = entry;
  }
  const firstLine = message.split('\n', 1)[0] ?? message;
  const missing = named !== null && message.startsWith('Not enough non-option arguments');
  return new IcepathError(
    'usage',
    missing ? `something is missing: ${called.slice(0, -1).join(' ')} ${named?.usage ?? ''}` : firstLine,
    `Run ${called.join(' ')} --help to see what it takes.`,
  );
}

function parseOptions({ command, called, given }: Chosen): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(command.options)) {
    const texts = textsOf(given[name]);
    if (texts.length > 1 && !option.repeatable) {
      throw new IcepathError(
        'option-repeated',
        `--${name} is given ${texts.length} times`,
        `Give --${name} once: ${called} --help tells which options may be repeated.`,
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

function nameOf(command: Command | CommandGroup): string {
  return 'name' in command ? command.name : (command.usage.split(' ', 1)[0] ?? command.usage);
}

function isPositional(command: Command, name: string): boolean {
  return new RegExp(`[<[]${name}(\\.\\.)?[>\\]]`).test(command.usage);
}

function complain(error: unknown, exitCode: number, io: Pick<CommandIo, 'stderr'>): number {
  if (error instanceof IcepathError) {
    // Names from the far end or a file may stand in it; a line for each mistake of a file.
    const message = error.message.split('\n').map(printable).join('\n');
    io.stderr.write(`icepath: ${message}\n  → ${printable(error.nextStep)} [${error.code}]\n`);
    return exitCode;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  io.stderr.write(
    `icepath: this is a bug\n${stack}\n  → Please report it with the lines above and icepath ${VERSION}. [bug]\n`,
  );
  return EXIT.bug;
}
