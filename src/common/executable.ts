/** How this program can start itself again, compiled or from a checkout. */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Whether this is the compiled single file (its sources then live in Bun's virtual folder). */
export const isCompiled: boolean = Bun.main.startsWith('/$bunfs/');

/** The checkout's root folder, or null in the compiled file. */
export const checkoutRoot: string | null = isCompiled
  ? null
  : resolve(fileURLToPath(new URL('../..', import.meta.url)));

/** The argument vector that starts this program; append a subcommand. */
export function selfCommand(): string[] {
  return checkoutRoot === null
    ? [process.execPath]
    : [process.execPath, `${checkoutRoot}/bin/backend.ai.ts`];
}

/** The argument vector that starts the runner of a session. A checkout has an entry that loads less. */
export function runnerCommand(): string[] {
  return checkoutRoot === null
    ? [process.execPath, 'kernel-runner']
    : [process.execPath, `${checkoutRoot}/bin/kernel-runner.ts`];
}
