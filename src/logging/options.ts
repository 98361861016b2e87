/** What commands have to do with logs: the option of those that run a server, the log of the others. */
import { type CommandIo, option, UsageError } from '../common/command.ts';
import type { Logger } from '../common/logger.ts';
import { createLogger, type LogLevel, parseLogLevel } from './logger.ts';

function readLevel(text: string): LogLevel {
  const parsed = parseLogLevel(text);
  if (parsed === null) throw new UsageError(`'${text}' is not a log level.`);
  return parsed;
}

export const logLevelOption = option(
  ['--log-level'],
  'LEVEL',
  'Least severe records to log.',
  readLevel,
);

/**
 * A log on a command's standard error.
 * @throws UsageError when there is no such level.
 */
export const commandLogger = (component: string, io: CommandIo, level: string): Logger =>
  createLogger({
    component,
    level: readLevel(level),
    write: (line) => io.stderr.write(line),
  });
