/** The `--log-level` option of the commands that run a server. */
import { option, UsageError } from '../common/command.ts';
import { type LogLevel, parseLogLevel } from './logger.ts';

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
