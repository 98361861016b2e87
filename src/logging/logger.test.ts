/** Log lines, what must not be in them, and the files they go to. */
import { afterEach, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { systemClock } from '../common/clock.ts';
import { UserError } from '../common/errors.ts';
import { withSpan } from '../common/tracing.ts';
import { openLogFile } from './file.ts';
import { readableLine } from './format.ts';
import { createLogger, type LoggerOptions, type LogLevel, parseLogLevel } from './logger.ts';

const clock = { ...systemClock, now: () => new Date('2026-01-02T03:04:05.678Z') };

function recorded(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  return { lines, log: createLogger({ component: 'manager', clock, write, ...options }) };
}

test('whichever way it was written, a line can be read by people', () => {
  const { lines, log } = recorded({ format: 'json' });
  log.warn('it\nis late', { by: '2 s', tries: 3 });
  const [line = ''] = lines;
  const readable = readableLine(line.trimEnd(), false);
  expect(readable).toMatch(/^[\d-]+ [\d:.]+ WARN {2}\S+: it\\nis late by="2 s" tries=3$/);
  expect(readableLine(readable, false)).toBe(readable);
  expect(readableLine('{"level":"warn"}', false)).toBe('{"level":"warn"}');
});

test('the console format', () => {
  const { lines, log } = recorded();
  log.info('listening', {
    addr: '127.0.0.1:8081',
    note: 'two words',
    n: 3,
    list: [1],
    none: undefined,
  });
  expect(lines).toEqual([
    '2026-01-02 03:04:05.678 INFO  manager: listening addr=127.0.0.1:8081 note="two words" n=3 list=[1]\n',
  ]);
});

test('colours only where asked for', () => {
  const { lines, log } = recorded({ color: true });
  log.error('bad');
  expect(lines[0]).toContain('\x1b[31mERROR');
});

test('levels below the threshold are dropped', () => {
  const { lines, log } = recorded({ level: 'warn' });
  log.trace('1');
  log.debug('2');
  log.info('3');
  log.warn('4');
  log.error('5');
  expect(lines).toHaveLength(2);
});

test('children add fields and keep those of their parents', () => {
  const { lines, log } = recorded({ format: 'json' });
  log.child({ session: 's1', n: 1 }).child({ n: 2 }).warn('careful', { m: 3 });
  expect(JSON.parse(lines[0] ?? '')).toEqual({
    time: '2026-01-02T03:04:05.678Z',
    level: 'warn',
    component: 'manager',
    message: 'careful',
    session: 's1',
    n: 2,
    m: 3,
  });
});

test('secrets never appear, at any depth, in either format', () => {
  for (const format of ['json', 'console'] as const) {
    const { lines, log } = recorded({ format });
    log.child({ redis_password: 'hunter2' }).info('x', {
      secretKey: 'hunter2',
      headers: { Authorization: 'hunter2', 'X-Signature': 'hunter2', cookie: 'hunter2' },
      list: [{ accessToken: 'hunter2', privateKey: 'hunter2' }],
      map: new Map([['db-password', 'hunter2']]),
      accessKey: 'AKIAVISIBLE',
    });
    expect(lines.join()).not.toContain('hunter2');
    expect(lines.join()).toContain('[redacted]');
    expect(lines.join()).toContain('AKIAVISIBLE');
  }
});

test('odd values do not break a record', () => {
  const { lines, log } = recorded({ format: 'json' });
  const cycle: Record<string, unknown> = { name: 'loop' };
  cycle.self = cycle;
  log.info('odd', {
    big: 12n,
    error: new Error('outer', { cause: new Error('inner') }),
    bytes: new Uint8Array(3),
    never: new Date(Number.NaN),
    many: Array.from({ length: 200 }, () => 1),
    cycle,
  });
  const record = JSON.parse(lines[0] ?? '');
  expect(record.big).toBe('12');
  expect(record.error).toBe('Error: outer (cause: inner)');
  expect(record.bytes).toBe('<3 bytes>');
  expect(record.never).toBeNull();
  expect(record.many).toHaveLength(101);
});

test('whatever is logged, a record is one line without control characters', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.dictionary(fc.string(), fc.anything()),
      (message, fields) => {
        for (const format of ['console', 'json'] as const) {
          const { lines, log } = recorded({ format });
          log.info(message, fields);
          expect(lines).toHaveLength(1);
          expect(lines[0]?.slice(0, -1)).not.toMatch(/[\u0000-\u001f]/);
          expect(lines[0]?.endsWith('\n')).toBe(true);
        }
      },
    ),
  );
});

