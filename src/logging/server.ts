/** The log of a server, as the `[logging]` section of its configuration file asks for it. */
import { join, resolve } from 'node:path';
import type { LoggingSettings } from '../common/config/sections.ts';
import type { LogFields, Logger } from '../common/logger.ts';
import { openLogFile } from './file.ts';
import { createLogger, type LogFormat, type LogLevel, parseLogLevel } from './logger.ts';

export interface ServerLogOptions {
  readonly component: string;
  readonly settings: LoggingSettings;
  /** Overrides the level of the configuration file. */
  readonly level: LogLevel | null;
  /** Relative paths of log files start here. */
  readonly cwd: string;
}

const formatOf = (name: string | undefined): LogFormat => (name === 'json' ? 'json' : 'console');

/** Sends every record to all of `loggers`. */
function tee(loggers: readonly Logger[]): Logger {
  const [only, ...others] = loggers;
  if (only && others.length === 0) return only;
  const all =
    (level: 'trace' | 'debug' | 'info' | 'warn' | 'error') =>
    (message: string, fields?: LogFields) => {
      for (const logger of loggers) logger[level](message, fields);
    };
  return {
    trace: all('trace'),
    debug: all('debug'),
    info: all('info'),
    warn: all('warn'),
    error: all('error'),
    child: (fields) => tee(loggers.map((logger) => logger.child(fields))),
  };
}

/**
 * Opens the log.
 * @returns the logger, and a function that closes its file.
 * @throws UserError when the log file cannot be written.
 */
export function openServerLog(options: ServerLogOptions): { log: Logger; close(): void } {
  const { component, settings, cwd } = options;
  const level = options.level ?? parseLogLevel(settings.level) ?? 'info';
  const loggers: Logger[] = [];
  if (settings.console) {
    const { colored, format } = settings.console;
    loggers.push(createLogger({ component, level, format: formatOf(format), color: colored }));
  }
  if (!settings.file) return { log: tee(loggers), close: () => {} };
  const file = openLogFile({
    path: join(resolve(cwd, settings.file.path), settings.file.filename),
    maxBytes: Number(settings.file['rotation-size']),
    keep: settings.file['backup-count'],
  });
  const format = formatOf(settings.file.format);
  loggers.push(createLogger({ component, level, format, color: false, write: file.write }));
  return { log: tee(loggers), close: () => file.close() };
}
