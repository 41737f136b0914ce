import { pino, type Logger } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { guessingLine, isGuessing, isPathState, isSoFar, progressLine, soFarLine } from '../report/progress.js';
import type { TextStream } from './command.js';

/**
 * The log: one JSON object a line on stderr; on a terminal, and without `--json`, lines for people. A machine's `log`
 * output goes in as `log[level](fields, name)`, so a path's change reads `{"msg":"path.state","path":…,"to":…}`.
 */
export function createLog(
  { json, verbose }: { readonly json: boolean; readonly verbose: boolean },
  stderr: TextStream,
  env: Readonly<Record<string, string | undefined>> = {},
): Logger {
  const options = { level: verbose ? 'debug' : 'info', base: null };
  if (json || stderr.isTTY !== true) {
    const formatters = { level: (level: string) => ({ level }) };
    return pino({ ...options, formatters, timestamp: pino.stdTimeFunctions.isoTime }, stderr);
  }
  const prettify = prettyFactory({
    colorize: (env.NO_COLOR ?? '') === '',
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  });
  return pino(options, {
    write: (line: string) => {
      const event = JSON.parse(line) as { readonly level: number; readonly time: number; readonly msg?: string };
      const { level, time, msg } = event;
      const text =
        msg === 'path.state' && isPathState(event)
          ? progressLine(event)
          : msg === 'path.so-far' && isSoFar(event)
            ? soFarLine(event)
            : msg === 'path.guessing' && isGuessing(event)
              ? guessingLine(event)
              : null;
      stderr.write(prettify(text === null ? event : { level, time, msg: text }));
    },
  });
}