test("upstream's level names are understood", () => {
  expect(parseLogLevel('WARNING')).toBe('warn');
  expect(parseLogLevel('NOTSET')).toBe('trace');
  expect(parseLogLevel('Critical')).toBe('error');
  expect(parseLogLevel('loud')).toBeNull();
  expect(parseLogLevel('constructor')).toBeNull();
});

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'bai-log-'));
  folders.push(folder);
  return folder;
}

test('a log file is rotated by size, and only so many are kept', () => {
  const folder = newFolder();
  const file = openLogFile({ path: join(folder, 'sub', 'm.log'), maxBytes: 10, keep: 2 });
  for (let n = 0; n < 10; n++) file.write(`line-${n}\n`);
  file.close();
  expect(readdirSync(join(folder, 'sub')).sort()).toEqual(['m.log', 'm.log.1', 'm.log.2']);
  expect(readFileSync(join(folder, 'sub', 'm.log'), 'utf8')).toBe('line-9\n');
  expect(readFileSync(join(folder, 'sub', 'm.log.2'), 'utf8')).toBe('line-7\n');
  expect(statSync(join(folder, 'sub', 'm.log')).mode & 0o777).toBe(0o600);
});

test('with nothing kept, a full log file starts over', () => {
  const path = join(newFolder(), 'm.log');
  const file = openLogFile({ path, maxBytes: 10, keep: 0 });
  for (let n = 0; n < 5; n++) file.write(`line-${n}\n`);
  file.close();
  expect(readFileSync(path, 'utf8')).toBe('line-4\n');
});

test('logging goes on after a rotation that failed', () => {
  const path = join(newFolder(), 'm.log');
  const file = openLogFile({ path, maxBytes: 10, keep: 1 });
  file.write('line-0\n');
  // A folder in the way of the file to be set aside.
  mkdirSync(join(`${path}.1`, 'x'), { recursive: true });
  file.write('line-1\n');
  rmSync(`${path}.1`, { recursive: true });
  file.write('line-2\n');
  file.close();
  expect(readFileSync(path, 'utf8')).toBe('line-2\n');
  expect(readFileSync(`${path}.1`, 'utf8')).toBe('line-0\n');
});

test('a log file is appended to', () => {
  const path = join(newFolder(), 'm.log');
  for (const text of ['a\n', 'b\n']) {
    const file = openLogFile({ path });
    file.write(text);
    file.close();
  }
  expect(readFileSync(path, 'utf8')).toBe('a\nb\n');
});

test('a log file that cannot be opened is told with a remedy', () => {
  const open = () => openLogFile({ path: join('/dev/null', 'x', 'm.log') });
  expect(open).toThrow(UserError);
  expect(open).toThrow('/dev/null/x/m.log');
});

test('the journal is told how severe a line is', () => {
  const lines: string[] = [];
  const write = (line: string) => lines.push(line);
  const log = createLogger({ component: 'manager', level: 'trace', marksSeverity: true, write });
  for (const level of ['debug', 'info', 'warn', 'error'] as const) log[level]('x');
  expect(lines.map((line) => line.slice(0, 3))).toEqual(['<7>', '<6>', '<4>', '<3>']);
});

test('a level that changes holds from the next record on', () => {
  const lines: string[] = [];
  let level: LogLevel = 'warn';
  const log = createLogger({
    component: 'manager',
    level: () => level,
    write: (line) => lines.push(line),
  }).child({ a: 1 });
  log.info('hidden');
  level = 'info';
  log.info('shown');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain('shown');
});

test('records written for a span name its trace', () => {
  const lines: string[] = [];
  const log = createLogger({
    component: 'manager',
    format: 'json',
    write: (line) => lines.push(line),
  });
  const trace = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) };
  const context = { ...trace, isSampled: true };
  withSpan({ context, set: () => {}, addMeasured: () => {} }, () => log.info('within'));
  log.info('outside');
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ message: 'within', ...trace });
  expect(lines[1]).not.toContain('traceId');
});
