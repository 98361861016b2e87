/** Routes that look at, rename and end a session. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { readQuery } from '../http/body.ts';
import { aliased, lenientBoolean } from '../http/parameters.ts';
import type { AuthenticatedRequest, Route, RouteResult } from '../http/route.ts';
import { dependencyGraph, publicHostOfAgent } from './api-store.ts';
import { sessionName } from './create-request.ts';
import { findSession, optionalBody, sessionRoute } from './request.ts';
import { matchSessions, renameSession, statusHistory, terminateSession } from './service.ts';
import { sessionInfo, statusHistoryReply } from './shape.ts';

const destroyQuery = v.object({
  forced: v.optional(lenientBoolean, 'false'),
  recursive: v.optional(lenientBoolean, 'false'),
});

/** The session to end. One that ended already is found by id, so that clients may repeat. */
async function findSessionToEnd(ctx: ManagerContext, request: AuthenticatedRequest) {
  try {
    return await findSession(ctx, request);
  } catch (error) {
    const byId = v.is(v.pipe(v.string(), v.uuid()), request.params.session_name);
    if (byId && error instanceof BackendError && error.problem === 'SessionNotFound') {
      return await findSession(ctx, request, { includeDead: true });
    }
    throw error;
  }
}

async function destroySession(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
): Promise<RouteResult> {
  const { forced, recursive } = readQuery(request.query, destroyQuery);
  const session = await findSessionToEnd(ctx, request);
  const status = await terminateSession(ctx, { sessionId: session.id, forced, recursive });
  return { json: { stats: status === null ? {} : { status } } };
}

const renameBody = aliased(
  { session_name: ['name', 'clientSessionToken'] },
  v.object({ session_name: sessionName }),
);

async function rename(ctx: ManagerContext, request: AuthenticatedRequest): Promise<RouteResult> {
  const body = (await optionalBody(request, renameBody)) ?? readQuery(request.query, renameBody);
  const session = await findSession(ctx, request);
  await renameSession(ctx, session.id, body.session_name);
  return undefined;
}

const matchQuery = v.object({ id: v.pipe(v.string(), v.nonEmpty('name a prefix to look for')) });

async function directAccess(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
): Promise<RouteResult> {
  const session = await findSession(ctx, request);
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

export const lifecycleRoutes = (ctx: ManagerContext): Route[] => [
  sessionRoute('GET', '/session/_/match', 'read', async (request) => {
    const { id } = readQuery(request.query, matchQuery);
    return { json: { matches: await matchSessions(ctx, request.caller, id) } };
  }),
  sessionRoute('GET', '/session/:session_name', 'read', async (request) => ({
    json: sessionInfo(await findSession(ctx, request), ctx.clock.now()),
  })),
  sessionRoute('DELETE', '/session/:session_name', 'read', (request) =>
    destroySession(ctx, request),
  ),
  sessionRoute('PATCH', '/session/:session_name', 'read', async () => {
    throw new BackendError(
      'NotImplementedAPI',
      'Sessions cannot be restarted. Destroy this one and create another.',
    );
  }),
  sessionRoute('POST', '/session/:session_name/rename', 'all', (request) => rename(ctx, request)),
  sessionRoute('GET', '/session/:session_name/status-history', 'read', async (request) => {
    const session = await findSession(ctx, request, { includeDead: true });
    return { json: statusHistoryReply(await statusHistory(ctx, session.id)) };
  }),
  sessionRoute('GET', '/session/:session_name/dependency-graph', 'read', async (request) => {
    const session = await findSession(ctx, request, { includeDead: true });
    return { json: await dependencyGraph(ctx.sql, session.id) };
  }),
  sessionRoute('GET', '/session/:session_name/direct-access-info', 'read', (request) =>
    directAccess(ctx, request),
  ),
];
