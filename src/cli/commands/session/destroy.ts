/** `session destroy`: ends sessions, each on its own account. */

import { ApiError } from '../../../client/index.ts';
import { defineCommand, flag, option, restArguments } from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { printStatus, WaitingLine } from '../../../common/glyphs.ts';
import { connect } from '../../connect.ts';
import { describeFailure, failureDocument } from '../../framework/failures.ts';
import { printJson } from '../../output/json.ts';

const INVALID_ARGUMENT_EXIT_CODE = 4;

export default defineCommand({
  positionals: { sessions: restArguments('SESSION_NAMES', 'Names or ids.') },
  options: {
    forced: flag(['-f', '--forced'], 'Do not wait for the session to end by itself.'),
    owner: option(
      ['-o', '--owner', '--owner-access-key'],
      'AK',
      'Owner of the sessions (administrators).',
    ),
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
        const stats = await client.session.destroy(session, {
          forced: options.forced,
          recursive: options.recursive,
          ownerAccessKey: options.owner,
        });
        success.push({ item: session, msg: 'Done.', stats });
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
