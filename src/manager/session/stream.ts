/** Execution over a WebSocket: output flows as it comes, and input lines go back as plain text. */
import * as v from 'valibot';
import { BackendError, errorMessage } from '../../common/errors.ts';
import { parseOutside } from '../../common/parse.ts';
import type { ManagerContext } from '../context.ts';
import { route, socketRoute } from '../http/declare.ts';
import type { AuthenticatedRequest, Route, SocketPeer, SocketRoute } from '../http/route.ts';
import { executeStep, type RunRequest, sliceReply, toRunRequest } from './execution.ts';
import { callKernel } from './kernel-call.ts';
import { terminalRoute } from './pty.ts';
import { findSession, ofSession, type SessionInput, sessionOperation } from './request.ts';
import type { SessionRecord } from './service.ts';
import { serviceApps } from './shape.ts';
import { tunnelRoutes } from './tunnel.ts';
import { TunnelTracker } from './tunnel-tracker.ts';

/** Longest wait for output before an empty frame shows that the run goes on. Milliseconds. */
const QUIET_MS = 5000;

/** How often a run that waits for a line is asked whether it still does. Milliseconds. */
const PROMPT_CHECK_MS = 250;

const firstMessage = v.pipe(
  v.string(),
  v.parseJson({}, 'the first message must be JSON'),
  v.object({
    mode: v.picklist(['query', 'batch'], 'mode must be query or batch'),
    code: v.nullish(v.string()),
    options: v.nullish(v.record(v.string(), v.unknown())),
  }),
);

const textOf = (message: string | Uint8Array): string =>
  typeof message === 'string' ? message : new TextDecoder().decode(message);

type Messages = AsyncIterator<string | Uint8Array>;

/** The next message as text; null once the client is gone. */
async function nextText(messages: Messages): Promise<string | null> {
  const next = await messages.next();
  return next.done ? null : textOf(next.value);
}

const sendJson = (peer: SocketPeer, value: unknown) => peer.send(JSON.stringify(value));

/** The result of `work`, or null as soon as the client goes away. */
async function unlessGone<T>(peer: SocketPeer, work: Promise<T>): Promise<T | null> {
  if (peer.signal.aborted) return null;
  const gone = Promise.withResolvers<null>();
  const onAbort = () => gone.resolve(null);
  peer.signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, gone.promise]);
  } finally {
    peer.signal.removeEventListener('abort', onAbort);
  }
}

/**
 * Drives a run to its end. The next slice is asked for only after the previous one was taken off
 * our hands, so a slow client slows the program instead of filling memory.
 * @returns whether the run ended; false when the client left first.
 */
async function pump(
  ctx: ManagerContext,
  session: SessionRecord,
  peer: SocketPeer,
  messages: Messages,
  start: RunRequest,
): Promise<boolean> {
  let step = start;
  let waitMs = QUIET_MS;
  let line: Promise<string | null> | null = null;
  for (;;) {
    const slice = await unlessGone(peer, executeStep(ctx, session, step, { waitMs, eager: true }));
    if (slice === null) return false;
    const asking = slice.status === 'waiting-input';
    // The client knows of the question already when its answer is being waited for.
    if (!(asking && line !== null && slice.console.length === 0)) {
      await sendJson(peer, sliceReply(slice));
    }
    if (slice.status === 'finished' || slice.status === 'exec-timeout') return true;
    step = { ...start, mode: 'continue', code: '', options: {} };
    waitMs = QUIET_MS;
    if (!asking) continue;
    line ??= nextText(messages);
    const answer = await Promise.race([line, ctx.clock.sleep(PROMPT_CHECK_MS)]);
    if (answer === null) return false;
    if (answer === undefined) {
      // No line yet. An interrupt ends the question without one, so look whether it still stands.
      waitMs = 0;
    } else {
      line = null;
      step = { ...step, mode: 'input', code: answer };
    }
  }
}

async function streamExecute(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
  input: SessionInput,
  peer: SocketPeer,
): Promise<void> {
  const messages = peer.messages[Symbol.asyncIterator]();
  let started: SessionRecord | null = null;
  let ended = false;
  try {
    const text = await nextText(messages);
    if (text === null) return;
    const parsed = parseOutside(firstMessage, text);
    if (!parsed.success) {
      throw new BackendError(
        'InvalidStreamMode',
        `Invalid API parameters: ${parsed.issues[0].message}`,
      );
    }
    const { mode, code, options } = parsed.output;
    const run = toRunRequest(ctx, mode, { mode, code, options, run_id: null });
    started = await findSession(ctx, request, input);
    ended = await pump(ctx, started, peer, messages, run);
  } catch (error) {
    // A failed send means that the client left; anything else is told to it.
    if (!peer.signal.aborted) {
      if (!(error instanceof BackendError)) {
        ctx.log.error('streamed execution failed', { error: errorMessage(error) });
      }
      const msg = error instanceof BackendError ? error.message : 'Internal server error.';
      await sendJson(peer, { status: 'error', msg });
    }
  }
  if (started && !ended && peer.signal.aborted) await interrupt(ctx, started);
  peer.close(1000);
}

/** Stops a run that nobody reads any more; its kernel may be gone as well. */
async function interrupt(ctx: ManagerContext, session: SessionRecord): Promise<void> {
  try {
    await callKernel(ctx, session, session.mainKernel, ({ agent, kernelId }) =>
      agent.interrupt({ kernelId }),
    );
  } catch (error) {
    ctx.log.debug('could not interrupt an abandoned run', {
      session: session.id,
      error: errorMessage(error),
    });
  }
}

export const streamRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      ...sessionOperation(
        'GET',
        '/stream/session/:session_name/apps',
        'List the apps of a session.',
      ),
      takes: ofSession,
    },
    async (request, input) => {
      const session = await findSession(ctx, request, input);
      return { json: serviceApps(session.mainKernel.servicePorts) };
    },
  ),
];

export function sessionSocketRoutes(ctx: ManagerContext): SocketRoute[] {
  const tracker = new TunnelTracker(ctx);
  return [executeRoute(ctx), terminalRoute(ctx, tracker), ...tunnelRoutes(ctx, tracker)];
}

const executeRoute = (ctx: ManagerContext): SocketRoute =>
  socketRoute(
    {
      path: '/stream/session/:session_name/execute',
      gate: 'read',
      auth: 'user',
      summary: 'Run code over a WebSocket.',
      takes: ofSession,
    },
    (request, input, peer) => streamExecute(ctx, request, input, peer),
  );
