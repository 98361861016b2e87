/** Routes that start and end applications of a session. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { aliased } from '../http/parameters.ts';
import type { Route } from '../http/route.ts';
import { appOptions, appPort, jsonObject } from './app-options.ts';
import { endApp, openApp } from './apps.ts';
import { findSession, ofSession, sessionOperation } from './request.ts';

const start = {
  ...ofSession,
  body: aliased(
    { app: ['service'] },
    v.object({
      app: v.pipe(v.string(), v.nonEmpty()),
      port: v.nullish(appPort, null),
      envs: jsonObject,
      arguments: jsonObject,
      login_session_token: v.nullish(v.pipe(v.string(), v.maxLength(127)), null),
    }),
  ),
};

const shutdown = {
  ...ofSession,
  fields: v.object({ service_name: v.pipe(v.string(), v.nonEmpty()) }),
};

export const appRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      ...sessionOperation(
        'POST',
        '/session/:session_name/start-service',
        'Start an app, and get a token to open it through the app proxy.',
      ),
      takes: start,
    },
    async (request, input) => {
      const { app, port, envs, arguments: args, login_session_token } = input.body;
      const session = await findSession(ctx, request, input);
      const options = appOptions({ envs, arguments: args });
      const opened = await openApp(ctx, session, { app, port, options }, login_session_token);
      return { json: { token: opened.token, wsproxy_addr: opened.proxyUrl } };
    },
  ),
  route(
    {
      ...sessionOperation('POST', '/session/:session_name/shutdown-service', 'End an app.'),
      takes: shutdown,
    },
    async (request, input) => {
      const { service_name: service } = input.fields;
      const session = await findSession(ctx, request, input);
      await endApp(ctx, session, service);
      return undefined;
    },
  ),
];
