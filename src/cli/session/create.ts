/** Creates a session and, while that takes long, says what it is waiting for. */
import * as v from 'valibot';
import type { Client, CreatedSession, SessionSpec } from '../../client/index.ts';
import { type Clock, systemClock } from '../../common/clock.ts';
import type { CommandIo } from '../../common/command.ts';
import { WaitingLine } from '../../common/glyphs.ts';
import { isRecord } from '../output/fields.ts';

/** A wait shorter than this needs no explanation. */
const FIRST_REPORT_MS = 1000;
const REPORT_INTERVAL_MS = 1000;

const progress = v.object({
  status: v.optional(v.string(), 'PENDING'),
  /** The word "None" stands for nothing. */
  statusInfo: v.optional(v.nullable(v.string())),
  statusData: v.optional(v.unknown()),
});

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

/** One line about a session that is not there yet; `info` is the server's summary of it. */
export function describeWait(name: string, info: unknown): string {
  const { status, statusInfo, statusData } = v.parse(progress, info);
  const reasons = pendingReasons(statusData);
  // Of a session that is on its way, the server's summary only repeats the status.
  const isQueued = status === 'PENDING' && statusInfo && statusInfo !== 'None';
  if (reasons.length === 0 && isQueued) reasons.push(statusInfo);
  const head = `Waiting for session ${name} (${status})`;
  return reasons.length === 0 ? `${head}...` : `${head}: ${reasons.join('; ')}`;
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
    const info = await client.session.get(name);
    if (!signal.aborted) line.show(describeWait(name, info));
    await clock.sleep(REPORT_INTERVAL_MS, signal);
  }
}

/** Says what a session waits for while `make` lasts. */
export async function whileWaiting<T>(
  client: Client,
  name: string,
  io: CommandIo,
  make: () => Promise<T>,
  options: { quiet?: boolean; clock?: Clock } = {},
): Promise<T> {
  const done = new AbortController();
  const line = new WaitingLine(io.stderr);
  if (!options.quiet) {
    // A report that fails is not worth an error of its own: the creation itself tells what is wrong.
    reportWait(client, name, line, options.clock ?? systemClock, done.signal).catch(() => {});
  }
  try {
    return await make();
  } finally {
    done.abort();
    line.clear();
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
  return whileWaiting(
    client,
    spec.name,
    io,
    () => client.session.create(spec, options.signal),
    options,
  );
}
