/** The log of a server, as the `[logging]` section of its configuration file asks for it. */
import { fstatSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { systemClock } from '../common/clock.ts';
import type { LoggingSettings } from '../common/config/sections.ts';
import { errorMessage } from '../common/errors.ts';
import type { LogFields, Logger } from '../common/logger.ts';
import { type LogFile, openLogFile } from './file.ts';
import { createLogger, type LogFormat, type LogLevel, parseLogLevel } from './logger.ts';
import { openSyslog, type Syslog, syslogFormat } from './syslog.ts';

export interface ServerLogOptions {
  readonly component: string;
  readonly settings: LoggingSettings;
  /** Overrides the level of the configuration file. */
  readonly level: LogLevel | null;
  /** Relative paths of log files start here. */
  readonly cwd: string;
  /** Reads the configuration anew at SIGHUP: its level holds from then on, unless `level` is given. */
  readonly reread?: () => LoggingSettings;
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

/** Whether standard error is the journal that systemd named when it started this process. */
function isJournal(named: string | undefined): boolean {
  if (!named) return false;
  const { dev, ino } = fstatSync(2);
  return named === `${dev}:${ino}`;
}

/** At each SIGHUP opens log files anew and follows the level of the configuration. @returns what ends that. */
function onHangUp(
  { level, reread }: ServerLogOptions,
  log: Logger,
  { use, reopen }: { readonly use: (level: LogLevel) => void; readonly reopen: () => void },
): () => void {
  const reload = () => {
    reopen();
    if (!reread) return;
    try {
      const next = level ?? parseLogLevel(reread().level) ?? 'info';
      use(next);
      log.info('the configuration of the log was read again', { level: next });
    } catch (error) {
      // A file with a mistake in it must not end a server that runs.
      log.error('the configuration could not be read again; nothing changes', {
        error: errorMessage(error),
      });
    }
  };
  process.on('SIGHUP', reload);
  return () => process.off('SIGHUP', reload);
}

/**
 * Opens the log.
 * @returns the logger, and a function that closes where it goes.
 * @throws UserError when the log file cannot be written.
 */
export function openServerLog(options: ServerLogOptions): { log: Logger; close(): void } {
  const { component, settings, cwd } = options;
  let current = options.level ?? parseLogLevel(settings.level) ?? 'info';
  const level = () => current;
  const loggers: Logger[] = [];
  if (settings.console) {
    const { colored, format } = settings.console;
    const marksSeverity = isJournal(process.env.JOURNAL_STREAM);
    const color = marksSeverity ? false : colored;
    loggers.push(
      createLogger({ component, level, format: formatOf(format), color, marksSeverity }),
    );
  }
  let file: LogFile | null = null;
  if (settings.file) {
    file = openLogFile({
      path: join(resolve(cwd, settings.file.path), settings.file.filename),
      maxBytes: Number(settings.file['rotation-size']),
      keep: settings.file['backup-count'],
    });
    const format = formatOf(settings.file.format);
    loggers.push(createLogger({ component, level, format, color: false, write: file.write }));
  }
  let syslog: Syslog | null = null;
  if (settings.syslog) {
    syslog = openSyslog(settings.syslog, systemClock);
    const format = syslogFormat(settings.syslog, settings.syslog.address.kind === 'unix');
    loggers.push(createLogger({ component, level, format, write: syslog.write }));
  }
  const log = tee(loggers);
  const forget = onHangUp(options, log, {
    use(next) {
      current = next;
    },
    reopen: () => file?.reopen(),
  });
  return {
    log,
    close() {
      forget();
      file?.close();
      syslog?.close();
    },
  };
}
