/** Failures that the runner answers to the agent, by code. */
import type { RunnerReply } from '../common/protocol/runner.ts';

export type RunnerErrorCode = Extract<RunnerReply, { ok: false }>['error']['code'];

export class RunnerError extends Error {
  readonly code: RunnerErrorCode;

  constructor(code: RunnerErrorCode, message: string) {
    super(message);
    this.name = 'RunnerError';
    this.code = code;
  }
}
