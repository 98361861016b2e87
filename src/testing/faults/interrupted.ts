/** Commands that go through steps, killed at each of them and started again. */

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
