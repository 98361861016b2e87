/** Routes that start and end applications of a session. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { type ServiceOptions, serviceOptions } from '../../common/protocol/service.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { aliased } from '../http/parameters.ts';
import type { Route } from '../http/route.ts';
import { openApp } from './apps.ts';
import { callKernel } from './kernel-call.ts';
import { findSession, ofSession, sessionOperation } from './request.ts';

/** Values as people write them in JSON: numbers and booleans are as good as their text. */
const looseValue = v.union([
  v.null(),
  v.string(),
  v.pipe(v.union([v.number(), v.boolean()]), v.transform(String)),
  v.array(v.pipe(v.union([v.string(), v.number(), v.boolean()]), v.transform(String))),
]);

/** A JSON object, or text that is one; the word `null` stands for none. */
const jsonObject = v.optional(
  v.union([
    v.pipe(
      v.nullable(v.record(v.string(), looseValue)),
      v.transform((value) => value ?? {}),
    ),
    v.pipe(
      v.string(),
      v.transform((text) => (text.trim() === '' ? 'null' : text)),
      v.parseJson(undefined, 'expected a JSON object'),
      v.nullable(v.record(v.string(), looseValue)),
      v.transform((value) => value ?? {}),
    ),
  ]),
  {},
);

const portNumber = v.pipe(
  v.union([v.number(), v.pipe(v.string(), v.regex(/^\d{1,5}$/), v.transform(Number))]),
  v.integer(),
  v.minValue(1024, 'expected a port from 1024 to 65535'),
  v.maxValue(65_535, 'expected a port from 1024 to 65535'),
);

const start = {
  ...ofSession,
  body: aliased(
    { app: ['service'] },
    v.object({
      app: v.pipe(v.string(), v.nonEmpty()),
      port: v.nullish(portNumber, null),
      envs: jsonObject,
      arguments: jsonObject,
      login_session_token: v.nullish(v.pipe(v.string(), v.maxLength(127)), null),
    }),
  ),
};

function optionsOf(given: { envs: unknown; arguments: unknown }): ServiceOptions {
  const parsed = v.safeParse(serviceOptions, given);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw new BackendError(
    'InvalidAPIParameters',
    `${v.getDotPath(issue) ?? 'the options'}: ${issue.message}`,
  );
}

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
      const options = optionsOf({ envs, arguments: args });
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
      await callKernel(ctx, session, session.mainKernel, ({ agent, kernelId }) =>
        agent.shutdownService({ kernelId, service }),
      );
      return undefined;
    },
  ),
];
