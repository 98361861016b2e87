/** Entry of the runner: reads its environment, prepares the session, then serves the agent. */

import { dirname, join } from 'node:path';
import { systemClock } from '../common/clock.ts';
import { UserError } from '../common/errors.ts';
import { SSH_SERVICE } from '../common/images/labels.ts';
import { runnerEnvironment } from '../common/protocol/runner.ts';
import { systemRandom } from '../common/random.ts';
import { runBootstrap } from './bootstrap.ts';
import { ContainerLog } from './container-log.ts';
import { type Environment, userEnvironment, workFolder } from './environment.ts';
import { startReaper } from './process/reaper.ts';
import { Runner } from './runner.ts';
import { listen } from './server.ts';
import { type SshService, startSsh } from './ssh/server.ts';

const FLUSH_TIMEOUT_MS = 1000;

/** What lets others of the session's cluster in. */
const CLUSTER_KEY = '/home/config/ssh/id_cluster.pub';

const portOf = (text: string | undefined): number | null => {
  const port = Number(text ?? '');
  return Number.isInteger(port) && port > 0 && port < 65536 ? port : null;
};

/** Starts the SSH server when it was given a port. @throws UserError when that can't be had. */
async function openSsh(
  env: Environment,
  socketPath: string,
  home: string,
  log: ContainerLog,
): Promise<SshService | null> {
  const port = portOf(env[runnerEnvironment.sshPort]);
  if (port === null) return null;
  const user = userEnvironment(env, home);
  const trusted = env[runnerEnvironment.trustedKeys] || CLUSTER_KEY;
  return await startSsh({
    listen: { host: env[runnerEnvironment.serviceHost] || '127.0.0.1', port },
    home,
    env: user,
    shell: user.SHELL ?? '/bin/sh',
    // Beside the socket, where it stays as long as the kernel.
    hostKeyFile: join(dirname(socketPath), 'ssh_host_ed25519_key'),
    trustedKeys: trusted.split(':'),
    clock: systemClock,
    random: systemRandom,
    note: (message) => void log.write(2, new TextEncoder().encode(`${message}\n`)),
  });
}

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
  const runner = new Runner({
    env,
    workFolder: folder,
    runtimeType: env[runnerEnvironment.runtimeType] || 'app',
    runtimePath: env[runnerEnvironment.runtimePath] ?? '',
    serviceHost: env[runnerEnvironment.serviceHost] || '127.0.0.1',
    builtIn: new Set(portOf(env[runnerEnvironment.sshPort]) === null ? [] : [SSH_SERVICE.name]),
    log,
    onShutdown: ended.resolve,
  });
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => ended.resolve());
  // The terminal's Ctrl-C is for user programs; the agent stops us by request or SIGTERM.
  process.on('SIGINT', () => undefined);
  const ssh = await openSsh(env, socketPath, folder, log);
  const server = await listen(socketPath, (op, caller) => runner.handle(op, caller));
  await ended.promise;
  server.close();
  ssh?.stop();
  await runner.stop();
  await log.flush(FLUSH_TIMEOUT_MS);
  return 0;
}
