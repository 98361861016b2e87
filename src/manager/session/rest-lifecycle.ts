/** Routes that look at, rename and end a session. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { type Input, route } from '../http/declare.ts';
import { aliased, lenientBoolean, uuidText } from '../http/parameters.ts';
import type { AuthenticatedRequest, Route, RouteResult } from '../http/route.ts';
import { loadIdleReports } from '../idle/report.ts';
import { dependencyGraph, publicHostOfAgent } from './api-store.ts';
import { sessionName } from './create-request.ts';
import {
  findSession,
  ofSession,
  type SessionInput,
  sessionOperation,
  withOwner,
} from './request.ts';
import { matchSessions, renameSession, statusHistory, terminateSession } from './service.ts';
import { sessionInfo, statusHistoryReply } from './shape.ts';

const destruction = {
  ...ofSession,
  query: withOwner(
    v.object({
      forced: v.optional(lenientBoolean, 'false'),
      recursive: v.optional(lenientBoolean, 'false'),
    }),
  ),
};

/** The session to end. One that ended already is found by id, so that clients may repeat. */
async function findSessionToEnd(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
  input: SessionInput,
) {
  try {
    return await findSession(ctx, request, input);
  } catch (error) {
    const byId = v.is(uuidText, input.params.session_name);
    if (byId && error instanceof BackendError && error.problem === 'SessionNotFound') {
      return await findSession(ctx, request, input, { includeDead: true });
    }
    throw error;
  }
}

async function destroySession(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
  input: Input<typeof destruction>,
): Promise<RouteResult> {
  const { forced, recursive } = input.query;
  const session = await findSessionToEnd(ctx, request, input);
  const dependents = recursive ? request.caller : null;
  const end = { sessionId: session.id, forced, dependents, by: request };
  const status = await terminateSession(ctx, end);
  return { json: { stats: status === null ? {} : { status } } };
}

const renaming = {
  ...ofSession,
  fields: aliased(
    { session_name: ['name', 'clientSessionToken'] },
    v.object({ session_name: sessionName }),
  ),
};

const matchQuery = v.object({ id: v.pipe(v.string(), v.nonEmpty('name a prefix to look for')) });

async function directAccess(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
  input: SessionInput,
): Promise<RouteResult> {
  const session = await findSession(ctx, request, input);
  const { agentId, servicePorts } = session.mainKernel;
  if (session.sessionType !== 'system' || agentId === null) return { json: {} };
  const port =
    servicePorts.find(({ name }) => name === 'sftpd') ??
    servicePorts.find(({ name }) => name === 'sshd');
  return {
    json: {
      kernel_role: 'SYSTEM',
      session_type: 'SYSTEM',
      public_host: await publicHostOfAgent(ctx.sql, agentId),
      sshd_ports: port?.host_ports ?? [],
    },
  };
}

/** Routes that only look at a session, dead ones included where they have something to tell. */
const lookingRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      ...sessionOperation('GET', '/session/_/match', 'Find sessions by the start of name or id.'),
      takes: { query: matchQuery },
    },
    async ({ caller }, { query }) => ({
      json: { matches: await matchSessions(ctx, caller, query.id) },
    }),
  ),
  route(
    {
      ...sessionOperation('GET', '/session/:session_name', 'Describe a session.'),
      takes: ofSession,
    },
    async (request, input) => {
      const session = await findSession(ctx, request, input);
      const reports = await loadIdleReports(ctx, [session.id]);
      return { json: sessionInfo(session, ctx.clock.now(), reports.get(session.id) ?? {}) };
    },
  ),
  route(
    {
      ...sessionOperation(
        'GET',
        '/session/:session_name/status-history',
        'Tell when a session had which status.',
      ),
      takes: ofSession,
    },
    async (request, input) => {
      const session = await findSession(ctx, request, input, { includeDead: true });
      return { json: statusHistoryReply(await statusHistory(ctx, session.id)) };
    },
  ),
  route(
    {
      ...sessionOperation(
        'GET',
        '/session/:session_name/dependency-graph',
        'Tell which sessions a session waits for.',
      ),
      takes: ofSession,
    },
    async (request, input) => {
      const session = await findSession(ctx, request, input, { includeDead: true });
      return { json: await dependencyGraph(ctx.sql, session.id) };
    },
  ),
  route(
    {
      ...sessionOperation(
        'GET',
        '/session/:session_name/direct-access-info',
        'Tell how to reach a system session over SSH.',
      ),
      takes: ofSession,
    },
    (request, input) => directAccess(ctx, request, input),
  ),
];

const transit = {
  body: aliased(
    { ids: ['session_ids', 'sessionIds', 'SessionIds'] },
    v.object({ ids: v.array(v.pipe(v.string(), v.uuid())) }),
  ),
};

export const lifecycleRoutes = (ctx: ManagerContext): Route[] => [
  ...lookingRoutes(ctx),
  route(
    {
      ...sessionOperation('DELETE', '/session/:session_name', 'End a session.'),
      takes: destruction,
    },
    (request, input) => destroySession(ctx, request, input),
  ),
  route(
    {
      ...sessionOperation('PATCH', '/session/:session_name', 'Refused: restart a session.'),
      takes: ofSession,
    },
    async () => {
      throw new BackendError(
        'NotImplementedAPI',
        'Sessions cannot be restarted. Destroy this one and create another.',
      );
    },
  ),
  route(
    {
      method: 'POST',
      path: '/session/_/transit-status',
      gate: 'all',
      auth: 'user',
      summary: 'Refused: move sessions to the status that their kernels have.',
      takes: transit,
    },
    async () => {
      throw new BackendError(
        'NotImplementedAPI',
        'Sessions follow their kernels by themselves; there is nothing to be done.',
      );
    },
  ),
  route(
    {
      ...sessionOperation('POST', '/session/:session_name/rename', 'Rename a session.'),
      gate: 'all',
      takes: renaming,
    },
    async (request, input) => {
      const session = await findSession(ctx, request, input);
      await renameSession({ ...request, ctx }, session, input.fields.session_name);
      return undefined;
    },
  ),
];
