/** `status`: the cluster of this machine: where it is, who may use it, what it runs. */

import { defineCommand } from '../../common/command.ts';
import { errorMessage } from '../../common/errors.ts';
import { printStatus } from '../../common/glyphs.ts';
import { findLocalCluster } from '../../common/local-cluster.ts';
import { databaseTitle, readPlace } from '../servers/place.ts';
import { type LiveSession, liveSessions } from '../sessions.ts';
import { folderOf, placeOptions } from './options.ts';

function sessionLines(total: number, sessions: readonly LiveSession[]): string[] {
  if (total === 0) return ['Sessions      none'];
  const lines = [`Sessions      ${total}`];
  for (const { name, session_id, status } of sessions.slice(0, 20)) {
    lines.push(`              ${name} (${session_id}): ${status}`);
  }
  if (total > 20) lines.push(`              … and ${total - 20} more; see \`backend.ai ps\``);
  return lines;
}

export default defineCommand({
  options: placeOptions,
  async run({ options, io, globals }) {
    const folder = folderOf(options, io);
    const cluster = findLocalCluster(folder);
    if (cluster === null) {
      if (globals.output === 'json') {
        io.stdout.write(`${JSON.stringify({ running: false, folder }, null, 2)}\n`);
      } else {
        printStatus(
          io.stderr,
          'info',
          `No cluster is running on ${folder}. Start one with \`backend.ai up\`.`,
        );
      }
      return 1;
    }
    const found = await liveSessions(cluster).catch((error: unknown) => errorMessage(error));
    if (globals.output === 'json') {
      const state = typeof found === 'string' ? { error: found } : { sessions: found.sessions };
      // Who is there, without what proves it: output ends up in logs.
      const accounts = cluster.accounts.map(({ name, email, role }) => ({ name, email, role }));
      const shown = { running: true, folder, ...cluster, accounts, ...state };
      io.stdout.write(`${JSON.stringify(shown, null, 2)}\n`);
      return typeof found === 'string' ? 1 : 0;
    }
    const { endpoint, webUrl, metricsUrl, backend, isolationGaps, pid, startedAt, accounts } =
      cluster;
    const place = readPlace(folder);
    const lines = [
      `API endpoint  ${endpoint}`,
      `Web page      ${webUrl}`,
      ...(metricsUrl ? [`Metrics       ${folder}/prometheus-targets.json (for Prometheus)`] : []),
      `Backend       ${backend}`,
      `Process       ${pid}, since ${startedAt}`,
      `State         ${folder}`,
      ...(place === null
        ? []
        : [
            `Data          PostgreSQL at ${databaseTitle(place.db, place.db.name)}, etcd at ${place.etcd.addrs.join(', ')}`,
          ]),
      ...isolationGaps.map(
        (gap, index) => `${index === 0 ? 'Sessions here ' : ' '.repeat(14)}${gap}`,
      ),
      `Accounts      ${accounts.map(({ name }) => name).join(', ')} (secrets: ${folder}/accounts.json)`,
      ...(typeof found === 'string' ? [] : sessionLines(found.total, found.sessions)),
    ];
    io.stdout.write(`${lines.join('\n')}\n`);
    if (typeof found !== 'string') return 0;
    printStatus(io.stderr, 'fail', `The manager does not answer: ${found}`);
    return 1;
  },
});
