/** What every long-running command does with its own process: notes its pid, and ends when told to. */
import { errorMessage, UserError } from './errors.ts';

/** Aborts at the first signal that asks this process to end; the reason, a UserError, names it. */
export function endRequested(): AbortSignal {
  const controller = new AbortController();
  const end = (name: string) => controller.abort(new UserError(`Stopped by ${name}.`));
  // Told again, a program that is ending goes on with it; at a terminal a second ^C ends it at once.
  process.on('SIGTERM', () => end('SIGTERM'));
  process.once('SIGINT', () => end('SIGINT'));
  return controller.signal;
}

/** Resolves with the signal's reason as soon as it is aborted. */
export function aborted(signal: AbortSignal): Promise<unknown> {
  if (signal.aborted) return Promise.resolve(signal.reason);
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(signal.reason), { once: true });
  });
}

/**
 * Writes this process's id into a file, which is removed on disposal.
 * @param section the section of the configuration file that names the path, for the error's hint.
 * @throws UserError when it cannot be written.
 */
export async function pidFile(path: string, section: string): Promise<AsyncDisposable> {
  try {
    await Bun.write(path, `${process.pid}\n`);
  } catch (error) {
    throw new UserError(`Cannot write the pid file ${path}: ${errorMessage(error)}`, {
      hint: `Set another pid-file in the ${section} section of the configuration file.`,
      cause: error,
    });
  }
  return { [Symbol.asyncDispose]: () => Bun.file(path).delete() };
}
