/** Signing in with a token that a portal signs: what is accepted, how often, and what is not. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { createHmac } from 'node:crypto';
import * as v from 'valibot';
import { type TestServer, testManagerServer } from '../../testing/manager.ts';

const SECRET_KEY = 'config/plugins/webapp/keypair_auth/secret';
const SECRET = 'what portal and cluster share';

let server: TestServer;
beforeAll(async () => {
  server = await testManagerServer();
});
afterAll(() => server.close());
beforeEach(() => server.ctx.config.put(SECRET_KEY, SECRET));

const nowSec = () => Math.floor(Date.now() / 1000);
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

function token(
  claims: Record<string, unknown> = {},
  options: { secret?: string; alg?: string; hash?: string } = {},
): string {
  const { secret = SECRET, alg = 'HS256', hash = 'sha256' } = options;
  const access_key = server.accounts.user.accessKey;
  const lifetime = { iat: nowSec(), exp: nowSec() + 60 };
  const signed = `${part({ alg, typ: 'JWT' })}.${part({ access_key, ...lifetime, ...claims })}`;
  return `${signed}.${createHmac(hash, secret).update(signed).digest('base64url')}`;
}

const answer = v.object({
  type: v.optional(v.string()),
  data: v.optional(v.looseObject({ access_key: v.optional(v.string()) })),
});
async function signIn(sToken: string, extra: Record<string, unknown> = {}): Promise<string> {
  const response = await fetch(`${server.url}/auth/authorize`, {
    method: 'POST',
    body: JSON.stringify({
      type: 'keypair',
      domain: 'default',
      username: 'fake-email',
      password: 'fake-pwd',
      sToken,
      ...extra,
    }),
  });
  const { type, data } = v.parse(answer, await response.json());
  return data?.access_key ?? `${response.status} ${type?.slice(type.lastIndexOf('/') + 1)}`;
}
const REFUSED = '400 rejected-by-hook';

describe('a portal’s token', () => {
  test('signs the owner of its keypair in, once', async () => {
    const one = token();
    expect(await signIn(one)).toBe(server.accounts.user.accessKey);
    expect(await signIn(one)).toBe(REFUSED);
    const padded = `${one}=`;
    expect(await signIn(padded)).toBe(REFUSED);
  });

  test('of two at the same time one is refused', async () => {
    const one = token({ iat: nowSec() - 1 });
    const outcomes = await Promise.all([signIn(one), signIn(one)]);
    expect(outcomes.sort()).toEqual([REFUSED, server.accounts.user.accessKey]);
  });

  test('that another algorithm or secret signed, or nobody', async () => {
    expect(await signIn(token({}, { secret: 'another' }))).toBe(REFUSED);
    expect(await signIn(token({}, { secret: '' }))).toBe(REFUSED);
    expect(await signIn(token({}, { alg: 'HS512', hash: 'sha512' }))).toBe(REFUSED);
    expect(await signIn(token({}, { alg: 'none' }))).toBe(REFUSED);
    const [head, body] = token().split('.');
    expect(await signIn(`${head}.${body}.`)).toBe(REFUSED);
    expect(await signIn(`${part({ alg: 'none' })}.${body}.x`)).toBe(REFUSED);
    expect(await signIn('a.b.c')).toBe(REFUSED);
  });

  test('that is over, from the future, or meant to count for long', async () => {
    const now = nowSec();
    expect(await signIn(token({ iat: now - 120, exp: now - 60 }))).toBe(REFUSED);
    expect(await signIn(token({ iat: now + 60, exp: now + 120 }))).toBe(REFUSED);
    expect(await signIn(token({ exp: now + 10 * 86_400 }))).toBe(REFUSED);
    expect(await signIn(token({ exp: undefined }))).toBe(REFUSED);
    expect(await signIn(token({ iat: undefined }))).toBe(REFUSED);
  });

  test('for an unknown or inactive keypair', async () => {
    expect(await signIn(token({ access_key: 'AKIANOBODY' }))).toBe(REFUSED);
    const { accessKey } = server.accounts.admin;
    await server.db.sql`UPDATE keypairs SET is_active = false WHERE access_key = ${accessKey}`;
    expect(await signIn(token({ access_key: accessKey }))).toBe(REFUSED);
  });

  test('where no secret is shared', async () => {
    await server.ctx.config.delete(SECRET_KEY);
    expect(await signIn(token())).toBe(REFUSED);
    expect(await signIn(token({}, { secret: '' }))).toBe(REFUSED);
  });
});

test('a token survives a sign-in that the policy refused', async () => {
  const { userId, accessKey } = server.accounts.superadmin;
  await server.db.sql`INSERT INTO user_resource_policies (name, max_vfolder_count,
      max_quota_scope_size, max_session_count_per_model_session, max_customized_image_count,
      max_concurrent_logins) VALUES ('one', 0, -1, 10, 3, 1)`;
  await server.db.sql`UPDATE users SET resource_policy = 'one' WHERE uuid = ${userId}`;
  expect(await signIn(token({ access_key: accessKey }))).toBe(accessKey);
  const next = token({ access_key: accessKey, iat: nowSec() - 1 });
  expect(await signIn(next)).toBe('409 active-login-session-exists');
  expect(await signIn(next, { force: true })).toBe(accessKey);
});

test('tokens of unknown origin are refused', async () => {
  expect(await signIn('AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA')).toBe(REFUSED);
});
