/** Creates a session and, while that takes long, says what it is waiting for. */
import * as v from 'valibot';
import type { Client, CreatedSession, SessionSpec } from '../../client/index.ts';
import { type Clock, systemClock } from '../../common/clock.ts';
import type { CommandIo } from '../../common/command.ts';
import { WaitingLine } from '../framework/glyphs.ts';
import { isRecord } from '../output/fields.ts';

/** A wait shorter than this needs no explanation. */
const FIRST_REPORT_MS = 1000;
const REPORT_INTERVAL_MS = 1000;

const statusAnswer = v.object({
  compute_session: v.nullable(
    v.object({
      status: v.nullable(v.string()),
      status_info: v.nullable(v.string()),
      status_data: v.nullable(v.pipe(v.string(), v.parseJson())),
    }),
  ),
});

const STATUS_QUERY = `query($id: UUID!) {
  compute_session(id: $id) { status status_info status_data }
}`;

/** The scheduler's reasons, out of `status_data.scheduler`. */
export function pendingReasons(statusData: unknown): string[] {
  const scheduler = isRecord(statusData) ? statusData.scheduler : undefined;
  if (!isRecord(scheduler)) return [];
  const failed = Array.isArray(scheduler.failed_predicates) ? scheduler.failed_predicates : [];
  const messages = failed
    .filter(isRecord)
    .map((predicate) => predicate.msg)
    .filter((message) => typeof message === 'string');
  if (messages.length > 0) return messages;
  return typeof scheduler.msg === 'string' && scheduler.msg !== '' ? [scheduler.msg] : [];
}

async function describeWait(client: Client, name: string): Promise<string> {
  const match = (await client.session.match(name)).find((candidate) => candidate.name === name);
  if (match === undefined) return `Waiting for session ${name}...`;
  const answer = await client.graphql.query(statusAnswer, STATUS_QUERY, { id: match.id });
  const session = answer.compute_session;
  const reasons = pendingReasons(session?.status_data ?? null);
  const why = reasons.length > 0 ? reasons : session?.status_info ? [session.status_info] : [];
  const status = `Waiting for session ${name} (${session?.status ?? match.status})`;
  return why.length === 0 ? `${status}...` : `${status}: ${why.join('; ')}`;
}

async function reportWait(
  client: Client,
  name: string,
  line: WaitingLine,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  await clock.sleep(FIRST_REPORT_MS, signal);
  while (!signal.aborted) {
    const text = await describeWait(client, name);
    if (!signal.aborted) line.show(text);
    await clock.sleep(REPORT_INTERVAL_MS, signal);
  }
}

/**
 * @param quiet say nothing while waiting.
 * @throws ApiError or ConnectionError when it is not created; the signal's reason when given up.
 */
export async function createSession(
  client: Client,
  spec: SessionSpec,
  io: CommandIo,
  options: { quiet?: boolean; signal?: AbortSignal; clock?: Clock } = {},
): Promise<CreatedSession> {
  const done = new AbortController();
  const line = new WaitingLine(io.stderr);
  if (!options.quiet) {
    // A report that fails is not worth an error of its own: the creation itself tells what is wrong.
    reportWait(client, spec.name, line, options.clock ?? systemClock, done.signal).catch(() => {});
  }
  try {
    return await client.session.create(spec, options.signal);
  } finally {
    done.abort();
    line.clear();
  }
}
