/** Entry of the runner: reads its environment, prepares the session, then serves the agent. */
import { systemClock } from '../common/clock.ts';
import { UserError } from '../common/errors.ts';
import { runnerEnvironment } from '../common/protocol/runner.ts';
import { runBootstrap } from './bootstrap.ts';
import { serviceHost, startBuiltIn } from './built-in.ts';
import { ContainerLog } from './container-log.ts';
import { type Environment, userEnvironment, workFolder } from './environment.ts';
import { startReaper } from './process/reaper.ts';
import { Runner } from './runner.ts';
import { listen } from './server.ts';
import { parseServicePrograms } from './services/builtin.ts';

const FLUSH_TIMEOUT_MS = 1000;

/**
 * Runs until it is shut down by the agent or by SIGTERM.
 * @returns the exit code. @throws UserError when the socket cannot be opened.
 */
export async function runKernelRunner(env: Environment): Promise<number> {
  const socketPath = env[runnerEnvironment.socket] ?? '';
  if (socketPath === '') {
    throw new UserError(`${runnerEnvironment.socket} is not set.`, {
      hint: 'kernel-runner is started by the agent inside a session, not by hand.',
    });
  }
  process.on('SIGPIPE', () => undefined);
  startReaper();
  const log = new ContainerLog(systemClock);
  const folder = workFolder(env);
  const bootstrap = env[runnerEnvironment.bootstrap] ?? '';
  if (bootstrap !== '') {
    await runBootstrap(bootstrap, folder, userEnvironment(env, folder), log, systemClock);
  }
  const ended = Promise.withResolvers<void>();
  const builtIn = await startBuiltIn(env, socketPath, folder, log);
  const runner = new Runner({
    env,
    workFolder: folder,
    runtimeType: env[runnerEnvironment.runtimeType] || 'app',
    runtimePath: env[runnerEnvironment.runtimePath] ?? '',
    serviceHost: serviceHost(env),
    servicePrograms: parseServicePrograms(env[runnerEnvironment.servicePrograms]),
    builtIn: builtIn.names,
    log,
    onShutdown: ended.resolve,
  });
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => ended.resolve());
  // The terminal's Ctrl-C is for user programs; the agent stops us by request or SIGTERM.
  process.on('SIGINT', () => undefined);
  const server = await listen(socketPath, (op, caller) => runner.handle(op, caller));
  await ended.promise;
  server.close();
  await Promise.all([builtIn.stop(), runner.stop()]);
  await log.flush(FLUSH_TIMEOUT_MS);
  return 0;
}
