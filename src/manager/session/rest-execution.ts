/** Routes that run code in a session and read what it printed. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import { type Input, route } from '../http/declare.ts';
import { aliased, uuidText } from '../http/parameters.ts';
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
import { sessionLogs } from './logs.ts';
import { findSession, ofSession, sessionOperation, withOwner } from './request.ts';

/** How long one call gathers output. Milliseconds. */
const GATHER_MS = 2000;
/** Most of a log that one call returns, from its end. Bytes. */

const execution = { ...ofSession, body: executeBody };

async function execute(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
  input: Input<typeof execution>,
): Promise<RouteResult> {
  const { body } = input;
  const mode = executionMode(body);
  if (mode === 'complete') {
    const session = await findSession(ctx, request, input);
    return { json: { result: { result: await completeCode(ctx, session, body) } } };
  }
  const run = toRunRequest(ctx, mode, body);
  const session = await findSession(ctx, request, input);
  const slice = await executeStep(ctx, session, run, { waitMs: GATHER_MS, eager: false });
  return { json: { result: { runId: slice.runId, ...sliceReply(slice) } } };
}

const completeBody = v.object({
  code: v.nullish(v.string()),
  options: v.nullish(v.record(v.string(), v.unknown())),
});

const logsQuery = aliased(
  { kernel_id: ['kernelId'] },
  v.object({ kernel_id: v.optional(uuidText) }),
);

export const executionRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      ...sessionOperation('POST', '/session/:session_name', 'Run code, or go on with a run.'),
      takes: execution,
    },
    (request, input) => execute(ctx, request, input),
  ),
  route(
    {
      ...sessionOperation('POST', '/session/:session_name/complete', 'Complete code.'),
      takes: { ...ofSession, body: completeBody },
    },
    async (request, input) => {
      const session = await findSession(ctx, request, input);
      return { json: { result: await completeCode(ctx, session, input.body) } };
    },
  ),
  route(
    {
      ...sessionOperation('POST', '/session/:session_name/interrupt', 'Interrupt what runs.'),
      takes: ofSession,
    },
    async (request, input) => {
      const session = await findSession(ctx, request, input);
      await callKernel(ctx, session, session.mainKernel, ({ agent, kernelId }) =>
        agent.interrupt({ kernelId }),
      );
      return undefined;
    },
  ),
  route(
    {
      ...sessionOperation('GET', '/session/:session_name/logs', 'Read the log of a container.'),
      takes: { ...ofSession, query: withOwner(logsQuery) },
    },
    async (request, input) => {
      const { kernel_id } = input.query;
      const session = await findSession(ctx, request, input, { includeDead: true });
      return { json: { result: { logs: await sessionLogs(ctx, session, kernel_id ?? null) } } };
    },
  ),
];
