/** `session restart`: asks the server to restart sessions, each on its own account. */
import { defineCommand, option, restArguments } from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { printStatus, WaitingLine } from '../../../common/glyphs.ts';
import { connect } from '../../connect.ts';
import { describeFailure, failureDocument } from '../../framework/failures.ts';
import { printJson } from '../../output/json.ts';

const INVALID_ARGUMENT_EXIT_CODE = 4;

export default defineCommand({
  positionals: { sessions: restArguments('SESSION_REFS', 'Names or ids.') },
  options: {
    owner: option(
      ['-o', '--owner', '--owner-access-key'],
      'AK',
      'Owner of the sessions (administrators).',
    ),
  },
  async run({ options, args, io, globals }) {
    if (args.sessions.length === 0) {
      throw new UserError('Name at least one session.', { exitCode: INVALID_ARGUMENT_EXIT_CODE });
    }
    const client = await connect({ io, globals });
    const json = globals.output === 'json';
    const waiting = new WaitingLine(io.stderr);
    if (!json) waiting.show('Restarting the session(s)...');
    const success: unknown[] = [];
    const failed: unknown[] = [];
    for (const session of args.sessions) {
      try {
        await client.session.restart(session, { ownerAccessKey: options.owner });
        success.push({ item: session, msg: 'Done.' });
      } catch (error) {
        failed.push({ item: session, ...failureDocument(error) });
        waiting.clear();
        if (!json) printStatus(io.stderr, 'error', `${session}: ${describeFailure(error)}`);
      }
    }
    waiting.clear();
    if (json) printJson(io, { success, failed });
    else if (failed.length === 0) printStatus(io.stderr, 'done', 'Done.');
    return failed.length === 0 ? 0 : 1;
  },
});
