/** `down`: stops this machine's cluster; its data, and the sessions it runs, stay. */

import { systemClock } from '../../common/clock.ts';
import { defineCommand, flag } from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { printStatus } from '../../common/glyphs.ts';
import { findLocalCluster, type LocalCluster } from '../../common/local-cluster.ts';
import { lockOwner } from '../lock.ts';
import { removeCluster } from '../place.ts';
import { databaseTitle, readPlace } from '../servers/place.ts';
import { folderOf, placeOptions } from './options.ts';

const STOP_TIMEOUT_MS = 40_000;
const POLL_MS = 50;

/** Waits until a process has left the folder. @returns whether it did in time. */
async function hasLeft(folder: string, pid: number): Promise<boolean> {
  const deadlineMs = systemClock.monotonicMs() + STOP_TIMEOUT_MS;
  while (lockOwner(folder) === pid) {
    if (systemClock.monotonicMs() > deadlineMs) return false;
    await systemClock.sleep(POLL_MS);
  }
  return true;
}

/** Asks the cluster's process to end and waits until it has left the folder, PostgreSQL included. */
async function stop(folder: string, cluster: LocalCluster): Promise<void> {
  if (lockOwner(folder) === cluster.pid) process.kill(cluster.pid, 'SIGTERM');
  if (await hasLeft(folder, cluster.pid)) return;
  throw new UserError(`The cluster (process ${cluster.pid}) does not stop.`, {
    hint: `End it with \`kill -9 ${cluster.pid}\`; nothing is lost by that.`,
  });
}

export default defineCommand({
  options: {
    ...placeOptions,
    sessions: flag(['--sessions'], 'Also end all running sessions first.'),
    purge: flag(['--purge'], 'Also end all sessions, and delete the data of the cluster.'),
  },
  async run({ options, io, globals }) {
    const folder = folderOf(options, io);
    const cluster = findLocalCluster(folder);
    // First, so that nothing is stopped when it cannot be read.
    const elsewhere = options.purge ? readPlace(folder) : null;
    if (cluster !== null) {
      if (options.sessions || options.purge) {
        const { endAllSessions } = await import('../sessions.ts');
        try {
          const count = await endAllSessions(cluster, systemClock);
          printStatus(io.stderr, 'done', `${count} session${count === 1 ? '' : 's'} ended.`);
        } catch (error) {
          // When somebody else is stopping it, nobody answers any more, and they have ended them.
          if (findLocalCluster(folder) !== null) throw error;
        }
      }
      printStatus(io.stderr, 'wait', 'Stopping the local cluster');
      await stop(folder, cluster);
    }
    if (options.purge) {
      const owner = lockOwner(folder);
      // Somebody else is stopping it, or it is just starting.
      if (cluster === null && owner !== null && !(await hasLeft(folder, owner))) {
        throw new UserError(`The cluster in ${folder} is just starting or stopping.`, {
          hint: 'Run this again in a moment.',
        });
      }
      await removeCluster(folder);
    }
    if (globals.output === 'json') {
      const done = { stopped: cluster !== null, purged: options.purge, folder };
      io.stdout.write(`${JSON.stringify(done, null, 2)}\n`);
    } else {
      const stopped = cluster === null ? 'No cluster is running' : 'The local cluster is stopped';
      const text = options.purge
        ? `${stopped}; ${folder} is deleted.`
        : `${stopped}. Its data stays in ${folder}.`;
      printStatus(io.stderr, cluster === null ? 'info' : 'done', text);
      if (elsewhere !== null) {
        const { db, etcd } = elsewhere;
        printStatus(
          io.stderr,
          'info',
          `What is in the database ${databaseTitle(db, db.name)} and in etcd below /sorna/${etcd.namespace}/ stays.`,
        );
      }
    }
    return 0;
  },
});
