/**
 * A plan and how it is carried out: steps in order, each of which can be run again. What is done is
 * found by looking at the machine, never by remembering, so an interrupted installation is finished
 * by running the same command once more.
 */
import { errorMessage, UserError } from '../common/errors.ts';

export interface StepContext {
  /** Adds a line to the log. */
  log(line: string): void;
  /** What the step is at right now, for the screen; replaces what was said before. */
  progress(text: string): void;
  /** Aborted when the user wants to stop. */
  readonly signal: AbortSignal;
}

export interface Step {
  /** Short and unique within its plan. */
  readonly id: string;
  /** What it does, as an order: "Write the configuration files". */
  readonly title: string;
  /** Whether there is nothing to do, because it was done before. Never, when absent. */
  isDone?(context: StepContext): Promise<boolean>;
  /** @throws UserError that says what to do; whatever was begun can be begun again. */
  run(context: StepContext): Promise<void>;
}

/** One tab of the report that is shown at the end. */
export interface ReportPage {
  readonly title: string;
  readonly lines: readonly string[];
}

export interface Plan {
  readonly title: string;
  /** What will be done and where, before anything is done. */
  readonly summary: readonly string[];
  /** What needs to be there, looked at before the first step. */
  readonly checks: readonly Check[];
  readonly steps: readonly Step[];
  /** Lines of the log go here as well; null keeps them on the screen only. */
  readonly logFile: string | null;
  /** Read after the last step. */
  report(): Promise<readonly ReportPage[]>;
}

/** Something that has to be true before the plan may begin. */
export interface Check {
  readonly title: string;
  /** @returns null when it is well, else what is wrong and what to do about it. */
  run(): Promise<Finding | null>;
}

export interface Finding {
  readonly problem: string;
  readonly remedy: string;
  /** The plan goes on in spite of it. */
  readonly isWarning?: boolean;
}

export type StepState = 'started' | 'skipped' | 'done' | 'failed';

/** Follows a plan being carried out. */
export interface PlanObserver {
  step(id: string, state: StepState): void;
  log(line: string): void;
  progress(text: string): void;
}

/**
 * Runs all checks, so that everything that is missing is told at once.
 * @throws UserError with every problem and its remedy.
 */
export async function runChecks(checks: readonly Check[], observer: PlanObserver): Promise<void> {
  const problems: Finding[] = [];
  for (const { title, run } of checks) {
    observer.progress(title);
    const finding = await run();
    if (finding === null) observer.log(`✓ ${title}`);
    else {
      observer.log(`${finding.isWarning ? '∙' : '✗'} ${title}: ${finding.problem}`);
      observer.log(`  → ${finding.remedy}`);
      if (!finding.isWarning) problems.push(finding);
    }
  }
  if (problems.length === 0) return;
  throw new UserError(
    problems.map(({ problem, remedy }) => `${problem}\n  → ${remedy}`).join('\n'),
    { hint: 'Nothing was done. Once this is mended, run the same command again.' },
  );
}

/** @throws UserError that names the step; steps before it stay done. */
export async function runSteps(
  steps: readonly Step[],
  observer: PlanObserver,
  signal: AbortSignal,
): Promise<void> {
  for (const step of steps) {
    if (signal.aborted) throw interrupted(step);
    const context: StepContext = {
      log: (line) => observer.log(line),
      progress: (text) => observer.progress(text),
      signal,
    };
    try {
      if (await step.isDone?.(context)) {
        observer.step(step.id, 'skipped');
        continue;
      }
      observer.step(step.id, 'started');
      await step.run(context);
      observer.step(step.id, 'done');
    } catch (error) {
      observer.step(step.id, 'failed');
      if (signal.aborted) throw interrupted(step);
      throw failed(step, error);
    }
  }
}

const AGAIN = 'Run the same command again to go on from here.';

function interrupted(step: Step): UserError {
  return new UserError(`Stopped before "${step.title}" was done.`, { hint: AGAIN, exitCode: 130 });
}

function failed(step: Step, error: unknown): UserError {
  const hint = error instanceof UserError && error.hint !== undefined ? `${error.hint}\n` : '';
  return new UserError(`${step.title}: ${errorMessage(error)}`, {
    hint: `${hint}${AGAIN}`,
    cause: error,
  });
}
