/** A plan in lines of text: for scripts, logs, and terminals that cannot do more. */
import type { Clock } from '../common/clock.ts';
import type { CommandIo } from '../common/command.ts';
import { printStatus, WaitingLine } from '../common/glyphs.ts';
import { carryOut } from './carry-out.ts';
import type { Plan, ReportPage } from './step.ts';

const KINDS = { skipped: 'done', done: 'done', failed: 'fail' } as const;

export function printSummary(io: CommandIo, plan: Plan): void {
  printStatus(io.stderr, 'info', [plan.title, ...plan.summary].join('\n'));
}

/** What a dry run shows: everything that would be done, and nothing done. */
export function printPlan(io: CommandIo, plan: Plan): void {
  io.stdout.write(`${plan.title}\n`);
  for (const line of plan.summary) io.stdout.write(`  ${line}\n`);
  io.stdout.write('Checks\n');
  for (const { title } of plan.checks) io.stdout.write(`  ${title}\n`);
  io.stdout.write('Steps\n');
  plan.steps.forEach(({ title }, index) => {
    io.stdout.write(`  ${String(index + 1).padStart(2)}. ${title}\n`);
  });
}

export function printReport(io: CommandIo, pages: readonly ReportPage[]): void {
  for (const { title, lines } of pages) {
    io.stdout.write(`\n${title}\n`);
    for (const line of lines) io.stdout.write(line === '' ? '\n' : `  ${line}\n`);
  }
}

export async function runPlainly(
  io: CommandIo,
  plan: Plan,
  { clock, signal, verbose }: { clock: Clock; signal: AbortSignal; verbose: boolean },
): Promise<readonly ReportPage[]> {
  const waiting = new WaitingLine(io.stderr);
  return await carryOut(
    plan,
    {
      step(id, state) {
        const title = plan.steps.find((step) => step.id === id)?.title ?? id;
        const note = state === 'skipped' ? ' (was done)' : '';
        waiting.clear();
        if (state === 'started') waiting.show(title);
        else printStatus(io.stderr, KINDS[state], `${title}${note}`);
      },
      log(line) {
        if (!verbose) return;
        waiting.clear();
        io.stderr.write(`  ${line}\n`);
      },
      progress(text) {
        if (verbose) waiting.show(text);
      },
    },
    { clock, signal },
  );
}
