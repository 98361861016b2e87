/** Query mode on a language process with a driver: restarts it when it is gone. */

import { errorMessage } from '../../common/errors.ts';
import type { CompletionRequest } from '../../common/protocol/execution.ts';
import type { Random } from '../../common/random.ts';
import type { ProgramExit } from '../process/spawn.ts';
import type { RunSink } from '../run.ts';
import { DriverProcess, type DriverSource, describeExit } from './driver-process.ts';
import type { IdleOutput, LanguageSession, Workplace } from './language.ts';
import type { OrderedMessage } from './messages.ts';

/** After this many interrupts of one run the process is killed. */
const KILL_AFTER_INTERRUPTS = 3;
/** How long a driver that hears interrupts may take to do so when its code awaits. */
const HEARING_MS = 100;
const COMPLETION_TIMEOUT_MS = 5000;
const EXIT_CANNOT_START = 127;

export class DriverSession implements LanguageSession {
  private readonly title: string;
  private readonly source: DriverSource;
  private readonly workplace: Workplace;
  private readonly idle: IdleOutput;
  private readonly random: Random;
  private process: DriverProcess | null = null;
  private starting: Promise<DriverProcess> | null = null;
  private sink: RunSink | null = null;
  private finishRun: (outcome: number | ProgramExit) => void = () => undefined;
  private interrupts = 0;
  private runCount = 0;
  private completionCount = 0;
  private readonly completions = new Map<number, (suggestions: string[]) => void>();

  /** @param title what the language is called in messages to the user. */
  constructor(
    title: string,
    source: DriverSource,
    workplace: Workplace,
    idle: IdleOutput,
    random: Random,
  ) {
    this.title = title;
    this.source = source;
    this.workplace = workplace;
    this.idle = idle;
    this.random = random;
  }

  async warmUp(): Promise<void> {
    await this.ensureProcess();
  }

  async run(code: string, sink: RunSink): Promise<number> {
    this.sink = sink;
    this.interrupts = 0;
    this.runCount += 1;
    try {
      const process = await this.ensureProcess();
      process.send({ op: 'run', code, name: this.runName() });
      const outcome = await this.outcome(process);
      if (typeof outcome === 'number') return outcome;
      await this.tellLoss(outcome, sink);
      return outcome.exitCode;
    } catch (error) {
      await sink.text('stderr', `${this.title} could not be started: ${errorMessage(error)}\n`);
      return EXIT_CANNOT_START;
    } finally {
      this.sink = null;
    }
  }

  input(line: string): void {
    this.process?.send({ op: 'input', line });
  }

  interrupt(): void {
    const { process } = this;
    if (process === null) return;
    this.interrupts += 1;
    if (this.interrupts >= KILL_AFTER_INTERRUPTS) process.signal('SIGKILL');
    else if (this.source.hearsInterrupts) this.tellInterrupt(process);
    else process.signal('SIGINT');
  }

  /** Code that awaits ends by the command; code that does not hear it computes, and gets a signal. */
  private tellInterrupt(process: DriverProcess): void {
    const name = this.runName();
    process.send({ op: 'interrupt', name });
    this.workplace.clock.timer(HEARING_MS, () => {
      if (this.sink !== null && this.runName() === name) process.signal('SIGINT');
    });
  }

  private runName(): string {
    return `<run ${this.runCount}>`;
  }

  async complete(request: CompletionRequest): Promise<string[]> {
    if (this.sink !== null) return [];
    const process = await this.ensureProcess();
    this.completionCount += 1;
    const id = this.completionCount;
    const answer = new Promise<string[]>((resolve) => this.completions.set(id, resolve));
    const line = request.options.line ?? request.code.split('\n').at(-1) ?? '';
    process.send({ op: 'complete', id, code: request.code, line });
    const none = this.workplace.clock.sleep(COMPLETION_TIMEOUT_MS).then(() => []);
    const suggestions = await Promise.race([answer, none, process.ended.then(() => [])]);
    this.completions.delete(id);
    return suggestions;
  }

  stop(): void {
    this.process?.signal('SIGKILL');
  }

  private async ensureProcess(): Promise<DriverProcess> {
    if (this.process !== null) return this.process;
    this.starting ??= this.start().finally(() => {
      this.starting = null;
    });
    return await this.starting;
  }

  private async start(): Promise<DriverProcess> {
    const listener = {
      output: (stream: 'stdout' | 'stderr', chunk: Uint8Array) =>
        this.sink === null ? this.idle(stream, chunk) : this.sink.bytes(stream, chunk),
      event: (message: OrderedMessage) => this.handle(message),
      completion: (id: number, suggestions: string[]) => this.completions.get(id)?.(suggestions),
    };
    const nonce = Buffer.from(this.random.bytes(8)).toString('hex');
    const process = await DriverProcess.start(this.source, listener, this.workplace, nonce);
    this.process = process;
    process.ended.then((exit) => {
      if (this.process !== process) return;
      this.process = null;
      this.finishRun(exit);
    });
    return process;
  }

  private async handle(message: OrderedMessage): Promise<void> {
    if (message.type === 'done') {
      this.finishRun(message.exitCode);
      return;
    }
    const sink = this.sink;
    if (sink === null) return;
    if (message.type === 'stderr') await sink.text('stderr', message.text);
    else if (message.type === 'html') await sink.record(['html', message.data]);
    else if (message.type === 'media') await sink.record(['media', [message.mime, message.data]]);
    else sink.prompt(message.password);
  }

  /** The exit code of the current run, or how the process ended during it. */
  private outcome(process: DriverProcess): Promise<number | ProgramExit> {
    return new Promise((resolve) => {
      this.finishRun = resolve;
      if (this.process !== process) void process.ended.then(resolve);
    });
  }

  private async tellLoss(exit: ProgramExit, sink: RunSink): Promise<void> {
    const killed = this.interrupts >= KILL_AFTER_INTERRUPTS;
    const how = killed ? 'ignored interrupts and was killed' : describeExit(exit);
    await sink.text('stderr', `[${this.title} ${how}; its state is lost]\n`);
  }
}
