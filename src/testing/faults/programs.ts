/** This program as child processes of a test: commands that end, and servers that are killed. */
import { expect } from 'bun:test';
import { selfCommand } from '../../common/executable.ts';
import { hireJanitor } from '../janitor.ts';
import { until } from '../until.ts';

/** Longest time a command may take before the test gives up on it. */
const COMMAND_TIMEOUT_MS = 30_000;
const EXIT_TIMEOUT_MS = 20_000;
const MAX_OUTPUT_CHARACTERS = 200_000;

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly cwd: string;
  /** Added to a clean environment: nothing of the test run's own settings comes through. */
  readonly env?: Readonly<Record<string, string>>;
  /** A command that runs the rest of its line somewhere else: on a machine of a test network. */
  readonly inside?: readonly string[];
  /** All of standard input; none by default. */
  readonly input?: string;
  /** How another version is started; this one by default. */
  readonly program?: readonly string[];
}

function environment({ cwd, env }: ProgramOptions): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '',
    HOME: cwd,
    LANG: 'C.UTF-8',
    BUN_RUNTIME_TRANSPILER_CACHE_PATH: process.env.BUN_RUNTIME_TRANSPILER_CACHE_PATH ?? '0',
    ...env,
  };
}

/** A running `backend.ai …`, whose output is kept. */
export class Program {
  readonly #name: string;
  readonly #child: Bun.Subprocess<'ignore' | Uint8Array, 'pipe', 'pipe'>;
  readonly #reading: Promise<unknown>;
  #stdout = '';
  #stderr = '';

  constructor(args: readonly string[], options: ProgramOptions) {
    this.#name = `backend.ai ${args.join(' ')}`;
    const program = options.program ?? selfCommand();
    this.#child = Bun.spawn([...(options.inside ?? []), ...program, ...args], {
      cwd: options.cwd,
      stdin: options.input === undefined ? 'ignore' : new TextEncoder().encode(options.input),
      stdout: 'pipe',
      stderr: 'pipe',
      env: environment(options),
    });
    const janitor = hireJanitor(this.#child.pid, '', 'TERM');
    void this.#child.exited.then(() => janitor.dismiss());
    const keep = (text: string) => text.slice(-MAX_OUTPUT_CHARACTERS);
    const read = async (stream: ReadableStream<Uint8Array>, take: (text: string) => void) => {
      const decoder = new TextDecoder();
      for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
    };
    this.#reading = Promise.all([
      read(this.#child.stdout, (text) => {
        this.#stdout = keep(this.#stdout + text);
      }),
      read(this.#child.stderr, (text) => {
        this.#stderr = keep(this.#stderr + text);
      }),
    ]);
  }

  get pid(): number {
    return this.#child.pid;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Waits until the program wrote `text` to stderr or stdout. @throws when it ends before. */
  async says(text: string | RegExp, deadlineMs = COMMAND_TIMEOUT_MS): Promise<void> {
    const has = (output: string) =>
      typeof text === 'string' ? output.includes(text) : text.test(output);
    await until(
      () => {
        if (has(this.#stderr) || has(this.#stdout)) return true;
        if (this.isRunning) return false;
        throw new Error(`${this.#name} ended without ${text}:\n${this.#stdout}${this.#stderr}`);
      },
      `${this.#name} says ${text}`,
      deadlineMs,
    );
  }

  signal(name: NodeJS.Signals): void {
    if (this.isRunning) this.#child.kill(name);
  }

  /** The end of the process, however it comes. @throws when it does not come in time. */
  async ended(deadlineMs = EXIT_TIMEOUT_MS): Promise<Outcome> {
    const done = Promise.all([this.#child.exited, this.#reading]).then(() => true);
    const { promise: late, resolve } = Promise.withResolvers<false>();
    const timer = setTimeout(() => resolve(false), deadlineMs);
    const isDone = await Promise.race([done, late]).finally(() => clearTimeout(timer));
    if (!isDone) {
      this.signal('SIGKILL');
      throw new Error(
        `${this.#name} did not end in ${deadlineMs} ms:\n${this.#stdout}\n${this.#stderr}`,
      );
    }
    return { code: this.#child.exitCode ?? -1, stdout: this.#stdout, stderr: this.#stderr };
  }

  /** As a crash or the kernel's out-of-memory killer would end it. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#child.exited;
  }

  /** SIGTERM, and its end. */
  async stop(): Promise<Outcome> {
    this.signal('SIGTERM');
    return this.ended();
  }
}

/** Runs a command to its end. */
export async function runCli(
  args: readonly string[],
  options: ProgramOptions & { readonly timeoutMs?: number },
): Promise<Outcome> {
  return new Program(args, options).ended(options.timeoutMs ?? COMMAND_TIMEOUT_MS);
}

/** Asserts that a command failed in words for people: an exit code, a message, no stack trace. */
export function expectClearFailure(outcome: Outcome, ...texts: (string | RegExp)[]): void {
  const output = outcome.stderr + outcome.stdout;
  for (const text of texts) {
    if (typeof text === 'string') expect(output).toContain(text);
    else expect(output).toMatch(text);
  }
  // Bun shows an unexpected error as lines of the source and the calls that led there.
  expect(output).not.toMatch(/^ {2,}at |^ *\d+ \| /m);
  expect(outcome.code).toBeGreaterThan(0);
}

/** As `runCli`, for a command that must succeed. */
export async function mustRun(
  args: readonly string[],
  options: ProgramOptions & { readonly timeoutMs?: number },
): Promise<Outcome> {
  const outcome = await runCli(args, options);
  if (outcome.code !== 0) {
    throw new Error(`backend.ai ${args.join(' ')} ended with ${outcome.code}: ${outcome.stderr}`);
  }
  return outcome;
}
