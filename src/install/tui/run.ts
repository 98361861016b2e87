/** Shows the installer's screens; when they are left, what came of it stays in lines of text. */
import { createElement } from 'react';
import type { CommandIo } from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { printStatus } from '../../common/glyphs.ts';
import type { Environment } from '../modes/servers.ts';
import { printReport } from '../plain.ts';
import type { InstallRequest } from '../request.ts';
import type { Result } from './work.tsx';

const CANCELLED_EXIT_CODE = 130;
const FAILED_EXIT_CODE = 1;
/** After which it is told what is waited for. */
const SLOW_MS = 300;
const STOPPING = 'Stopping: waiting for the end of what is being done.';

/** Aborted when the terminal is gone: whoever closed it sees nothing any more. */
function terminalGone(): AbortSignal {
  const controller = new AbortController();
  // Not once: what draws kills the process when nobody else listens.
  process.on('SIGHUP', () => controller.abort(new UserError('The terminal was closed.')));
  return controller.signal;
}

/**
 * @param isModeGiven whether the menu of modes is skipped.
 * @returns the exit code of what was done.
 */
export async function runScreens(
  request: InstallRequest,
  environment: Environment,
  io: CommandIo,
  { isModeGiven }: { readonly isModeGiven: boolean },
): Promise<number> {
  // What draws asks for this one only, and when it is loaded.
  if (io.env.NO_COLOR) process.env.FORCE_COLOR = '0';
  const [{ render }, { App }, { failureLines }] = await Promise.all([
    import('ink'),
    import('./app.tsx'),
    import('./work.tsx'),
  ]);
  const signal = AbortSignal.any([environment.signal, terminalGone()]);
  const runs: PromiseWithResolvers<Result>[] = [];
  const app = render(
    createElement(App, {
      request,
      environment: { ...environment, signal },
      isModeGiven,
      onStart: () => void runs.push(Promise.withResolvers<Result>()),
      onResult: (result: Result) => runs.at(-1)?.resolve(result),
    }),
    // The app decides itself: the first ^C cancels what runs, the second quits. Afterwards the terminal
    // shows again what it showed before.
    { exitOnCtrlC: false, alternateScreen: true },
  );
  signal.addEventListener('abort', () => app.unmount(), { once: true });
  await app.waitUntilExit();
  const run = runs.at(-1);
  if (run === undefined) {
    printStatus(io.stderr, 'info', 'Nothing was done.');
    return CANCELLED_EXIT_CODE;
  }
  // Left while something runs, it stops before the next step; nothing is left half done without a word.
  const slow = setTimeout(() => printStatus(io.stderr, 'info', STOPPING), SLOW_MS);
  const result = await run.promise.finally(() => clearTimeout(slow));
  if ('pages' in result) {
    printStatus(io.stderr, 'done', `${result.title}: done.`);
    printReport(io, result.pages);
    return 0;
  }
  printStatus(io.stderr, 'fail', failureLines(result.error, result.logFile).join('\n'));
  return result.error instanceof UserError ? result.error.exitCode : FAILED_EXIT_CODE;
}
