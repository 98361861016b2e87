/**
 * Shell in query mode: one interactive bash (or sh) whose working folder and variables stay. Each
 * piece of code is a file that the shell sources, with /dev/null as its standard input; programs
 * that read a line see the end of input.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { errorMessage } from '../../../common/errors.ts';
import type { CompletionRequest } from '../../../common/protocol/execution.ts';
import type { Random } from '../../../common/random.ts';
import type { RunSink } from '../../run.ts';
import { describeExit } from '../driver-process.ts';
import type { IdleOutput, LanguageSession, Workplace } from '../language.ts';
import { ShellProcess } from './process.ts';

const EXIT_CANNOT_START = 127;
const KILL_AFTER_INTERRUPTS = 3;
const COMPLETION_TIMEOUT_MS = 5000;
const MAX_COMPLETIONS = 500;
const MAX_COMPLETION_CHARS = 64 * 1024;

export class ShellSession implements LanguageSession {
  private readonly interpreter: string;
  private readonly workplace: Workplace;
  private readonly idle: IdleOutput;
  private readonly random: Random;
  private process: ShellProcess | null = null;
  private starting: Promise<ShellProcess> | null = null;
  private output: IdleOutput | null = null;
  private interrupts = 0;
  private scripts = 0;
  private folder: string | null = null;

  constructor(interpreter: string, workplace: Workplace, idle: IdleOutput, random: Random) {
    this.interpreter = interpreter;
    this.workplace = workplace;
    this.idle = idle;
    this.random = random;
  }

  async warmUp(): Promise<void> {
    await this.ensureProcess();
  }

  async run(code: string, sink: RunSink): Promise<number> {
    this.output = (stream, chunk) => sink.bytes(stream, chunk);
    this.interrupts = 0;
    try {
      const process = await this.ensureProcess();
      const exitCode = await this.source(process, code);
      if (exitCode !== null) return exitCode;
      const exit = await process.ended;
      if (exit.signal !== null) {
        await sink.text('stderr', `[the shell ${describeExit(exit)}; its state is lost]\n`);
      }
      return exit.exitCode;
    } catch (error) {
      await sink.text('stderr', `The shell could not be started: ${errorMessage(error)}\n`);
      return EXIT_CANNOT_START;
    } finally {
      this.output = null;
    }
  }

  input(): void {
    // Code has /dev/null as its standard input, so it never asks.
  }

  interrupt(): void {
    this.interrupts += 1;
    if (this.interrupts >= KILL_AFTER_INTERRUPTS) this.process?.signal('SIGKILL');
    else this.process?.interrupt();
  }

  async complete(request: CompletionRequest): Promise<string[]> {
    if (this.output !== null || !basename(this.interpreter).startsWith('bash')) return [];
    const line = request.options.line ?? request.code.split('\n').at(-1) ?? '';
    const words = line.split(/[\s;|&()<>]+/);
    const word = words.at(-1) ?? '';
    if (word === '') return [];
    const commands = words.length === 1 ? '-A command ' : '';
    let text = '';
    this.output = async (stream, chunk) => {
      if (stream === 'stdout' && text.length < MAX_COMPLETION_CHARS) {
        text += Buffer.from(chunk).toString('utf8');
      }
    };
    try {
      const process = await this.ensureProcess();
      const quoted = `'${word.replaceAll("'", "'\\''")}'`;
      const done = this.source(process, `compgen ${commands}-A file -- ${quoted}`);
      await Promise.race([done, this.workplace.clock.sleep(COMPLETION_TIMEOUT_MS)]);
    } finally {
      this.output = null;
    }
    const found = text.split('\n').filter((name) => name !== '');
    return [...new Set(found)].sort().slice(0, MAX_COMPLETIONS);
  }

  stop(): void {
    this.process?.signal('SIGKILL');
    if (this.folder !== null) rmSync(this.folder, { recursive: true, force: true });
    this.folder = null;
  }

  /** Sources `code` in the shell. @returns its exit code, or null when the shell ended. */
  private async source(process: ShellProcess, code: string): Promise<number | null> {
    this.folder ??= mkdtempSync(join(tmpdir(), 'shell-'));
    this.scripts += 1;
    const script = join(this.folder, `run-${this.scripts}`);
    writeFileSync(script, code.endsWith('\n') ? code : `${code}\n`, { mode: 0o600 });
    try {
      return await process.source(script);
    } finally {
      rmSync(script, { force: true });
    }
  }

  private async ensureProcess(): Promise<ShellProcess> {
    if (this.process !== null) return this.process;
    this.starting ??= this.start().finally(() => {
      this.starting = null;
    });
    return await this.starting;
  }

  private async start(): Promise<ShellProcess> {
    const output: IdleOutput = (stream, chunk) => (this.output ?? this.idle)(stream, chunk);
    const nonce = Buffer.from(this.random.bytes(8)).toString('hex');
    const process = await ShellProcess.start(this.interpreter, this.workplace, output, nonce);
    this.process = process;
    process.ended.then(() => {
      if (this.process === process) this.process = null;
    });
    return process;
  }
}
