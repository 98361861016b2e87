/** Routes that run code in a session and read what it printed. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import { readQuery } from '../http/body.ts';
import { aliased } from '../http/parameters.ts';
import type { AuthenticatedRequest, Route, RouteResult } from '../http/route.ts';
import {
  completeCode,
  executeBody,
  executeStep,
  executionMode,
  sliceReply,
  toRunRequest,
} from './execution.ts';
import { callKernel } from './kernel-call.ts';
import { findSession, sessionRoute } from './request.ts';
import { getKernel, type KernelRecord, type SessionRecord } from './service.ts';
import { isTerminal } from './status.ts';

/** How long one call gathers output. Milliseconds. */
const GATHER_MS = 2000;
/** Most of a log that one call returns, from its end. Bytes. */
const MAX_LOG_BYTES = 8 * 1024 * 1024;

async function execute(ctx: ManagerContext, request: AuthenticatedRequest): Promise<RouteResult> {
  const body = await request.body(executeBody);
  const mode = executionMode(body);
  if (mode === 'complete') {
    const session = await findSession(ctx, request);
    return { json: { result: { result: await completeCode(ctx, session, body) } } };
  }
  const run = toRunRequest(ctx, mode, body);
  const session = await findSession(ctx, request);
  const slice = await executeStep(ctx, session, run, { waitMs: GATHER_MS, eager: false });
  return { json: { result: { runId: slice.runId, ...sliceReply(slice) } } };
}

const completeBody = v.object({
  code: v.nullish(v.string()),
  options: v.nullish(v.record(v.string(), v.unknown())),
});

const logsQuery = aliased(
  { kernel_id: ['kernelId'] },
  v.object({ kernel_id: v.optional(v.pipe(v.string(), v.uuid())) }),
);

async function readLogs(
  ctx: ManagerContext,
  session: SessionRecord,
  kernel: KernelRecord,
): Promise<string> {
  if (isTerminal(kernel.status)) return kernel.containerLog ?? '';
  // Nothing has run yet where there is no container.
  if (kernel.status !== 'RUNNING') return kernel.containerLog ?? '';
  const { logs } = await callKernel(ctx, session, kernel, ({ agent, kernelId }) =>
    agent.logs({ kernelId, maxBytes: MAX_LOG_BYTES }),
  );
  return logs;
}

export const executionRoutes = (ctx: ManagerContext): Route[] => [
  sessionRoute('POST', '/session/:session_name', 'read', (request) => execute(ctx, request)),
  sessionRoute('POST', '/session/:session_name/complete', 'read', async (request) => {
    const body = await request.body(completeBody);
    const session = await findSession(ctx, request);
    return { json: { result: await completeCode(ctx, session, body) } };
  }),
  sessionRoute('POST', '/session/:session_name/interrupt', 'read', async (request) => {
    const session = await findSession(ctx, request);
    await callKernel(ctx, session, session.mainKernel, ({ agent, kernelId }) =>
      agent.interrupt({ kernelId }),
    );
    return undefined;
  }),
  sessionRoute('GET', '/session/:session_name/logs', 'read', async (request) => {
    const { kernel_id } = readQuery(request.query, logsQuery);
    const session = await findSession(ctx, request, { includeDead: true });
    const kernel = kernel_id ? await getKernel(ctx, session.id, kernel_id) : session.mainKernel;
    return { json: { result: { logs: await readLogs(ctx, session, kernel) } } };
  }),
];
