/** `/totp`: the second factor of the caller, or of somebody who has to enrol one to sign in. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import { publicRoute, route } from '../http/declare.ts';
import type { Route, RouteRequest } from '../http/route.ts';
import { storableText } from './text.ts';
import * as factor from './two-factor.ts';

const text = storableText(1024);
const codeBody = v.object({ otp: text });
const tokenBody = v.object({ registration_token: text });
const bothBody = v.object({ otp: text, registration_token: text });
const offQuery = v.object({ email: v.optional(text) });

const reply = ({ totpKey, totpUri }: factor.Enrolment) => ({
  json: { totp_key: totpKey, totp_uri: totpUri },
});
const done = { json: { success: true } };

/** What somebody who has proved a password, but has no session yet, changes. */
async function registering(ctx: ManagerContext, request: RouteRequest, token: string) {
  const caller = await factor.registeringAccount(ctx, token);
  return { ...request, ctx, caller };
}

const common = { gate: 'any' } as const;

export function twoFactorRoutes(ctx: ManagerContext): Route[] {
  return [
    publicRoute(
      {
        ...common,
        method: 'GET',
        path: '/totp',
        summary: 'Tell whether second factors can be used.',
        takes: {},
      },
      async () => ({ json: { totp_enabled: true } }),
    ),
    route(
      {
        ...common,
        method: 'POST',
        path: '/totp',
        auth: 'user',
        summary: 'Begin to enrol a second factor.',
        takes: {},
      },
      async (request) => reply(await factor.enrol({ ...request, ctx }, request.caller.userId)),
    ),
    route(
      {
        ...common,
        method: 'POST',
        path: '/totp/verify',
        auth: 'user',
        summary: 'Prove the new second factor and turn it on.',
        takes: { body: codeBody },
      },
      async (request, { body }) => {
        await factor.activate({ ...request, ctx }, request.caller.userId, body.otp);
        return done;
      },
    ),
    route(
      {
        ...common,
        method: 'DELETE',
        path: '/totp',
        auth: 'user',
        summary: 'Turn a second factor off.',
        takes: { query: offQuery },
      },
      async (request, { query: { email = null } }) => {
        await factor.deactivate({ ...request, ctx }, email);
        return done;
      },
    ),
    publicRoute(
      {
        ...common,
        method: 'POST',
        path: '/totp/anon',
        summary: 'Begin to enrol the second factor that signing in demands.',
        takes: { body: tokenBody },
      },
      async (request, { body }) => {
        const by = await registering(ctx, request, body.registration_token);
        return reply(await factor.enrol(by, by.caller.userId, { registering: true }));
      },
    ),
    publicRoute(
      {
        ...common,
        method: 'POST',
        path: '/totp/anon/verify',
        summary: 'Prove the second factor that signing in demands.',
        takes: { body: bothBody },
      },
      async (request, { body: { otp, registration_token: token } }) => {
        const by = await registering(ctx, request, token);
        await factor.activate(by, by.caller.userId, otp);
        await factor.closeRegistration(ctx, token);
        return done;
      },
    ),
  ];
}
