/** Operations of signing in and out, and of replacing an expired password. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { isoTime } from '../../common/time.ts';
import type { ManagerContext } from '../context.ts';
import { publicRoute } from '../http/declare.ts';
import { aliased, uuidText } from '../http/parameters.ts';
import type { Route } from '../http/route.ts';
import { replaceExpiredPassword } from './account.ts';
import { authorize, type LoginOutcome, logout } from './login.ts';
import { storableText } from './text.ts';

const text = storableText(1024);

const authorizeBody = aliased(
  { stoken: ['sToken'] },
  v.object({
    type: v.picklist(['keypair', 'jwt']),
    domain: text,
    username: text,
    password: text,
    otp: v.optional(v.nullable(text), null),
    client_type_id: v.optional(v.nullable(uuidText), null),
    force: v.optional(v.boolean(), false),
    stoken: v.optional(v.nullable(storableText(8192)), null),
  }),
);
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
    user_id: outcome.userId,
    type: 'keypair',
  };
}

const open = { method: 'POST', gate: 'any' } as const;

export function loginRoutes(ctx: ManagerContext): Route[] {
  return [
    publicRoute(
      {
        ...open,
        path: '/auth/authorize',
        summary: 'Sign in with a password.',
        takes: { body: authorizeBody },
      },
      async ({ clientAddress }, { body }) => {
        if (body.type !== 'keypair') {
          throw new BackendError('InvalidAPIParameters', 'Only the type "keypair" is supported.');
        }
        const { client_type_id: clientTypeId, stoken: signInToken, ...rest } = body;
        const outcome = await authorize(ctx, {
          ...rest,
          clientTypeId,
          signInToken,
          clientAddress,
        });
        return { json: { data: reply(outcome) } };
      },
    ),
    publicRoute(
      { ...open, path: '/auth/logout', summary: 'Sign out.', takes: { body: logoutBody } },
      async (_, { body }) => {
        await logout(ctx, body.session_token);
        return { json: {} };
      },
    ),
    publicRoute(
      {
        ...open,
        path: '/auth/update-password-no-auth',
        summary: 'Replace an expired password.',
        takes: { body: replaceBody },
      },
      async ({ clientAddress }, { body }) => {
        const changedAt = await replaceExpiredPassword(ctx, {
          domain: body.domain,
          email: body.username,
          currentPassword: body.current_password,
          newPassword: body.new_password,
          clientAddress,
        });
        return { status: 201, json: { password_changed_at: isoTime(changedAt) } };
      },
    ),
  ];
}
