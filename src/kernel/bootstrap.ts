/** Runs the session's bootstrap script before the agent may connect. */
import type { Clock } from '../common/clock.ts';
import { errorMessage } from '../common/errors.ts';
import type { ContainerLog } from './container-log.ts';
import { describeExit } from './languages/driver-process.ts';
import { pump } from './process/pump.ts';
import { startProgram } from './process/spawn.ts';

/** The agent waits for the socket about this long; a longer script is left running. */
const MAX_WAIT_MS = 5 * 60 * 1000;

/**
 * Runs a script with /bin/sh and waits for its end, five minutes at most. Its output and its
 * failure go to the container's log; a session starts all the same. Never rejects.
 */
export async function runBootstrap(
  path: string,
  cwd: string,
  env: Readonly<Record<string, string>>,
  log: ContainerLog,
  clock: Clock,
): Promise<void> {
  const say = (text: string) => log.write(2, new TextEncoder().encode(`${text}\n`));
  try {
    const program = await startProgram({ command: '/bin/sh', args: [path], cwd, env });
    const output = Promise.all([
      pump(program.stdout, program.exited, (chunk) => log.write(1, chunk), clock),
      pump(program.stderr, program.exited, (chunk) => log.write(2, chunk), clock),
    ]);
    const timeout = clock.sleep(MAX_WAIT_MS).then(() => null);
    const exit = await Promise.race([output.then(() => program.exited), timeout]);
    if (exit === null) await say(`The bootstrap script still runs after ${MAX_WAIT_MS / 1000} s.`);
    else if (exit.exitCode !== 0) await say(`The bootstrap script ${describeExit(exit)}.`);
  } catch (error) {
    await say(`The bootstrap script could not be run: ${errorMessage(error)}`);
  }
}
