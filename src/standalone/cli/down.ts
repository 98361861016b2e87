/** `down`: stops this machine's cluster; its data, and the sessions it runs, stay. */
import { printStatus } from '../../cli/framework/glyphs.ts';
import { systemClock } from '../../common/clock.ts';
import { defineCommand, flag } from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { findLocalCluster, type LocalCluster } from '../../common/local-cluster.ts';
import { lockOwner } from '../lock.ts';
import { folderOf, placeOptions } from './options.ts';

const STOP_TIMEOUT_MS = 40_000;
const POLL_MS = 50;

/** Asks the cluster's process to end and waits until it has left the folder, PostgreSQL included. */
async function stop(folder: string, cluster: LocalCluster): Promise<void> {
  process.kill(cluster.pid, 'SIGTERM');
  const deadlineMs = systemClock.monotonicMs() + STOP_TIMEOUT_MS;
  while (lockOwner(folder) === cluster.pid) {
    if (systemClock.monotonicMs() > deadlineMs) {
      throw new UserError(`The cluster (process ${cluster.pid}) does not stop.`, {
        hint: `End it with \`kill -9 ${cluster.pid}\`; nothing is lost by that.`,
      });
    }
    await systemClock.sleep(POLL_MS);
  }
}

export default defineCommand({
  options: {
    ...placeOptions,
    sessions: flag(['--sessions'], 'Also end all running sessions first.'),
  },
  async run({ options, io, globals }) {
    const folder = folderOf(options, io);
    const cluster = findLocalCluster(folder);
    if (cluster !== null) {
      if (options.sessions) {
        const { endAllSessions } = await import('../sessions.ts');
        const count = await endAllSessions(cluster, systemClock);
        printStatus(io.stderr, 'done', `${count} session${count === 1 ? '' : 's'} ended.`);
      }
      printStatus(io.stderr, 'wait', 'Stopping the local cluster');
      await stop(folder, cluster);
    }
    if (globals.output === 'json') {
      io.stdout.write(`${JSON.stringify({ stopped: cluster !== null, folder }, null, 2)}\n`);
    } else {
      const text =
        cluster === null
          ? `No cluster is running on ${folder}.`
          : `The local cluster is stopped. Its data stays in ${folder}.`;
      printStatus(io.stderr, cluster === null ? 'info' : 'done', text);
    }
    return 0;
  },
});
