/** One case of a run: gets a session, sends the files, runs the code, cleans up. */
import {
  ApiError,
  type Client,
  type CreatedSession,
  type ExecuteStart,
  type SessionSpec,
} from '../../client/index.ts';
import { systemClock } from '../../common/clock.ts';
import type { CommandIo } from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { printStatus, type StatusKind, WaitingLine } from '../../common/glyphs.ts';
import { describeFailure } from '../framework/failures.ts';
import type { LineReader } from '../framework/prompt.ts';
import { createSession } from '../session/create.ts';
import { waitUntilEnded } from '../session/ended.ts';
import { fetchStatistics, statisticsTable } from '../session/statistics.ts';
import { type LocalFile, uploadFiles } from '../session/transfer.ts';
import { execute, type RunOutput } from './execution.ts';
import type { Interrupts } from './interrupts.ts';
import { attachTerminal } from './terminal.ts';

export interface RunCase {
  readonly index: number;
  readonly spec: SessionSpec;
  readonly files: readonly LocalFile[];
  /** What is run; null when somebody types. */
  readonly start: ExecuteStart | null;
}

export interface RunContext {
  readonly client: Client;
  readonly io: CommandIo;
  readonly quiet: boolean;
  /** End the session afterwards. */
  readonly remove: boolean;
  /** Tell what the session used, before its end. */
  readonly stats: boolean;
  readonly interrupts: Interrupts;
  readonly lines: LineReader;
}

type Status = (kind: StatusKind, text: string) => void;

function reportSession(one: RunCase, created: CreatedSession, status: Status): void {
  const { spec } = one;
  if (created.status === 'PENDING') {
    status('info', `Session ${spec.name} is enqueued for scheduling.`);
  } else if (created.status !== 'RUNNING') {
    const what = created.status === 'TIMEOUT' ? 'still in the queue' : created.status;
    throw new UserError(`Session ${spec.name} is not running: ${what}.`, {
      hint: `\`backend.ai info ${created.sessionId}\` tells more.`,
    });
  } else if (created.created) {
    const where = `(domain=${spec.domain}, group=${spec.group})`;
    status('done', `Session ${spec.name} is ready ${where}.`);
  } else {
    status('done', `Reusing session ${spec.name}.`);
  }
}

async function sendFiles(
  context: RunContext,
  one: RunCase,
  session: string,
  status: Status,
): Promise<void> {
  if (one.files.length === 0) return;
  const line = new WaitingLine(context.io.stderr);
  await uploadFiles(context.client, session, one.files, (sent) => {
    if (!context.quiet)
      line.show(`[${one.index}] Uploading files (${sent}/${one.files.length})...`);
  });
  line.clear();
  status('done', 'Uploading done.');
}

/**
 * Ends the session and waits for that, so that its folders and resources can be used by the next
 * command. A failure is reported, not thrown: it must not hide how the code itself ended.
 */
async function removeSession(context: RunContext, session: string, status: Status): Promise<void> {
  const { client, io, quiet, interrupts } = context;
  const line = new WaitingLine(io.stderr);
  try {
    await client.session.destroy(session);
    const ended = await waitUntilEnded(client, session, {
      clock: io.clock ?? systemClock,
      signal: interrupts.leave,
      report: (state) => {
        if (!quiet && io.stderr.isTTY) line.show(`Waiting for the session's end (${state})...`);
      },
    });
    line.clear();
    if (ended) status('done', 'Cleaned up the session.');
    else status('info', `Session ${session} ends; what it uses is not free yet.`);
  } catch (error) {
    line.clear();
    if (interrupts.leave.aborted || (error instanceof ApiError && error.status === 404)) return;
    status('fail', `Session ${session} was not removed: ${describeFailure(error)}`);
  }
}

async function tellStatistics(
  { client, io }: RunContext,
  session: string,
  status: Status,
): Promise<void> {
  try {
    const table = statisticsTable(await fetchStatistics(client, session));
    status('info', `Statistics:${table === null ? ' nothing was measured yet.' : ''}`);
    if (table !== null) io.stderr.write(table);
  } catch (error) {
    status('fail', `What the session used is not known: ${describeFailure(error)}`);
  }
}

/**
 * @returns the exit code of the code.
 * @throws whatever made it impossible to run; with `remove` the session is ended all the same.
 */
export async function runCase(
  context: RunContext,
  one: RunCase,
  makeOutput: (status: Status) => RunOutput,
): Promise<number> {
  const { io, quiet, remove, interrupts, client, lines } = context;
  const status: Status = (kind, text) => {
    if (!quiet || kind === 'fail') printStatus(io.stderr, kind, `[${one.index}] ${text}`);
  };
  let session: string | null = null;
  try {
    const created = await createSession(client, one.spec, io, { quiet, signal: interrupts.leave });
    session = created.sessionId;
    reportSession(one, created, status);
    if (one.spec.enqueueOnly) return 0;
    await sendFiles(context, one, session, status);
    const { start } = one;
    if (start === null) return await attachTerminal({ client, session, io, interrupts });
    return await execute({
      client,
      session,
      start,
      output: makeOutput(status),
      interrupts,
      input: { lines, io },
    });
  } finally {
    if (remove && !one.spec.enqueueOnly) {
      // Given up while it was still in the queue: it has a name, but its id is not known here.
      const target = session ?? (interrupts.leave.aborted ? one.spec.name : null);
      if (context.stats && session !== null) await tellStatistics(context, session, status);
      if (target !== null) await removeSession(context, target, status);
    }
  }
}
