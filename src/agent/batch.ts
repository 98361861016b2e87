/** Runs the startup command of a batch session to its end. */
import type { Clock } from '../common/clock.ts';
import { BackendError } from '../common/errors.ts';
import type { ExecuteSlice } from '../common/protocol/execution.ts';
import type { TerminationReason } from '../common/protocol/kernel.ts';
import type { RunnerClient } from './backends/backend.ts';

/** The same for every start of the agent, so that a run is picked up again after a crash. */
const RUN_ID = 'batch-job';
const SLICE_MS = 10_000;
const CALL_TIMEOUT_MS = SLICE_MS + 10_000;
const TIMEOUT_EXIT_CODE = -2;

export interface BatchResult {
  readonly result: 'success' | 'failure';
  readonly reason: TerminationReason;
  readonly exitCode: number;
}

type Mode = 'batch' | 'continue';

function resultOf(slice: ExecuteSlice): BatchResult {
  if (slice.status === 'exec-timeout') {
    return { result: 'failure', reason: 'task-timeout', exitCode: TIMEOUT_EXIT_CODE };
  }
  const exitCode = slice.exitCode ?? -1;
  return exitCode === 0
    ? { result: 'success', reason: 'task-finished', exitCode }
    : { result: 'failure', reason: 'task-failed', exitCode };
}

/** @returns null when the run to be continued was never started. */
async function takeSlice(
  runner: RunnerClient,
  command: string,
  mode: Mode,
  waitMs: number,
  signal: AbortSignal,
): Promise<ExecuteSlice | null> {
  const options = { exec: command };
  const request = { runId: RUN_ID, mode, code: '', options, waitMs, eager: true };
  try {
    return await runner.call({ op: 'execute', request }, { signal, timeoutMs: CALL_TIMEOUT_MS });
  } catch (error) {
    const isUnknown = error instanceof BackendError && error.problem === 'ObjectNotFound';
    if (mode === 'continue' && isUnknown) return null;
    throw error;
  }
}

/**
 * Runs `command` in batch mode. Its output goes to the kernel's log; here it is only drained.
 * A run that an earlier agent started is picked up instead of starting another.
 * @param options.timeoutMs interrupts the command after this long; null means never.
 * @throws what the runner's calls throw, or the signal's reason.
 */
export async function runBatch(
  runner: RunnerClient,
  command: string,
  options: { timeoutMs: number | null; clock: Clock; signal: AbortSignal },
): Promise<BatchResult> {
  const { clock, signal, timeoutMs } = options;
  const deadline = timeoutMs === null ? Number.POSITIVE_INFINITY : clock.monotonicMs() + timeoutMs;
  let mode: Mode = 'continue';
  for (;;) {
    const leftMs = deadline - clock.monotonicMs();
    if (leftMs <= 0) {
      await runner.call({ op: 'interrupt' }, { signal });
      return { result: 'failure', reason: 'task-timeout', exitCode: TIMEOUT_EXIT_CODE };
    }
    const waitMs = Math.min(SLICE_MS, Math.ceil(leftMs));
    const slice = await takeSlice(runner, command, mode, waitMs, signal);
    if (slice === null) {
      mode = 'batch';
      continue;
    }
    if (slice.status === 'finished' || slice.status === 'exec-timeout') return resultOf(slice);
    if (slice.status === 'waiting-input') {
      // Nobody is there to answer.
      await runner.call({ op: 'interrupt' }, { signal });
      return { result: 'failure', reason: 'task-failed', exitCode: -1 };
    }
    mode = 'continue';
  }
}
