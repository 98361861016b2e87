/** How a log record becomes a line: for people, or as JSON for machines. */
import * as v from 'valibot';
import type { LogRecord } from './logger.ts';

const COLORS: Readonly<Record<LogRecord['level'], string>> = {
  trace: '\x1b[90m',
  debug: '\x1b[36m',
  info: '\x1b[32m',
  warn: '\x1b[33m',
  error: '\x1b[31m',
};
const DIM = '\x1b[2m';
const RESET = '\x1b[0m';

/** Control characters would let a logged value forge lines or move the cursor. */
export const escapeControls = (text: string): string =>
  text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (char) =>
    char === '\n'
      ? '\\n'
      : char === '\t'
        ? '\\t'
        : `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );

function formatValue(value: unknown): string {
  if (typeof value !== 'string') return escapeControls(JSON.stringify(value) ?? 'undefined');
  return /^[^\s"'=\u0000-\u001f\u007f]+$/.test(value)
    ? value
    : escapeControls(JSON.stringify(value));
}

/** ` key=value …` of a record, for people. */
export function formatFields(
  { fields }: Pick<LogRecord, 'fields'>,
  paint: (text: string) => string = (text) => text,
): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${paint(`${escapeControls(name)}=`)}${formatValue(value)}`)
    .join('');
}

/** `2026-01-02 03:04:05.678 INFO  manager: message key=value`, times in UTC. */
export function formatHuman(record: LogRecord, color: boolean): string {
  const paint = (code: string, text: string) => (color ? `${code}${text}${RESET}` : text);
  const time = record.time.toISOString().replace('T', ' ').replace('Z', '');
  const level = record.level.toUpperCase().padEnd(5);
  const fields = formatFields(record, (text) => paint(DIM, text));
  return `${paint(DIM, time)} ${paint(COLORS[record.level], level)} ${record.component}: ${escapeControls(record.message)}${fields}\n`;
}

const jsonLine = v.pipe(
  v.string(),
  v.parseJson(),
  v.looseObject({
    time: v.pipe(v.string(), v.isoTimestamp()),
    level: v.picklist(['trace', 'debug', 'info', 'warn', 'error']),
    component: v.string(),
    message: v.string(),
  }),
);

/** A line of a log for people, whichever of the two it was written as; without its newline. */
export function readableLine(line: string, color: boolean): string {
  const parsed = v.safeParse(jsonLine, line);
  if (!parsed.success) return line;
  const { time, level, component, message, ...fields } = parsed.output;
  return formatHuman({ time: new Date(time), level, component, message, fields }, color).trimEnd();
}

/** One JSON object; `time`, `level`, `component` and `message` come first and win over fields. */
export function formatJson(record: LogRecord): string {
  const { time, level, component, message, fields } = record;
  const head = { time: time.toISOString(), level, component, message };
  return `${JSON.stringify({ ...head, ...fields, ...head })}\n`;
}
