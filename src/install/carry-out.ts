/** Carries out a plan: checks, steps, report; every line also goes to the plan's log file. */
import { appendFileSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../common/clock.ts';
import { errorMessage } from '../common/errors.ts';
import { type Plan, type PlanObserver, type ReportPage, runChecks, runSteps } from './step.ts';

/** Adds lines to a file, each with its time; a file that cannot be written is done without. */
function logWriter(path: string | null, clock: Clock): (line: string) => void {
  if (path === null) return () => undefined;
  let isUsable = true;
  return (line) => {
    if (!isUsable) return;
    try {
      mkdirSync(dirname(path), { recursive: true });
      appendFileSync(path, `${clock.now().toISOString()} ${line}\n`, { mode: 0o600 });
    } catch {
      // The steps themselves tell why the folder cannot be written to.
      isUsable = false;
    }
  };
}

/** @throws UserError that says which check or step failed, and what to do. */
export async function carryOut(
  plan: Plan,
  observer: PlanObserver,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<readonly ReportPage[]> {
  const write = logWriter(plan.logFile, clock);
  const both: PlanObserver = {
    step(id, state) {
      write(`[${state}] ${plan.steps.find((step) => step.id === id)?.title ?? id}`);
      observer.step(id, state);
    },
    log(line) {
      write(line);
      observer.log(line);
    },
    progress: (text) => observer.progress(text),
  };
  try {
    await runChecks(plan.checks, both);
    await runSteps(plan.steps, both, signal);
  } catch (error) {
    write(`[failed] ${errorMessage(error)}`);
    throw error;
  }
  return await plan.report();
}
