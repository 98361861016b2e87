/** Runs code in a session and connects it with this terminal: output, questions, Ctrl-C. */
import type { Client, ConsoleRecord, ExecuteStart, ExecutionSlice } from '../../client/index.ts';
import type { CommandIo, OutputStream } from '../../common/command.ts';
import { errorMessage } from '../../common/errors.ts';
import { type LineReader, readHiddenLine } from '../framework/prompt.ts';
import type { Interrupts } from './interrupts.ts';

/** Where the code's own output and the remarks about it go. */
export interface RunOutput {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** A status line; nothing when quiet. */
  readonly done: (text: string) => void;
  readonly fail: (text: string) => void;
}

export interface Execution {
  readonly client: Client;
  readonly session: string;
  readonly start: ExecuteStart;
  readonly output: RunOutput;
  readonly interrupts: Interrupts;
  /** Answers the code's questions. */
  readonly input: { readonly lines: LineReader; readonly io: CommandIo };
}

const TIMEOUT_EXIT_CODE = 124;

function printRecord(record: ConsoleRecord, output: RunOutput): void {
  const [kind, payload] = record;
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
  if (kind === 'stdout') output.stdout.write(text);
  else if (kind === 'stderr') output.stderr.write(text);
  else {
    output.stdout.write(
      `----- output record (type: ${kind}) -----\n${text}\n----- end of record -----\n`,
    );
  }
}

/** Prints the output of one slice and how a step ended. */
export function printSlice(slice: ExecutionSlice, output: RunOutput): void {
  for (const record of slice.console ?? []) printRecord(record, output);
  const files = slice.files ?? [];
  if (files.length > 0) {
    const lines = files.map((file) => `${file.name}: ${file.url ?? ''}\n`).join('');
    output.stdout.write(`--- generated files ---\n${lines}--- end of generated files ---\n`);
  }
  const exitCode = slice.exitCode ?? 0;
  if (slice.status === 'clean-finished') output.done(`Clean finished. (exit code = ${exitCode})`);
  if (slice.status === 'build-finished') output.done(`Build finished. (exit code = ${exitCode})`);
  if (slice.status === 'finished') output.done(`Execution finished. (exit code = ${exitCode})`);
  if (slice.status === 'exec-timeout') output.fail('The execution took too long and was stopped.');
}

/** Answers one question of the code; the end of the input interrupts the code. */
class Answers {
  private readonly execution: Execution;
  private asking = false;
  /** Whether a question could not be answered. */
  failed = false;

  constructor(execution: Execution) {
    this.execution = execution;
  }

  ask(hidden: boolean, send: (line: string) => void): void {
    if (this.asking) return;
    this.asking = true;
    const { input, output, client, session } = this.execution;
    const line = hidden && process.stdin.isTTY ? readHiddenLine(input.io) : input.lines.next();
    line
      .then(async (text) => {
        if (text !== null) {
          send(text);
          return;
        }
        this.failed = true;
        output.fail('The code asks for input, but there is no more: interrupting it.');
        await client.session.interrupt(session);
      })
      .catch((error) => {
        this.failed = true;
        output.fail(errorMessage(error));
      })
      .finally(() => {
        this.asking = false;
      });
  }
}

/** The exit code of a shell's child: 0 to 255, never 0 for a failure. */
export function shellExitCode(code: number): number {
  if (code < 0) return Math.min(255, 128 - code);
  return code > 255 ? code % 256 || 1 : code;
}

/**
 * Runs to the end.
 * @returns the exit code of the code.
 * @throws Interrupted when the user leaves; ConnectionError when the connection is lost.
 */
export async function execute(execution: Execution): Promise<number> {
  const { client, session, start, output, interrupts } = execution;
  const stream = await client.session.stream(session, start);
  const answers = new Answers(execution);
  const leave = () => stream.close();
  interrupts.leave.addEventListener('abort', leave, { once: true });
  const interrupt = () => {
    client.session.interrupt(session).catch((error) => output.fail(errorMessage(error)));
  };
  let exitCode = 0;
  try {
    await interrupts.during(interrupt, async () => {
      for await (const slice of stream) {
        // Before the prompt is shown, so that nothing typed after it is echoed.
        if (slice.status === 'waiting-input') {
          answers.ask(slice.options?.is_password === true, (line) => stream.sendInput(line));
        }
        printSlice(slice, output);
        if (slice.status === 'exec-timeout') exitCode = TIMEOUT_EXIT_CODE;
        else if (slice.exitCode) exitCode = slice.exitCode;
      }
    });
  } catch (error) {
    interrupts.leave.throwIfAborted();
    throw error;
  } finally {
    interrupts.leave.removeEventListener('abort', leave);
  }
  return answers.failed && exitCode === 0 ? 1 : shellExitCode(exitCode);
}
