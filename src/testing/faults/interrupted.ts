/** Commands that go through steps, disturbed at each of them and started again. */

import { until } from '../until.ts';
import { type Outcome, Program, type ProgramOptions } from './programs.ts';

/** No plan has more steps. */
const MAX_RUNS = 30;
const RUN_TIMEOUT_MS = 120_000;
/** How a step that begins is told in lines of text. */
const BEGINNING = /^⋯ (.+)$/gm;

/**
 * Runs a command that tells its steps, kills it (SIGKILL) when it begins one for the first time, and
 * runs it again, until it gets through.
 * @returns the steps at whose beginning it was killed, and how the last run ended. A last step that is
 *   quick may get through unharmed.
 * @throws when a run fails by itself.
 */
export async function killAtEveryStep(
  args: readonly string[],
  options: ProgramOptions,
): Promise<{ readonly killedAt: readonly string[]; readonly last: Outcome }> {
  const killedAt: string[] = [];
  for (let run = 0; run < MAX_RUNS; run += 1) {
    const program = new Program(args, options);
    const unknown = () =>
      [...program.stderr.matchAll(BEGINNING)]
        .map(([, title = '']) => title)
        .find((title) => !killedAt.includes(title));
    await until(
      () => unknown() !== undefined || !program.isRunning,
      'it begins a step, or ends',
      RUN_TIMEOUT_MS,
    );
    const step = program.isRunning ? unknown() : undefined;
    if (step === undefined) {
      const last = await program.ended(RUN_TIMEOUT_MS);
      if (last.code !== 0) {
        throw new Error(`killed at ${killedAt.join(', ')}, then it failed: ${last.stderr}`);
      }
      return { killedAt, last };
    }
    await program.kill();
    killedAt.push(step);
  }
  throw new Error(`it does not get through, killed at ${killedAt.join(', ')}`);
}

/** Something that goes wrong while a step is at work. */
export interface Fault {
  /** Whether it is tried at this step. */
  readonly at: (step: string) => boolean;
  begin(step: string): void | Promise<void>;
  end(): void | Promise<void>;
}

/** An unexpected error is shown as lines of the source and the calls that led there. */
const STACK_TRACE = /^ {2,}at |^ *\d+ \| /m;

/**
 * Runs a command that tells its steps and lets something go wrong when it begins one for the first time;
 * once it has ended, all is well again and it is run again, until it gets through.
 * @returns at which steps the fault began, in which of these runs it failed, and how the last run ended.
 * @throws when it fails without words for people, or while nothing is wrong.
 */
export async function breakAtSteps(
  args: readonly string[],
  options: ProgramOptions,
  fault: Fault,
): Promise<{
  readonly tried: readonly string[];
  readonly failed: readonly string[];
  readonly last: Outcome;
}> {
  const tried: string[] = [];
  const failed: string[] = [];
  for (let run = 0; run < MAX_RUNS; run += 1) {
    const program = new Program(args, options);
    const unknown = () =>
      [...program.stderr.matchAll(BEGINNING)]
        .map(([, title = '']) => title)
        .find((title) => fault.at(title) && !tried.includes(title));
    await until(
      () => unknown() !== undefined || !program.isRunning,
      'it begins a step, or ends',
      RUN_TIMEOUT_MS,
    );
    const step = program.isRunning ? unknown() : undefined;
    if (step !== undefined) {
      tried.push(step);
      await fault.begin(step);
    }
    const outcome = await program.ended(RUN_TIMEOUT_MS).finally(() => fault.end());
    if (outcome.code !== 0 && (step === undefined || STACK_TRACE.test(outcome.stderr))) {
      throw new Error(
        `something was wrong at ${tried.join(', ')}, then it failed: ${outcome.stderr}`,
      );
    }
    if (step === undefined) return { tried, failed, last: outcome };
    if (outcome.code !== 0) failed.push(step);
  }
  throw new Error(`it does not get through, disturbed at ${tried.join(', ')}`);
}
