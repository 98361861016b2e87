/** Runs other programs for a step: their output goes to the log, and they end when the user stops. */
import { UserError } from '../common/errors.ts';
import type { StepContext } from './step.ts';

const DEFAULT_TIMEOUT_MS = 120_000;
/** Longest wait for a program that was told to end. */
const END_TIMEOUT_MS = 5_000;
const LINES_IN_ERROR = 8;
/** Words of a command line that name it in an error. */
const MAX_NAMED = 5;
const MAX_OUTPUT_CHARACTERS = 1_000_000;

export interface CommandOptions {
  readonly cwd?: string;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  /** Lines that hold secrets stay out of the log. */
  readonly quiet?: boolean;
}

/** Hands over whole lines of a stream. */
async function eachLine(
  stream: ReadableStream<Uint8Array>,
  take: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r?\n|\r/);
    rest = (lines.pop() ?? '').slice(-MAX_OUTPUT_CHARACTERS);
    for (const line of lines) take(line);
  }
  if (rest !== '') take(rest);
}

/**
 * @returns what the program wrote to its standard output.
 * @throws UserError with the end of its output when it fails, lasts too long or cannot be started.
 */
export async function runCommand(
  argv: readonly string[],
  context: StepContext,
  options: CommandOptions = {},
): Promise<string> {
  const firstOption = argv.findIndex((argument) => argument.startsWith('-'));
  const called = argv
    .slice(0, firstOption < 0 ? MAX_NAMED : Math.min(firstOption, MAX_NAMED))
    .join(' ');
  const { timeoutMs = DEFAULT_TIMEOUT_MS, quiet = false } = options;
  const child = Bun.spawn([...argv], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const ending = AbortSignal.any([context.signal, AbortSignal.timeout(timeoutMs)]);
  const end = () => {
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), END_TIMEOUT_MS);
    void child.exited.finally(() => clearTimeout(late));
  };
  if (ending.aborted) end();
  ending.addEventListener('abort', end, { once: true });
  const stdout: string[] = [];
  const tail: string[] = [];
  const note = (line: string) => {
    if (!quiet) context.log(line);
    tail.push(line);
    if (tail.length > LINES_IN_ERROR) tail.shift();
  };
  await Promise.all([
    eachLine(child.stdout, (line) => {
      stdout.push(line);
      note(line);
    }),
    eachLine(child.stderr, note),
  ]);
  const exitCode = await child.exited;
  ending.removeEventListener('abort', end);
  context.signal.throwIfAborted();
  if (ending.aborted) {
    throw new UserError(`${called} was not done after ${timeoutMs / 1000} s.`);
  }
  if (exitCode !== 0) {
    const said = quiet ? '' : `:\n${tail.join('\n')}`;
    throw new UserError(`${called} ended with ${exitCode}${said}`);
  }
  return stdout.join('\n');
}
