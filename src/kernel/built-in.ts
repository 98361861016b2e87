/** What the runner itself serves in every session: SSH and the web terminal. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { systemClock } from '../common/clock.ts';
import { SSH_SERVICE, TERMINAL_SERVICE } from '../common/images/labels.ts';
import { runnerEnvironment } from '../common/protocol/runner.ts';
import { systemRandom } from '../common/random.ts';
import type { ContainerLog } from './container-log.ts';
import { type Environment, userEnvironment } from './environment.ts';
import { startSsh } from './ssh/server.ts';
import { startTerminal } from './terminal/server.ts';

/** What lets others of the session's cluster in. */
const CLUSTER_KEY = '/home/config/ssh/id_cluster.pub';
const PLAIN_SHELL = '/bin/sh';
/** Better to type into than a plain one, the best first. */
const SHELLS = ['/bin/zsh', '/bin/bash', '/usr/bin/bash', '/bin/ash'];

export interface BuiltIn {
  /** Names of the services. */
  readonly names: ReadonlySet<string>;
  stop(): Promise<void>;
}

interface Stoppable {
  stop(): void | Promise<void>;
}

const portOf = (text: string | undefined): number | null => {
  const port = Number(text ?? '');
  return Number.isInteger(port) && port > 0 && port < 65536 ? port : null;
};

/** The shell that people are given: their own choice, else the best there is. */
function shellOf({ SHELL = PLAIN_SHELL }: Readonly<Record<string, string>>): string {
  if (SHELL !== PLAIN_SHELL && existsSync(SHELL)) return SHELL;
  return SHELLS.find((path) => existsSync(path)) ?? PLAIN_SHELL;
}

export const serviceHost = (env: Environment): string =>
  env[runnerEnvironment.serviceHost] || '127.0.0.1';

/**
 * Starts those that were given a port.
 * @throws UserError when a port can't be had.
 */
export async function startBuiltIn(
  env: Environment,
  socketPath: string,
  home: string,
  log: ContainerLog,
): Promise<BuiltIn> {
  const user = userEnvironment(env, home);
  const shell = shellOf(user);
  const host = serviceHost(env);
  const running = new Map<string, Stoppable>();
  const sshPort = portOf(env[runnerEnvironment.sshPort]);
  if (sshPort !== null) {
    const ssh = await startSsh({
      ...{ home, env: user, shell, clock: systemClock, random: systemRandom },
      listen: { host, port: sshPort },
      // Beside the socket, where it stays as long as the kernel.
      hostKeyFile: join(dirname(socketPath), 'ssh_host_ed25519_key'),
      trustedKeys: (env[runnerEnvironment.trustedKeys] || CLUSTER_KEY).split(':'),
      note: (message) => void log.write(2, new TextEncoder().encode(`${message}\n`)),
    });
    running.set(SSH_SERVICE.name, ssh);
  }
  const port = portOf(env[runnerEnvironment.terminalPort]);
  if (port !== null) {
    const place = { shell, cwd: home, env: user, clock: systemClock };
    running.set(TERMINAL_SERVICE.name, startTerminal({ ...place, listen: { host, port } }));
  }
  return {
    names: new Set(running.keys()),
    stop: async () => {
      await Promise.all([...running.values()].map((service) => service.stop()));
    },
  };
}
