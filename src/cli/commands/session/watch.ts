/** `session watch`: follows one session until it is over. */
import * as v from 'valibot';
import type { Client, SessionMatch } from '../../../client/index.ts';
import {
  type CommandIo,
  choice,
  defineCommand,
  integer,
  option,
  optionWithDefault,
  restArguments,
} from '../../../common/command.ts';
import { printStatus } from '../../../common/glyphs.ts';
import { connect } from '../../connect.ts';
import { askLine, LineReader } from '../../framework/prompt.ts';

const TIMEOUT_EXIT_CODE = 3;
const UUID = /^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/i;

const eventData = v.pipe(
  v.string(),
  v.parseJson(),
  v.looseObject({ exitCode: v.optional(v.nullable(v.number()), null) }),
);

/** Whether an event ends the watching, and with which exit code; null: go on. */
export function endOf(event: string, exitCode: number | null): number | null {
  if (event === 'session_success') return exitCode ?? 0;
  if (event === 'session_failure') return exitCode || 1;
  const isOver = ['session_terminated', 'session_cancelled', 'kernel_cancelled'].includes(event);
  return isOver ? 0 : null;
}

const FAILURES = ['session_failure', 'session_cancelled', 'kernel_cancelled'];

const ENDED: Readonly<Record<string, string>> = {
  TERMINATED: 'session_terminated',
  CANCELLED: 'session_cancelled',
};
const RESULTS: Readonly<Record<string, string>> = {
  SUCCESS: 'session_success',
  FAILURE: 'session_failure',
};
const summary = v.nullable(
  v.object({
    status: v.nullable(v.string()),
    result: v.nullable(v.string()),
    status_data: v.nullable(
      v.pipe(
        v.string(),
        v.parseJson(),
        v.nullable(
          v.looseObject({
            kernel: v.optional(v.looseObject({ exit_code: v.nullish(v.number(), null) })),
          }),
        ),
      ),
    ),
  }),
);

/** What a session that is over ended with, as its last event would have told; null while it goes on. */
async function endBefore(client: Client, id: string) {
  const document = 'query($id: UUID!) { compute_session(id: $id) { status result status_data } }';
  const session = await client.graphql.field('compute_session', summary, document, { id });
  const ended = ENDED[session?.status ?? ''];
  if (ended === undefined) return null;
  const event = RESULTS[session?.result ?? ''] ?? ended;
  return { event, exitCode: session?.status_data?.kernel?.exit_code ?? null };
}

/** Lets people choose; null when they don't. */
async function pick(io: CommandIo, matches: readonly SessionMatch[]): Promise<string | null> {
  matches.forEach(({ name, status }, index) => {
    io.stderr.write(`${index + 1}. ${name} (${status})\n`);
  });
  const answer = await askLine(io, new LineReader(io.input), 'Select session to watch: ');
  return matches[Number(answer) - 1]?.id ?? matches.find(({ name }) => name === answer)?.id ?? null;
}

export default defineCommand({
  help: 'Follow what happens to a session until it is over.',
  positionals: {
    sessions: restArguments('SESSION_NAME_OR_ID', 'The session, or how its name begins.'),
  },
  options: {
    owner: option(['-o', '--owner', '--owner-access-key'], 'AK', 'Owner (administrators).'),
    scope: optionWithDefault(
      ['--scope'],
      'SCOPE',
      'session, kernel, both with a comma, or *.',
      'session,kernel',
      String,
    ),
    maxWait: option(['--max-wait'], 'SEC', 'Give up after this long.', integer({ min: 0 })),
    output: option(['--output'], '[json|console]', 'How to print.', choice(['json', 'console'])),
  },
  async run({ options, args, io, globals }) {
    const json = (options.output ?? globals.output) === 'json';
    const client = await connect({ io, globals });
    const [wanted] = args.sessions;
    const known = wanted !== undefined && (UUID.test(wanted) || options.owner !== undefined);
    const matches = known ? [] : await client.session.match(wanted ?? '');
    const found = known
      ? wanted
      : wanted === undefined && matches.length > 1
        ? await pick(io, matches)
        : (matches[0]?.id ?? null);
    if (found === null) {
      const reason = 'No matching items.';
      if (json) io.stderr.write(`${JSON.stringify({ ok: false, reason })}\n`);
      else printStatus(io.stderr, 'fail', reason);
      return 1;
    }
    const query = UUID.test(found) ? { sessionId: found } : { sessionName: found };
    const timeout = options.maxWait ? AbortSignal.timeout(options.maxWait * 1000) : undefined;
    const done = new AbortController();
    const say = (event: string, data: object) => {
      if (json) io.stdout.write(`${JSON.stringify({ ...data, event })}\n`);
      else printStatus(io.stderr, FAILURES.includes(event) ? 'fail' : 'done', event);
    };
    try {
      const events = await client.sessionEvents(
        { ...query, scope: options.scope, ownerAccessKey: options.owner },
        timeout ? AbortSignal.any([timeout, done.signal]) : done.signal,
      );
      // It may have ended before the server began to listen: then nothing more would be heard of it.
      const over = 'sessionId' in query ? await endBefore(client, found) : null;
      if (over !== null) {
        say(over.event, { sessionId: found, exitCode: over.exitCode });
        return endOf(over.event, over.exitCode) ?? 0;
      }
      for await (const { event, data } of events) {
        const parsed = v.parse(eventData, data);
        say(event, parsed);
        const exitCode = endOf(event, parsed.exitCode);
        if (exitCode !== null) return exitCode;
      }
    } catch (error) {
      if (!timeout?.aborted) throw error;
      printStatus(io.stderr, 'warn', `The session is not over after ${options.maxWait} seconds.`);
      return TIMEOUT_EXIT_CODE;
    } finally {
      done.abort();
    }
    printStatus(io.stderr, 'fail', 'The server ended the stream of events.');
    return 1;
  },
});
