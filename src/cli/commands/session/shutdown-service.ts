/** `session shutdown-service`. */
import { argument, defineCommand } from '../../../common/command.ts';
import { printStatus } from '../../../common/glyphs.ts';
import { connect } from '../../connect.ts';
import { printJson } from '../../output/json.ts';

export default defineCommand({
  positionals: {
    session: argument('SESSION_ID_OR_NAME', 'The session.'),
    app: argument('APP', 'The app to end.'),
  },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    await client.session.shutdownService(args.session, args.app);
    if (globals.output === 'json') printJson(io, { ok: true, app: args.app });
    else printStatus(io.stderr, 'done', `${args.app} has ended.`);
    return 0;
  },
});
