/** What proves that a cluster works: a session that says hello, of a runtime that this machine has. */
import { UserError } from '../../common/errors.ts';
import { findHostRuntimes, type HostRuntime } from '../../common/images/host-runtimes.ts';

const PROGRAMS: Readonly<Record<HostRuntime['name'], string>> = {
  python: 'print("hello world")',
  node: 'console.log("hello world")',
  bash: 'echo hello world',
};

export interface HelloOptions {
  /** Folders to search for runtimes; those of this process by default. */
  path?: string;
}

/** The arguments of `backend.ai run`: Python's where there is one. @throws UserError on a machine without any. */
export async function helloArguments(options: HelloOptions = {}): Promise<string[]> {
  const [runtime] = await findHostRuntimes(options);
  if (runtime === undefined) {
    throw new UserError('This machine has nothing that a session could run.', {
      hint: 'Install python3, node or bash, and run the same command again.',
    });
  }
  return ['run', '--rm', runtime.name, '-c', PROGRAMS[runtime.name]];
}

/** The same as a line for the user's shell; Python's where there is nothing yet. */
export async function helloLine(executable: string, options: HelloOptions = {}): Promise<string> {
  const [runtime] = await findHostRuntimes(options);
  const name = runtime?.name ?? 'python';
  return `${executable} run --rm ${name} -c '${PROGRAMS[name]}'`;
}
