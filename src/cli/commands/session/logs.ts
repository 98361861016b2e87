/** `session logs`: what a session's container has written. */
import { argument, defineCommand, option } from '../../../common/command.ts';
import { printStatus } from '../../../common/glyphs.ts';
import { connect } from '../../connect.ts';
import { printJson } from '../../output/json.ts';

export default defineCommand({
  positionals: { session: argument('SESSION_ID', 'Id or name.') },
  options: {
    kernelId: option(
      ['-k', '--kernel', '--kernel-id'],
      'ID',
      'Another container of the session than the main one.',
    ),
  },
  async run({ options, args, io, globals }) {
    const client = await connect({ io, globals });
    const logs = await client.session.logs(args.session, { kernelId: options.kernelId });
    if (globals.output === 'json') {
      printJson(io, { logs });
      return 0;
    }
    io.stdout.write(logs === '' || logs.endsWith('\n') ? logs : `${logs}\n`);
    printStatus(io.stderr, 'done', 'End of logs.');
    return 0;
  },
});
