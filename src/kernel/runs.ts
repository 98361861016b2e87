/** The runs of one kernel: one at a time, a short queue behind it, and the last few results. */
import type { Clock } from '../common/clock.ts';
import { errorMessage } from '../common/errors.ts';
import type { ExecuteRequest, ExecuteSlice } from '../common/protocol/execution.ts';
import type { ContainerLog } from './container-log.ts';
import { RunnerError } from './errors.ts';
import { type Caller, type Executor, Run } from './run.ts';

export const MAX_QUEUED_RUNS = 16;
/** Finished runs whose output can still be fetched. */
const MAX_FINISHED_RUNS = 8;

/** Makes the executor of a query or batch request. */
export type ExecutorFactory = (request: ExecuteRequest) => Executor;

export class Runs {
  private readonly runs = new Map<string, Run>();
  private readonly queue: Run[] = [];
  private active: Run | null = null;
  private readonly makeExecutor: ExecutorFactory;
  private readonly log: ContainerLog;
  private readonly clock: Clock;

  constructor(makeExecutor: ExecutorFactory, log: ContainerLog, clock: Clock) {
    this.makeExecutor = makeExecutor;
    this.log = log;
    this.clock = clock;
  }

  /** Starts, continues or feeds a run and answers its next slice. */
  async execute(request: ExecuteRequest, caller: Caller): Promise<ExecuteSlice> {
    if (request.mode === 'query' || request.mode === 'batch') {
      return await this.start(request).pull(request, caller);
    }
    const run = this.runs.get(request.runId);
    if (run === undefined) throw new RunnerError('not-found', `There is no run ${request.runId}.`);
    if (request.mode === 'input') run.input(request.code);
    return await run.pull(request, caller);
  }

  /** Interrupts the active run; without one, does nothing. */
  interrupt(): void {
    this.active?.interrupt();
  }

  private start(request: ExecuteRequest): Run {
    const existing = this.runs.get(request.runId);
    if (existing !== undefined && !existing.finished) {
      throw new RunnerError('bad-request', `Run ${request.runId} has not finished yet.`);
    }
    if (this.queue.length >= MAX_QUEUED_RUNS) {
      throw new RunnerError(
        'busy',
        `${MAX_QUEUED_RUNS} runs are waiting already; try again later.`,
      );
    }
    const run = new Run(request.runId, this.makeExecutor(request), this.clock);
    this.runs.delete(run.id);
    this.runs.set(run.id, run);
    this.queue.push(run);
    this.advance();
    return run;
  }

  private advance(): void {
    if (this.active !== null) return;
    const run = this.queue.shift();
    if (run === undefined) return;
    this.active = run;
    this.perform(run).finally(() => {
      this.active = null;
      this.forgetOldRuns();
      this.advance();
    });
  }

  private async perform(run: Run): Promise<void> {
    const sink = run.sink((stream, chunk) => this.log.write(stream === 'stdout' ? 1 : 2, chunk));
    let exitCode: number;
    try {
      exitCode = await run.executor.run(sink);
    } catch (error) {
      await sink.text('stderr', `The runner could not execute this: ${errorMessage(error)}\n`);
      exitCode = 1;
    }
    await run.finish(exitCode);
  }

  private forgetOldRuns(): void {
    const finished = [...this.runs.values()].filter((run) => run.finished);
    for (const run of finished.slice(0, -MAX_FINISHED_RUNS)) this.runs.delete(run.id);
  }
}
