/** `session start-service`. */
import { argument, defineCommand, integer, option } from '../../../common/command.ts';
import { connect } from '../../connect.ts';
import { printJson } from '../../output/json.ts';

export default defineCommand({
  positionals: {
    session: argument('SESSION_ID_OR_NAME', 'The session.'),
    app: argument('APP', 'The app, such as ttyd; see the service ports of the session.'),
  },
  options: {
    port: option(
      ['--port'],
      'PORT',
      'One of the ports that the app has inside the session; its first by default.',
      integer({ min: 1024, max: 65535 }),
    ),
  },
  async run({ args, options, io, globals }) {
    const client = await connect({ io, globals });
    const started = await client.session.startService(args.session, {
      app: args.app,
      ...(options.port === undefined ? {} : { port: options.port }),
    });
    if (globals.output === 'json') printJson(io, { ok: true, ...started });
    else {
      io.stdout.write(`Token          ${started.token}\nApp proxy      ${started.wsproxy_addr}\n`);
    }
    return 0;
  },
});
