/** `session rename`. */
import { argument, defineCommand } from '../../../common/command.ts';
import { printStatus } from '../../../common/glyphs.ts';
import { connect } from '../../connect.ts';
import { printJson } from '../../output/json.ts';
import { sessionName } from '../../session/start-options.ts';

export default defineCommand({
  positionals: {
    session: argument('SESSION_ID_OR_NAME', 'The session.'),
    newName: argument('NEW_NAME', 'Its new name, 4 to 64 characters.', sessionName),
  },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    await client.session.rename(args.session, args.newName);
    if (globals.output === 'json') printJson(io, { ok: true, name: args.newName });
    else printStatus(io.stderr, 'done', `Session renamed to ${args.newName}.`);
    return 0;
  },
});
