/** The implementation of the logging interface: filters by level and writes one line per record. */
import { type Clock, systemClock } from '../common/clock.ts';
import type { LogFields, Logger } from '../common/logger.ts';
import { currentSpan } from '../common/tracing.ts';
import { formatHuman, formatJson } from './format.ts';
import { redact } from './redact.ts';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'off';
export type LogFormat = 'console' | 'json';

/** Larger is more severe. */
const SEVERITY: Readonly<Record<LogLevel, number>> = {
  trace: 10,
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  off: 99,
};

/** As syslog(3) counts them. */
export const PRIORITY = { trace: 7, debug: 7, info: 6, warn: 4, error: 3 } as const;

export interface LoggerOptions {
  /** `manager`, `agent`, …; shown in every record. */
  readonly component: string;
  /** Records below it are dropped; asked for each record when it may change. Default `info`. */
  readonly level?: LogLevel | (() => LogLevel);
  /** `console`: for people; `json`: one object per line; or how else. Default `console`. */
  readonly format?: LogFormat | ((record: LogRecord) => string);
  /** Whether the console format uses colours. Default: when standard error is a terminal. */
  readonly color?: boolean;
  /** Puts systemd's mark of its severity before each line, as the journal reads it. Default no. */
  readonly marksSeverity?: boolean;
  /** Takes each line, newline included. Default: standard error. */
  readonly write?: (line: string) => void;
  readonly clock?: Clock;
}

export interface LogRecord {
  readonly time: Date;
  readonly level: Exclude<LogLevel, 'off'>;
  readonly component: string;
  readonly message: string;
  /** Already free of secrets. */
  readonly fields: Readonly<Record<string, unknown>>;
}

const writeToStandardError = (line: string): void => {
  process.stderr.write(line);
};

/** A logger; its children share level, format and destination. */
export function createLogger(options: LoggerOptions): Logger {
  const { level: wanted = 'info' } = options;
  const threshold = typeof wanted === 'function' ? wanted : () => wanted;
  const write = options.write ?? writeToStandardError;
  const clock = options.clock ?? systemClock;
  const color = options.color ?? (!options.write && process.stderr.isTTY === true);
  const format =
    typeof options.format === 'function'
      ? options.format
      : options.format === 'json'
        ? formatJson
        : (record: LogRecord) => formatHuman(record, color);

  const make = (bound: LogFields): Logger => {
    const log = (level: LogRecord['level'], message: string, fields?: LogFields): void => {
      if (SEVERITY[level] < SEVERITY[threshold()]) return;
      const mark = options.marksSeverity ? `<${PRIORITY[level]}>` : '';
      const span = currentSpan();
      const trace = span && { traceId: span.context.traceId, spanId: span.context.spanId };
      const shown = redact({ ...bound, ...fields, ...trace });
      write(
        `${mark}${format({
          time: clock.now(),
          level,
          component: options.component,
          message,
          fields: { ...(typeof shown === 'object' ? shown : {}) },
        })}`,
      );
    };
    return {
      trace: (message, fields) => log('trace', message, fields),
      debug: (message, fields) => log('debug', message, fields),
      info: (message, fields) => log('info', message, fields),
      warn: (message, fields) => log('warn', message, fields),
      error: (message, fields) => log('error', message, fields),
      child: (fields) => make({ ...bound, ...fields }),
    };
  };
  return make({});
}

/** Drops everything. */
export const silentLogger: Logger = createLogger({ component: '', level: 'off' });

/** Upstream's level names (`NOTSET`, `TRACE` … `CRITICAL`) and ours, in any case; null if neither. */
export function parseLogLevel(name: string): LogLevel | null {
  const levels: Readonly<Record<string, LogLevel>> = {
    notset: 'trace',
    trace: 'trace',
    debug: 'debug',
    info: 'info',
    warn: 'warn',
    warning: 'warn',
    error: 'error',
    critical: 'error',
    fatal: 'error',
    off: 'off',
  };
  const key = name.toLowerCase();
  return Object.hasOwn(levels, key) ? (levels[key] ?? null) : null;
}
