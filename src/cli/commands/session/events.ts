/** `session events`: the events of a session as they happen. */
import {
  argument,
  defineCommand,
  flag,
  option,
  optionWithDefault,
} from '../../../common/command.ts';
import { connect } from '../../connect.ts';

const UUID = /^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/i;
const BATCH_RESULT = 'batch_session_result';

/** The exit code that `event` means when waiting for `wanted`; null: go on waiting. */
export function exitCodeOf(event: string, wanted: string | undefined): number | null {
  if (wanted === undefined) return null;
  if (wanted === BATCH_RESULT) {
    if (event === 'session_success') return 0;
    return event === 'session_failure' ? 1 : null;
  }
  return event === wanted ? 0 : null;
}

export default defineCommand({
  positionals: { session: argument('SESSION_ID_OR_NAME', 'The session.') },
  options: {
    owner: option(['-o', '--owner', '--owner-access-key'], 'AK', 'Owner (administrators).'),
    scope: optionWithDefault(['--scope'], 'SCOPE', 'session, kernel or *.', '*', String),
    quiet: flag(['-q', '--quiet'], 'Print nothing; for use with --wait.'),
    wait: option(
      ['--wait'],
      'EVENT',
      `Exit at this event; ${BATCH_RESULT} exits with 0 or 1 as the session does.`,
    ),
  },
  async run({ options, args, io, globals }) {
    const client = await connect({ io, globals });
    const events = await client.sessionEvents({
      ...(UUID.test(args.session) ? { sessionId: args.session } : { sessionName: args.session }),
      scope: options.scope,
      ownerAccessKey: options.owner,
    });
    for await (const { event, data } of events) {
      if (!options.quiet) io.stdout.write(`${event} ${data.replaceAll('\n', ' ')}\n`);
      const exitCode = exitCodeOf(event, options.wait);
      if (exitCode !== null) return exitCode;
    }
    return options.wait === undefined ? 0 : 1;
  },
});
