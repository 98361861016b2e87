/** One execution: its output buffer, its state, and the rules for handing out slices. */
import type { Clock } from '../common/clock.ts';
import type { ConsoleItem, ExecuteRequest, ExecuteSlice } from '../common/protocol/execution.ts';
import { RunnerError } from './errors.ts';
import { OutputBuffer, SLICE_CHARS } from './output.ts';

/** How long an eager pull waits for more after the first output. */
const COALESCE_MS = 5;

/** Where an executor puts what happens during a run. Writers are awaited: that is backpressure. */
export interface RunSink {
  bytes(stream: 'stdout' | 'stderr', chunk: Uint8Array): Promise<void>;
  text(stream: 'stdout' | 'stderr', text: string): Promise<void>;
  /** Output from before this run, echoed to the container's log already. */
  earlier(stream: 'stdout' | 'stderr', chunk: Uint8Array): Promise<void>;
  record(item: ConsoleItem): Promise<void>;
  /** The program waits for a line. */
  prompt(isPassword: boolean): void;
  /** A batch step has ended and another follows. */
  step(status: 'clean-finished' | 'build-finished', exitCode: number): void;
}

/** What a run does; created when its turn comes. */
export interface Executor {
  /** @returns the exit code. Rejecting means that the runner itself failed. */
  run(sink: RunSink): Promise<number>;
  /** Called any number of times while `run` is pending. */
  interrupt(): void;
  /** Answers a prompt; `line` has no line ending. */
  input(line: string): void;
}

/** Whoever asked for a slice. */
export interface Caller {
  /** Aborts when the caller is gone. */
  readonly signal: AbortSignal;
  /** `undo` is called, once at most, when the answer could not be sent. */
  onUndelivered(undo: () => void): void;
}

export type Pull = Pick<ExecuteRequest, 'waitMs' | 'eager'>;

export class Run {
  readonly id: string;
  readonly executor: Executor;
  readonly buffer: OutputBuffer;
  private readonly clock: Clock;
  private readonly decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  private pendingPrompt: { isPassword: boolean } | null = null;
  private exitCode: number | null = null;
  private finalSliceTaken = false;

  constructor(id: string, executor: Executor, clock: Clock) {
    this.id = id;
    this.executor = executor;
    this.buffer = new OutputBuffer(clock);
    this.clock = clock;
  }

  get finished(): boolean {
    return this.exitCode !== null;
  }

  /** The sink of this run; `echo` receives the raw bytes as well. */
  sink(echo: (stream: 'stdout' | 'stderr', chunk: Uint8Array) => Promise<void>): RunSink {
    return {
      bytes: async (stream, chunk) => {
        await this.buffer.writeText(stream, this.decoders[stream].decode(chunk, { stream: true }));
        await echo(stream, chunk);
      },
      earlier: (stream, chunk) =>
        this.buffer.writeText(stream, this.decoders[stream].decode(chunk, { stream: true })),
      text: async (stream, text) => {
        await this.buffer.writeText(stream, text);
        await echo(stream, new TextEncoder().encode(text));
      },
      record: (item) => this.buffer.writeRecord(item),
      prompt: (isPassword) => {
        this.pendingPrompt = { isPassword };
        this.buffer.mark({ status: 'waiting-input', exitCode: null, isPassword });
      },
      step: (status, exitCode) => this.buffer.mark({ status, exitCode, isPassword: false }),
    };
  }

  /** Ends the run; what is left of a cut character becomes U+FFFD. */
  async finish(exitCode: number): Promise<void> {
    for (const stream of ['stdout', 'stderr'] as const) {
      await this.buffer.writeText(stream, this.decoders[stream].decode());
    }
    this.pendingPrompt = null;
    this.exitCode = exitCode;
    this.buffer.mark({ status: 'finished', exitCode, isPassword: false });
  }

  interrupt(): void {
    this.pendingPrompt = null;
    this.buffer.dropWhenFull();
    this.executor.interrupt();
  }

  input(line: string): void {
    if (this.pendingPrompt === null) {
      throw new RunnerError('bad-request', `Run ${this.id} is not waiting for input.`);
    }
    this.pendingPrompt = null;
    this.executor.input(line);
  }

  /** The next slice, by the rules of ExecuteRequest. Takes nothing once the caller is gone. */
  async pull(request: Pull, caller: Caller): Promise<ExecuteSlice> {
    const { signal } = caller;
    const deadlineMs = this.clock.monotonicMs() + request.waitMs;
    let firstOutputMs: number | null = null;
    while (!signal.aborted) {
      const nowMs = this.clock.monotonicMs();
      if (this.finalSliceTaken || this.buffer.hasBoundary) break;
      if (this.buffer.size >= SLICE_CHARS || nowMs >= deadlineMs) break;
      let waitMs = deadlineMs - nowMs;
      if (request.eager && this.buffer.size > 0) {
        firstOutputMs ??= nowMs;
        const coalesceLeftMs = firstOutputMs + COALESCE_MS - nowMs;
        if (coalesceLeftMs <= 0) break;
        waitMs = Math.min(waitMs, coalesceLeftMs);
      }
      await this.buffer.arrival(waitMs, signal);
    }
    if (signal.aborted) throw new RunnerError('failed', 'The connection was closed.');
    return this.takeSlice(caller);
  }

  private takeSlice(caller: Caller): ExecuteSlice {
    const taken = this.buffer.take();
    const { console, boundary } = taken;
    const isFinal = boundary?.status === 'finished';
    if (isFinal) this.finalSliceTaken = true;
    caller.onUndelivered(() => {
      if (isFinal) this.finalSliceTaken = false;
      this.buffer.putBack(taken);
    });
    if (boundary !== null) return { runId: this.id, console, ...boundary };
    const slice = { runId: this.id, console, exitCode: null, isPassword: false };
    if (this.finalSliceTaken) return { ...slice, status: 'finished', exitCode: this.exitCode };
    if (this.pendingPrompt !== null && console.length === 0 && !this.buffer.hasBoundary) {
      return { ...slice, status: 'waiting-input', isPassword: this.pendingPrompt.isPassword };
    }
    return { ...slice, status: 'continued' };
  }
}
