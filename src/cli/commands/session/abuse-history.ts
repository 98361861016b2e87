/** `session abuse-history`: what was found wrong with a session. */
import { argument, defineCommand } from '../../../common/command.ts';
import { connect } from '../../connect.ts';
import { printJson } from '../../output/json.ts';

export default defineCommand({
  positionals: { session: argument('SESSION_ID', 'Id or name.') },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    printJson(io, await client.session.abusingReport(args.session));
    return 0;
  },
});
