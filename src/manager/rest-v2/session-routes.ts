/** The newer HTTP operations on one session that no field of the schema does: labels, logs, apps. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import type { GraphqlEngine } from '../graphql/engine.ts';
import { callerOf } from '../graphql/rest.ts';
import { route } from '../http/declare.ts';
import { uuidText } from '../http/parameters.ts';
import type { Route } from '../http/route.ts';
import { appOptions, appPort, jsonObject } from '../session/app-options.ts';
import { endApp, openApp } from '../session/apps.ts';
import { sessionName } from '../session/create-request.ts';
import { sessionLogs } from '../session/logs.ts';
import { getSessionForCaller, relabelSession } from '../session/service.ts';
import { tellOne } from './bridge.ts';

const params = v.object({ session_id: uuidText });
const path = '/v2/sessions/:session_id';
const service = v.pipe(v.string(), v.nonEmpty());

const labels = v.object({
  name: v.nullish(sessionName, null),
  tag: v.nullish(v.pipe(v.string(), v.maxLength(64)), null),
});
const start = v.object({
  service,
  port: v.nullish(appPort, null),
  envs: jsonObject,
  arguments: jsonObject,
  login_session_token: v.nullish(v.pipe(v.string(), v.maxLength(127)), null),
});

const user = { auth: 'user', gate: 'read' } as const;

export const v2SessionRoutes = (ctx: ManagerContext, engine: GraphqlEngine): Route[] => [
  route(
    {
      ...{ ...user, gate: 'all', method: 'PATCH', path },
      summary: 'Give a running session another name or tag.',
      takes: { params, body: labels },
    },
    async (request, input) => {
      const { session_id: id } = input.params;
      const session = await getSessionForCaller(ctx, request.caller, id);
      await relabelSession({ ...request, ctx }, session, input.body);
      const row = await tellOne(engine, callerOf(ctx, request), 'sessionV2', { id: session.id });
      return { json: { session: row } };
    },
  ),
  route(
    {
      ...{ ...user, method: 'GET', path: `${path}/logs` },
      summary: 'Read the log of a container.',
      takes: { params, query: v.object({ kernel_id: v.optional(uuidText) }) },
    },
    async (request, { params: { session_id: id }, query }) => {
      const session = await getSessionForCaller(ctx, request.caller, id, { includeDead: true });
      return { json: { logs: await sessionLogs(ctx, session, query.kernel_id ?? null) } };
    },
  ),
  route(
    {
      ...{ ...user, method: 'POST', path: `${path}/services/start` },
      summary: 'Start an app, and get a token to open it through the app proxy.',
      takes: { params, body: start },
    },
    async (request, { params: { session_id: id }, body }) => {
      const session = await getSessionForCaller(ctx, request.caller, id);
      const options = appOptions({ envs: body.envs, arguments: body.arguments });
      const asked = { app: body.service, port: body.port, options };
      const opened = await openApp(ctx, session, asked, body.login_session_token);
      return { json: { token: opened.token, wsproxy_addr: opened.proxyUrl } };
    },
  ),
  route(
    {
      ...{ ...user, method: 'POST', path: `${path}/services/shutdown` },
      summary: 'End an app.',
      takes: { params, body: v.object({ service }) },
    },
    async (request, { params: { session_id: id }, body }) => {
      const session = await getSessionForCaller(ctx, request.caller, id);
      await endApp(ctx, session, body.service);
      return undefined;
    },
  ),
];
