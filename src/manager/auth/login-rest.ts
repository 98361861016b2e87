/** Operations of signing in and out, and of replacing an expired password. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { isoTime } from '../../common/time.ts';
import type { ManagerContext } from '../context.ts';
import type { Route } from '../http/route.ts';
import { replaceExpiredPassword } from './account.ts';
import { authorize, type LoginOutcome, logout } from './login.ts';
import { storableText } from './text.ts';

const text = storableText(1024);

const authorizeBody = v.object({
  type: v.picklist(['keypair', 'jwt']),
  domain: text,
  username: text,
  password: text,
  otp: v.optional(v.nullable(text), null),
  client_type_id: v.optional(v.nullable(v.pipe(v.string(), v.uuid())), null),
  force: v.optional(v.boolean(), false),
});
const logoutBody = v.object({ session_token: text });
const replaceBody = v.object({
  domain: text,
  username: text,
  current_password: text,
  new_password: text,
});

function reply(outcome: LoginOutcome) {
  if (outcome.kind === 'needs-otp') {
    return { response_type: 'REQUIRE_TWO_FACTOR_AUTH', type: 'TOTP' };
  }
  if (outcome.kind === 'needs-registration') {
    return {
      response_type: 'REQUIRE_TWO_FACTOR_REGISTRATION',
      token: outcome.token,
      type: 'TOTP',
    };
  }
  return {
    response_type: 'success',
    access_key: outcome.accessKey,
    secret_key: outcome.secretKey,
    role: outcome.role,
    status: outcome.status,
    session_token: outcome.sessionToken,
    type: 'keypair',
  };
}

export function loginRoutes(ctx: ManagerContext): Route[] {
  return [
    {
      method: 'POST',
      path: '/auth/authorize',
      gate: 'any',
      auth: 'none',
      handler: async ({ body, clientAddress }) => {
        const given = await body(authorizeBody);
        if (given.type !== 'keypair') {
          throw new BackendError('InvalidAPIParameters', 'Only the type "keypair" is supported.');
        }
        const { client_type_id: clientTypeId, ...rest } = given;
        const outcome = await authorize(ctx, { ...rest, clientTypeId, clientAddress });
        return { json: { data: reply(outcome) } };
      },
    },
    {
      method: 'POST',
      path: '/auth/logout',
      gate: 'any',
      auth: 'none',
      handler: async ({ body }) => {
        await logout(ctx, (await body(logoutBody)).session_token);
        return { json: {} };
      },
    },
    {
      method: 'POST',
      path: '/auth/update-password-no-auth',
      gate: 'any',
      auth: 'none',
      handler: async ({ body, clientAddress }) => {
        const given = await body(replaceBody);
        const changedAt = await replaceExpiredPassword(ctx, {
          domain: given.domain,
          email: given.username,
          currentPassword: given.current_password,
          newPassword: given.new_password,
          clientAddress,
        });
        return { status: 201, json: { password_changed_at: isoTime(changedAt) } };
      },
    },
  ];
}
