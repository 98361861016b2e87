/** A command's outside world for tests: everything it writes is kept. */
import type { Clock } from '../../common/clock.ts';
import type { CommandIo, OutputStream } from '../../common/command.ts';

export interface CapturedIo extends CommandIo {
  readonly out: () => string;
  readonly err: () => string;
}

export function capturedIo(
  options: {
    isTTY?: boolean;
    env?: Record<string, string>;
    cwd?: string;
    /** All of standard input; empty by default. */
    input?: string;
    clock?: Clock;
  } = {},
): CapturedIo {
  const pieces = options.input === undefined ? [] : [options.input];
  const texts = { out: '', err: '' };
  const stream = (key: 'out' | 'err'): OutputStream => ({
    isTTY: options.isTTY ?? false,
    columns: 80,
    rows: 24,
    write: (chunk) => {
      texts[key] += typeof chunk === 'string' ? chunk : new TextDecoder().decode(chunk);
    },
  });
  return {
    stdout: stream('out'),
    stderr: stream('err'),
    env: options.env ?? {},
    cwd: options.cwd ?? '/',
    clock: options.clock,
    input: async () => pieces.shift() ?? null,
    out: () => texts.out,
    err: () => texts.err,
  };
}
