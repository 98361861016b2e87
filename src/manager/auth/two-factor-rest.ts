/** `/totp`: the second factor of the caller, or of somebody who has to enrol one to sign in. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import { readQuery } from '../http/body.ts';
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

export function twoFactorRoutes(ctx: ManagerContext): Route[] {
  return [
    {
      method: 'GET',
      path: '/totp',
      gate: 'any',
      auth: 'none',
      handler: async () => ({ json: { totp_enabled: true } }),
    },
    {
      method: 'POST',
      path: '/totp',
      gate: 'any',
      auth: 'user',
      handler: async (request) =>
        reply(await factor.enrol({ ...request, ctx }, request.caller.userId)),
    },
    {
      method: 'POST',
      path: '/totp/verify',
      gate: 'any',
      auth: 'user',
      handler: async (request) => {
        const { otp } = await request.body(codeBody);
        await factor.activate({ ...request, ctx }, request.caller.userId, otp);
        return done;
      },
    },
    {
      method: 'DELETE',
      path: '/totp',
      gate: 'any',
      auth: 'user',
      handler: async (request) => {
        const { email = null } = readQuery(request.query, offQuery);
        await factor.deactivate({ ...request, ctx }, email);
        return done;
      },
    },
    {
      method: 'POST',
      path: '/totp/anon',
      gate: 'any',
      auth: 'none',
      handler: async (request) => {
        const { registration_token: token } = await request.body(tokenBody);
        const by = await registering(ctx, request, token);
        return reply(await factor.enrol(by, by.caller.userId));
      },
    },
    {
      method: 'POST',
      path: '/totp/anon/verify',
      gate: 'any',
      auth: 'none',
      handler: async (request) => {
        const { otp, registration_token: token } = await request.body(bothBody);
        const by = await registering(ctx, request, token);
        await factor.activate(by, by.caller.userId, otp);
        await factor.closeRegistration(ctx, token);
        return done;
      },
    },
  ];
}
