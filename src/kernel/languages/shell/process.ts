/** A running interactive shell that tells the end of each sourced file by a mark in its output. */
import { basename } from 'node:path';
import { MarkScanner } from '../../process/markers.ts';
import { pump } from '../../process/pump.ts';
import { type Program, type ProgramExit, startProgram } from '../../process/spawn.ts';
import { Barrier } from '../barrier.ts';
import type { IdleOutput, Workplace } from '../language.ts';

export class ShellProcess {
  /** Resolves when the shell has ended and all its output was delivered. */
  readonly ended: Promise<ProgramExit>;
  private readonly program: Program;
  private readonly workplace: Workplace;
  private readonly output: IdleOutput;
  private readonly nonce: string;
  private readonly barrier: Barrier;
  private readonly isBash: boolean;
  private sequence = 0;
  /** Output before the first mark is the shell's complaint about having no terminal. */
  private silent = true;
  private over = false;
  private finish: (exitCode: number | null) => void = () => undefined;

  /** Starts the shell and waits until it takes commands. Rejects when it does not. */
  static async start(
    interpreter: string,
    workplace: Workplace,
    output: IdleOutput,
    nonce: string,
  ): Promise<ShellProcess> {
    const isBash = basename(interpreter).startsWith('bash');
    const args = isBash ? ['--norc', '--noprofile', '--noediting', '-i'] : ['-i'];
    const env = {
      ...workplace.env,
      PS1: '',
      PS2: '',
      ENV: '',
      HISTFILE: '',
      VIRTUAL_ENV_DISABLE_PROMPT: '1',
    };
    const program = await startProgram({
      command: interpreter,
      args,
      cwd: workplace.cwd,
      env,
      stdin: true,
    });
    const shell = new ShellProcess(program, isBash, workplace, output, nonce);
    // Marks go to copies of the output streams, so redirecting those does not hide them.
    const ready = shell.perform(`exec 8>&1 9>&2; ${shell.promptSetup()}`);
    if ((await ready) === null) throw new Error('it ended at once');
    return shell;
  }

  private constructor(
    program: Program,
    isBash: boolean,
    workplace: Workplace,
    output: IdleOutput,
    nonce: string,
  ) {
    this.program = program;
    this.isBash = isBash;
    this.workplace = workplace;
    this.output = output;
    this.nonce = nonce;
    this.barrier = new Barrier(async (mark) => this.arrived(mark));
    this.ended = this.watch();
  }

  /** Runs a file in the shell's own state. @returns its last status; null when the shell ended. */
  source(path: string): Promise<number | null> {
    return this.perform(`. '${path}' </dev/null`);
  }

  signal(name: NodeJS.Signals): void {
    this.program.signal(name);
  }

  /** Ends what runs in the foreground; the shell itself drops the rest of the file and goes on. */
  interrupt(): void {
    this.program.signal('SIGINT');
  }

  private perform(command: string): Promise<number | null> {
    this.sequence += 1;
    const finished = new Promise<number | null>((resolve) => {
      this.finish = resolve;
      if (this.over) resolve(null);
    });
    const number = String(this.sequence);
    if (this.isBash) this.write(`${command}\n__s=$?; ${this.markCommand(number, '$__s')}\n`);
    else this.write(`__n=${number}; ${command}\n`);
    return finished;
  }

  /** Prints a mark to the copies of both output streams. */
  private markCommand(sequence: string, status: string): string {
    const print = `printf '\\036${this.nonce}:%s %s\\037' "${sequence}" "${status}"`;
    return `${print} >&8; ${print} >&9`;
  }

  /**
   * Shells other than bash forget the input they have read ahead when they are interrupted or meet
   * a syntax error, so there the prompt, which is always printed, prints the mark.
   */
  private promptSetup(): string {
    if (this.isBash) return 'set +o history +H';
    const prompt = `$(__s=$?; ${this.markCommand('$__n', '$__s')})`;
    return `PS1='${prompt.replaceAll("'", "'\\''")}'`;
  }

  private write(text: string): void {
    this.program.stdin?.write(text);
  }

  private arrived(mark: string): void {
    this.silent = false;
    this.finish(Number(mark.split(' ')[1]));
  }

  private async watch(): Promise<ProgramExit> {
    this.program.stdin?.on('error', () => {
      // The shell has ended; `exited` tells how.
    });
    const [exit] = await Promise.all([
      this.program.exited,
      this.readStream('stdout'),
      this.readStream('stderr'),
    ]);
    this.over = true;
    this.finish(null);
    return exit;
  }

  private async readStream(stream: 'stdout' | 'stderr'): Promise<void> {
    const scanner = new MarkScanner(this.nonce);
    const consume = async (chunk: Uint8Array) => {
      for (const token of scanner.push(chunk)) {
        if (token.kind === 'mark') await this.barrier.arrive(stream, token.text);
        else if (!this.silent) await this.output(stream, token.bytes);
      }
    };
    await pump(this.program[stream], this.program.exited, consume, this.workplace.clock);
    this.barrier.abandon();
    const rest = scanner.flush();
    if (rest.length > 0) await this.output(stream, rest);
  }
}
