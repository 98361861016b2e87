/** Starts the local cluster in the background on behalf of a command that needs one. */
import { UserError } from './errors.ts';
import { selfCommand } from './executable.ts';
import { findLocalCluster, type LocalCluster } from './local-cluster.ts';

/**
 * Runs `backend.ai up --detach` and waits until the cluster is ready. Its progress goes to stderr.
 * @param folder the cluster's folder as `clusterFolder` gives it for `env`.
 * @throws UserError when it does not come up; its own messages are on stderr by then.
 */
export async function launchLocalCluster(
  folder: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<LocalCluster> {
  const child = Bun.spawn([...selfCommand(), 'up', '--detach', '--quiet'], {
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'inherit',
    env: { ...env },
  });
  const exitCode = await child.exited;
  const cluster = findLocalCluster(folder);
  if (exitCode !== 0 || cluster === null) {
    throw new UserError('The local cluster did not start.', {
      hint: 'See the messages above; `backend.ai doctor` checks this machine.',
    });
  }
  return cluster;
}
