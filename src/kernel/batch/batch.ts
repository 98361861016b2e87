/** Batch mode: clean, build and execute, each a shell command in the working folder. */
import { readdirSync } from 'node:fs';
import { errorMessage } from '../../common/errors.ts';
import type { ExecuteRequest } from '../../common/protocol/execution.ts';
import type { Workplace } from '../languages/language.ts';
import { pump } from '../process/pump.ts';
import { type Program, startProgram } from '../process/spawn.ts';
import type { Executor, RunSink } from '../run.ts';
import { type BatchStep, guessCommand } from './heuristics.ts';
import { TaskLog, taskLogPath } from './task-log.ts';

const EXIT_NOT_RUN = 127;
const EXIT_INTERRUPTED = 130;
/** Signals sent by the first, second and any further interrupt of one run. */
const INTERRUPT_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGKILL'] as const;

export class BatchExecutor implements Executor {
  private readonly commands: ExecuteRequest['options'];
  private readonly workplace: Workplace;
  private readonly python: string | null;
  private readonly onEnd: () => void;
  private program: Program | null = null;
  private interrupts = 0;
  private log: TaskLog | null = null;

  /** @param python the image's own Python, when its labels name one. */
  constructor(
    commands: ExecuteRequest['options'],
    workplace: Workplace,
    python: string | null,
    onEnd: () => void,
  ) {
    this.commands = commands;
    this.workplace = workplace;
    this.python = python;
    this.onEnd = onEnd;
  }

  async run(sink: RunSink): Promise<number> {
    try {
      await this.openLog(sink);
      const cleaned = await this.step('clean', sink);
      if (cleaned !== null) sink.step('clean-finished', cleaned);
      const built = await this.step('build', sink);
      if (built !== null) sink.step('build-finished', built);
      if (built !== null && built !== 0) {
        await sink.text('stderr', 'The build failed, so nothing was executed.\n');
        return EXIT_NOT_RUN;
      }
      return (await this.step('exec', sink)) ?? 0;
    } finally {
      this.onEnd();
      await this.log?.close();
    }
  }

  interrupt(): void {
    const signal = INTERRUPT_SIGNALS[Math.min(this.interrupts, INTERRUPT_SIGNALS.length - 1)];
    this.interrupts += 1;
    if (signal !== undefined) this.program?.signal(signal);
  }

  input(): void {
    // Commands have /dev/null as their standard input, so they never ask.
  }

  stop(): void {
    this.interrupts += 1;
    this.program?.signal('SIGKILL');
  }

  /** @returns the step's exit code; null when it is skipped. */
  private async step(step: BatchStep, sink: RunSink): Promise<number | null> {
    const wanted = this.commands[step] ?? '';
    if (wanted === '') return null;
    if (this.interrupts > 0) return EXIT_INTERRUPTED;
    if (wanted !== '*') return await this.shell(wanted, sink);
    const guess = guessCommand(step, readdirSync(this.workplace.cwd), this.python);
    if (guess.command !== null) return await this.shell(guess.command, sink);
    if (guess.problem === null) return 0;
    await sink.text('stderr', `${guess.problem}\n`);
    return EXIT_NOT_RUN;
  }

  private async shell(command: string, sink: RunSink): Promise<number> {
    const { clock, cwd, env } = this.workplace;
    let program: Program;
    try {
      program = await startProgram({
        command: '/bin/sh',
        args: ['-c', command],
        cwd,
        // Python would else keep its output back until it has some kilobytes of it.
        env: { PYTHONUNBUFFERED: '1', ...env, _BACKEND_BATCH_MODE: '1' },
      });
    } catch (error) {
      await sink.text('stderr', `/bin/sh could not be started: ${errorMessage(error)}\n`);
      return EXIT_NOT_RUN;
    }
    this.program = program;
    if (this.interrupts > 0) program.signal('SIGINT');
    const pass = (stream: 'stdout' | 'stderr') =>
      pump(program[stream], program.exited, (chunk) => this.output(stream, chunk, sink), clock);
    const [exit] = await Promise.all([program.exited, pass('stdout'), pass('stderr')]);
    this.program = null;
    return exit.exitCode;
  }

  private async output(
    stream: 'stdout' | 'stderr',
    chunk: Uint8Array,
    sink: RunSink,
  ): Promise<void> {
    await sink.bytes(stream, chunk);
    const problem = (await this.log?.write(chunk)) ?? null;
    if (problem !== null) await sink.text('stderr', `[the task log ends here: ${problem}]\n`);
  }

  private async openLog(sink: RunSink): Promise<void> {
    const path = taskLogPath(this.workplace.cwd, this.workplace.env.BACKENDAI_KERNEL_ID ?? '');
    if (path === null) return;
    try {
      this.log = await TaskLog.open(path);
    } catch (error) {
      await sink.text('stderr', `[no task log: ${errorMessage(error)}]\n`);
    }
  }
}
