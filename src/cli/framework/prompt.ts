/** Questions on the terminal: a line (optionally hidden), a yes or no, or one key. */
import type { CommandIo } from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { Aborted } from './failures.ts';

const CTRL_C = '\u0003';
const CTRL_D = '\u0004';
const MAX_LINE_CHARS = 64 * 1024;

/**
 * The next piece of standard input, null at its end. The stream is paused in between, so that
 * nothing is taken that is not asked for and a hidden line can follow a shown one.
 */
async function nextChunk(stream: NodeJS.ReadStream): Promise<string | null> {
  if (stream.readableEnded || stream.destroyed) return null;
  return await new Promise((resolve, reject) => {
    const settle = (finish: () => void) => {
      stream.off('data', onData);
      stream.off('end', onEnd);
      stream.off('error', onError);
      stream.pause();
      finish();
    };
    const onData = (chunk: Buffer | string) => settle(() => resolve(chunk.toString()));
    const onEnd = () => settle(() => resolve(null));
    const onError = (error: Error) => settle(() => reject(error));
    stream.on('data', onData);
    stream.on('end', onEnd);
    stream.on('error', onError);
    stream.resume();
  });
}

/** Lines of an input; keep one reader per input, since it may hold more than a line. */
export class LineReader {
  private readonly nextChunk: () => Promise<string | null>;
  private pending = '';
  private ended = false;

  constructor(source: () => Promise<string | null> = () => nextChunk(process.stdin)) {
    this.nextChunk = source;
  }

  /** The next line without its line break; null at the end of the input. */
  async next(): Promise<string | null> {
    for (;;) {
      const at = this.pending.indexOf('\n');
      if (at >= 0) {
        const line = this.pending.slice(0, at).replace(/\r$/, '');
        this.pending = this.pending.slice(at + 1);
        return line;
      }
      if (this.ended || this.pending.length > MAX_LINE_CHARS) {
        const line = this.pending;
        this.pending = '';
        return line === '' ? null : line;
      }
      const chunk = await this.nextChunk();
      if (chunk === null) this.ended = true;
      else this.pending += chunk;
    }
  }
}

/** A question that is answered with a line. @throws Aborted when the input has ended. */
export async function askLine(io: CommandIo, lines: LineReader, question: string): Promise<string> {
  io.stderr.write(question);
  const line = await lines.next();
  if (line === null) throw new Aborted('There is no more input.');
  return line;
}

/** A question whose answer is not shown, if it comes from a terminal. @throws Aborted likewise. */
export async function askHiddenLine(
  io: CommandIo,
  lines: LineReader,
  question: string,
): Promise<string> {
  if (io.input !== undefined || !process.stdin.isTTY) return askLine(io, lines, question);
  const answer = readHiddenLine(io);
  io.stderr.write(question);
  const line = await answer;
  if (line === null) throw new Aborted('There is no more input.');
  return line;
}

/** Wrong answers to a yes-or-no question before it is given up. */
const MAX_ATTEMPTS = 10;

/** Asks whether to go on; Enter means yes. @throws Aborted when the input has ended. */
export async function confirm(
  io: CommandIo,
  lines: LineReader,
  question = 'Are you sure?',
): Promise<boolean> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const answer = (await askLine(io, lines, `${question} [Y/n] `)).trim().toLowerCase();
    if (['', 'y', 'yes'].includes(answer)) return true;
    if (['n', 'no'].includes(answer)) return false;
    io.stderr.write('Please answer y or n.\n');
  }
  throw new Aborted('No answer is a yes or a no.');
}

/** Largest text taken from standard input. Characters. */
const MAX_TEXT_CHARS = 16 * 1024 * 1024;

/** All of standard input. @throws UserError when it is larger than any text we take. */
export async function readInput(io: CommandIo): Promise<string> {
  const next = io.input ?? (() => nextChunk(process.stdin));
  let text = '';
  for (let chunk = await next(); chunk !== null; chunk = await next()) {
    text += chunk;
    if (text.length > MAX_TEXT_CHARS) throw new UserError('Standard input is too large.');
  }
  return text;
}

async function* rawKeys(): AsyncGenerator<string, void, undefined> {
  process.stdin.setRawMode(true);
  try {
    for (;;) {
      const chunk = await nextChunk(process.stdin);
      if (chunk === null) return;
      yield* chunk;
    }
  } finally {
    process.stdin.setRawMode(false);
  }
}

/** Raises the signal that the terminal would have raised outside raw mode. */
function interrupt(): void {
  process.kill(process.pid, 'SIGINT');
}

/** Shows `prompt` on stderr and waits for one key; the prompt is erased again. */
export async function readKey(io: CommandIo, prompt: string): Promise<string> {
  if (!process.stdin.isTTY) return 'q';
  io.stderr.write(prompt);
  let key = 'q';
  for await (const pressed of rawKeys()) {
    key = pressed === CTRL_C || pressed === CTRL_D ? 'q' : pressed;
    break;
  }
  io.stderr.write(`\r${' '.repeat(prompt.length)}\r`);
  return key;
}

/**
 * Reads a line from the terminal without showing it; null when the input ends. Echo is off when this
 * returns its promise: ask first, then print the prompt.
 */
export async function readHiddenLine(io: CommandIo): Promise<string | null> {
  let line = '';
  for await (const key of rawKeys()) {
    if (key === CTRL_C) {
      interrupt();
      return null;
    }
    if (key === CTRL_D && line === '') return null;
    if (key === '\r' || key === '\n') {
      io.stderr.write('\n');
      return line;
    }
    if (key === '\u007f' || key === '\b') line = line.slice(0, -1);
    else if (key >= ' ' && line.length < MAX_LINE_CHARS) line += key;
  }
  return null;
}
