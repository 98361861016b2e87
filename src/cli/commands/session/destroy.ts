/** `session destroy`: ends sessions, each on its own account. */
import { ApiError, type Client } from '../../../client/index.ts';
import { defineCommand, flag, option, restArguments } from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { printStatus, WaitingLine } from '../../../common/glyphs.ts';
import { connect } from '../../connect.ts';
import { describeFailure, failureDocument } from '../../framework/failures.ts';
import { printJson } from '../../output/json.ts';
import { sessionIdOf } from '../../session/reference.ts';
import {
  type ContainerStatistics,
  fetchStatistics,
  statisticsTable,
} from '../../session/statistics.ts';

const INVALID_ARGUMENT_EXIT_CODE = 4;

/** What a session uses; null when it is not there to be asked. */
async function usedBy(client: Client, reference: string): Promise<ContainerStatistics[] | null> {
  const id = await sessionIdOf(client, reference);
  return id === null ? null : await fetchStatistics(client, id);
}

export default defineCommand({
  positionals: { sessions: restArguments('SESSION_NAMES', 'Names or ids.') },
  options: {
    forced: flag(['-f', '--forced'], 'Do not wait for the session to end by itself.'),
    owner: option(
      ['-o', '--owner', '--owner-access-key'],
      'AK',
      'Owner of the sessions (administrators).',
    ),
    stats: flag(['-s', '--stats'], 'Show what the sessions used.'),
    recursive: flag(['-r', '--recursive'], 'Also end the sessions that depend on them.'),
  },
  async run({ options, args, io, globals }) {
    if (args.sessions.length === 0) {
      throw new UserError('Name at least one session.', { exitCode: INVALID_ARGUMENT_EXIT_CODE });
    }
    const client = await connect({ io, globals });
    const waiting = new WaitingLine(io.stderr);
    const json = globals.output === 'json';
    if (!json) waiting.show('Terminating the session(s)...');
    const success: unknown[] = [];
    const failed: unknown[] = [];
    for (const session of args.sessions) {
      try {
        const used = options.stats ? await usedBy(client, session) : null;
        const stats = await client.session.destroy(session, {
          forced: options.forced,
          recursive: options.recursive,
          ownerAccessKey: options.owner,
        });
        success.push({ item: session, msg: 'Done.', stats: used ?? stats });
        if (used === null || json) continue;
        waiting.clear();
        const table = statisticsTable(used);
        io.stdout.write(`${session}:${table === null ? ' nothing was measured yet.' : ''}\n`);
        io.stdout.write(table ?? '');
      } catch (error) {
        failed.push({ item: session, ...failureDocument(error) });
        if (json) continue;
        waiting.clear();
        printStatus(io.stderr, 'error', `${session}: ${describeFailure(error)}`);
        if (error instanceof ApiError && error.status === 404 && options.owner === undefined) {
          printStatus(io.stderr, 'warn', 'For a session of somebody else, add --owner ACCESS_KEY.');
        }
      }
    }
    waiting.clear();
    if (json) printJson(io, { success, failed });
    else if (failed.length === 0) printStatus(io.stderr, 'done', 'Done.');
    return failed.length === 0 ? 0 : 1;
  },
});
