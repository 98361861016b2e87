/** `POST /session`: enqueue a session and, unless told otherwise, wait until it runs. */
import { BackendError } from '../../common/errors.ts';
import { resolveOwner } from '../auth/delegation.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import type { AuthenticatedRequest, Caller, Route, RouteResult } from '../http/route.ts';
import { type CreateSessionBody, createSessionBody, parseStartsAt } from './create-request.ts';
import { type CreationConfig, parseCreationConfig } from './creation-config.ts';
import { sessionOperation } from './request.ts';
import {
  type EnqueueRequest,
  type EnqueueResult,
  enqueueSession,
  type SessionRecord,
  waitForSession,
} from './service.ts';
import { serviceApps } from './shape.ts';
import { isTerminal } from './status.ts';

/** Refuses, rather than ignores, what this server cannot give. */
export function refuseUnavailable(config: CreationConfig): void {
  if (config.attachNetwork !== null) {
    throw new BackendError(
      'InvalidAPIParameters',
      'attach_network is not available on this server. Create the session without it.',
    );
  }
}

function startTime(body: CreateSessionBody, now: Date): Date | null {
  if (body.starts_at === null) return null;
  const time = parseStartsAt(body.starts_at, now);
  if (time) return time;
  throw new BackendError(
    'InvalidAPIParameters',
    `starts_at: '${body.starts_at}' is neither an ISO-8601 time nor a duration such as 1h.`,
  );
}

/** The session that a body asks for, its config read already. */
export function toEnqueueRequest(
  body: CreateSessionBody,
  config: CreationConfig,
  now: Date,
): EnqueueRequest {
  return {
    sessionName: body.session_name,
    image: body.image,
    architecture: body.architecture,
    sessionType: body.session_type,
    group: body.group,
    domain: body.domain || null,
    scalingGroup: config.scalingGroup,
    clusterMode: body.cluster_mode,
    clusterSize: config.clusterSize ?? body.cluster_size,
    priority: body.priority,
    isPreemptible: body.is_preemptible,
    tag: body.tag,
    startsAt: startTime(body, now),
    batchTimeoutMs: body.batch_timeout,
    startupCommand: body.startup_command,
    bootstrapScript: body.bootstrap_script,
    dependencies: body.dependencies,
    callbackUrl: body.callback_url,
    resources: config.resources,
    resourceOpts: config.resourceOpts,
    environ: config.environ,
    mounts: config.mounts,
    preopenPorts: config.preopenPorts,
    agentList: config.agentList,
    reuse: body.reuse,
  };
}

/** How a session that ended while its creator waited is reported. */
function endedBeforeRunning(session: SessionRecord): BackendError {
  const reason = session.statusInfo ? ` (${session.statusInfo})` : '';
  return new BackendError(
    'SessionNotFound',
    `Session '${session.name}' became ${session.status} before it could run${reason}. ` +
      `Its status data tells why: session id ${session.id}.`,
    { data: { sessionId: session.id, status: session.status, statusInfo: session.statusInfo } },
  );
}

function reply(result: EnqueueResult, status: string, session: SessionRecord | null): RouteResult {
  const ports = session?.mainKernel.servicePorts ?? [];
  return {
    status: 201,
    json: {
      sessionId: result.sessionId,
      sessionName: result.sessionName,
      status,
      servicePorts: result.created ? serviceApps(ports) : ports,
      ...(result.created ? {} : { service_ports: ports }),
      created: result.created,
    },
  };
}

/**
 * What the body of `POST /session` asks for.
 * @param agents agents that somebody who may choose them has chosen; null: those of the config.
 * @throws BackendError InvalidAPIParameters, InsufficientPrivilege.
 */
export function creationRequest(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
  body: CreateSessionBody,
  agents: readonly string[] | null = null,
): EnqueueRequest {
  const sent = parseCreationConfig(body.config, request.apiVersion[0]);
  refuseUnavailable(sent);
  refuseAgentChoice(ctx, request.caller, sent);
  const config = { ...sent, agentList: agents ?? sent.agentList };
  return toEnqueueRequest(body, config, ctx.clock.now());
}

/**
 * Creates a session and, unless it is only enqueued, waits until it runs.
 * @param options.agents agents that somebody who may choose them has chosen; null: those of the config.
 */
export async function createSession(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
  body: CreateSessionBody,
  options: { readonly agents: readonly string[] | null } = { agents: null },
): Promise<RouteResult> {
  const asked = creationRequest(ctx, request, body, options.agents);
  const owner = await resolveOwner(ctx.sql, request.caller, body.owner_access_key);
  const { result, status, session } = await enqueueAndWait(ctx, owner, asked, request, {
    enqueueOnly: body.enqueue_only,
    maxWaitSeconds: body.max_wait_seconds,
  });
  return reply(result, status, session);
}

/**
 * Enqueues a session and, unless it is only enqueued, waits until it runs.
 * @param wait.maxWaitSeconds 0: as long as it takes.
 * @returns its status, `TIMEOUT` when the time is up; the session once it runs.
 * @throws BackendError for what cannot be enqueued, or ended before it ran.
 */
export async function enqueueAndWait(
  ctx: ManagerContext,
  owner: Caller,
  asked: EnqueueRequest,
  by: AuthenticatedRequest,
  wait: { readonly enqueueOnly: boolean; readonly maxWaitSeconds: number },
): Promise<{ result: EnqueueResult; status: string; session: SessionRecord | null }> {
  const result = await enqueueSession(ctx, owner, asked, by);
  if (wait.enqueueOnly) return { result, status: result.status, session: null };
  const session = await waitForSession(ctx, result.sessionId, {
    until: 'running',
    timeoutMs: wait.maxWaitSeconds > 0 ? wait.maxWaitSeconds * 1000 : null,
    signal: by.signal,
  });
  if (session === null) return { result, status: 'TIMEOUT', session };
  if (isTerminal(session.status)) throw endedBeforeRunning(session);
  return { result, status: session.status, session };
}

/** @throws BackendError InsufficientPrivilege where agents are nobody's business but superadmins'. */
export function refuseAgentChoice(
  ctx: ManagerContext,
  caller: Caller,
  config: CreationConfig,
): void {
  if (config.agentList.length > 0 && ctx.settings.hideAgents && !caller.isSuperadmin) {
    throw new BackendError(
      'InsufficientPrivilege',
      'Agents are hidden on this server; only superadmins may choose them. Leave agent_list out.',
    );
  }
}

export const createRoutes = (ctx: ManagerContext): Route[] =>
  ['/session', '/session/_/create'].map((path) =>
    route(
      {
        ...sessionOperation('POST', path, 'Create a session.'),
        gate: 'all',
        takes: { body: createSessionBody },
      },
      (request, { body }) => createSession(ctx, request, body),
    ),
  );
