/** Signing in with a password: who gets in, who does not, and what is left behind. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { createHmac } from 'node:crypto';
import * as v from 'valibot';
import { decodeWebSession, webSessionKey } from '../../common/web-session.ts';
import { type TestServer, testManagerServer } from '../../testing/manager.ts';
import { hashPassword } from '../user/password.ts';

const PASSWORD = 'correct horse 1!';
const TOTP_SECRET = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ';

let server: TestServer;
let slowHash: string;
beforeAll(async () => {
  server = await testManagerServer();
  slowHash = await hashPassword(PASSWORD);
});
afterAll(() => server.close());

let email: string;
let userId: string;
beforeEach(async () => {
  userId = crypto.randomUUID();
  email = `${userId.slice(0, 8)}@test.example`;
  const { sql } = server.db;
  await sql`INSERT INTO users (uuid, username, email, password, status, domain_name, role,
      resource_policy, sudo_session_enabled)
    VALUES (${userId}, ${userId}, ${email}, ${slowHash}, 'active', 'default', 'user', 'default',
      false)`;
  await sql`INSERT INTO keypairs (user_id, access_key, secret_key, is_active, rate_limit, "user",
      resource_policy, dotfiles, bootstrap_script)
    VALUES (${email}, ${`AKIA${userId.slice(0, 8)}`}, 'secret', true, 1000, ${userId}, 'default',
      '\\x90', '')`;
});

const problem = v.object({ type: v.string(), msg: v.optional(v.string(), '') });
const success = v.object({
  data: v.object({
    response_type: v.literal('success'),
    access_key: v.string(),
    secret_key: v.string(),
    role: v.string(),
    status: v.string(),
    session_token: v.string(),
    type: v.literal('keypair'),
  }),
});

const post = (path: string, json: unknown) =>
  fetch(`${server.url}${path}`, { method: 'POST', body: JSON.stringify(json) });
const login = (extra: Record<string, unknown> = {}) =>
  post('/auth/authorize', {
    type: 'keypair',
    domain: 'default',
    username: email,
    password: PASSWORD,
    ...extra,
  });
async function signIn(extra: Record<string, unknown> = {}) {
  const response = await login(extra);
  expect(response.status).toBe(200);
  return v.parse(success, await response.json()).data;
}
async function refusal(response: Response) {
  const { type, msg } = v.parse(problem, await response.json());
  return { status: response.status, slug: type.slice(type.lastIndexOf('/') + 1), msg };
}
const historyOf = async (id = userId) =>
  (
    await server.db.sql<{ result: string }[]>`
    SELECT result FROM login_history WHERE user_id = ${id} ORDER BY created_at`
  ).map((row) => row.result);
const setUser = (columns: Record<string, unknown>) =>
  server.db.sql`UPDATE users SET ${server.db.sql(columns)} WHERE uuid = ${userId}`;

describe('a right password', () => {
  test('gives the keypair, a web session in the shared form, and a history row', async () => {
    const data = await signIn();
    expect(data).toMatchObject({ role: 'user', status: 'active', secret_key: 'secret' });
    const stored = await server.ctx.webSessions.get(webSessionKey(data.session_token));
    expect(decodeWebSession(stored ?? '')?.token).toEqual({
      type: 'keypair',
      access_key: data.access_key,
      secret_key: 'secret',
      role: 'user',
      status: 'active',
    });
    expect(await historyOf()).toEqual(['success']);
  });

  test("upgrades upstream's hash to Argon2id, which works from then on", async () => {
    await signIn();
    const [row] = await server.db.sql<{ password: string }[]>`
      SELECT password FROM users WHERE uuid = ${userId}`;
    expect(row?.password).toStartWith('$argon2id$');
    await signIn();
  });

  test('prefers the main keypair', async () => {
    const main = `AKIB${userId.slice(0, 8)}`;
    await server.db.sql`INSERT INTO keypairs (user_id, access_key, secret_key, is_active, "user",
        resource_policy, dotfiles, bootstrap_script)
      VALUES (${email}, ${main}, 'main', true, ${userId}, 'default', '\\x90', '')`;
    await setUser({ main_access_key: main });
    expect((await signIn()).access_key).toBe(main);
  });

  test('signing out removes the session once', async () => {
    const { session_token } = await signIn();
    expect((await post('/auth/logout', { session_token })).status).toBe(200);
    expect((await post('/auth/logout', { session_token })).status).toBe(200);
    expect(await server.ctx.webSessions.get(webSessionKey(session_token))).toBeNull();
    expect(await historyOf()).toEqual(['success', 'logout']);
  });
});

describe('refused', () => {
  test('a wrong password and an unknown account alike', async () => {
    const wrong = await refusal(await login({ password: 'wrong' }));
    const unknown = await refusal(await login({ username: 'nobody@test.example' }));
    expect(wrong).toMatchObject({ status: 401, slug: 'auth-failed' });
    expect(unknown).toEqual(wrong);
    expect((await login({ domain: 'other' })).status).toBe(401);
    expect(await historyOf()).toEqual(['failed_invalid_credentials']);
  });

  test.each(['inactive', 'deleted'])('an account that is %s', async (status) => {
    await setUser({ status });
    const answer = await refusal(await login());
    expect(answer).toMatchObject({ status: 401, slug: 'auth-failed' });
    expect(answer.msg).toContain('not active');
    expect(await historyOf()).toEqual(['failed_user_inactive']);
  });

  test('an account before its verification, in the words clients look for', async () => {
    await setUser({ status: 'before-verification' });
    expect((await refusal(await login())).msg).toContain('email verification');
  });

  test('another address than the allowed ones', async () => {
    await server.db.sql`UPDATE users SET allowed_client_ip = '{10.0.0.0/8}' WHERE uuid = ${userId}`;
    expect((await refusal(await login())).msg).toContain('127.0.0.1');
  });

  test('an account without an active keypair', async () => {
    await server.db.sql`UPDATE keypairs SET is_active = false WHERE "user" = ${userId}`;
    expect((await refusal(await login())).msg).toContain('keypair');
  });

  test('tokens instead of keypairs, and a malformed request', async () => {
    expect((await login({ type: 'jwt' })).status).toBe(400);
    expect((await login({ type: 'other' })).status).toBe(400);
    expect((await login({ password: 7 })).status).toBe(400);
    expect((await login({ username: 'x\u0000y' })).status).toBe(400);
  });

  test('guessing, beyond ten attempts, also in parallel and with the right password', async () => {
    const attempts = await Promise.all(
      Array.from({ length: 14 }, () => login({ password: 'guess' })),
    );
    const statuses = attempts.map((response) => response.status).sort();
    expect(statuses.filter((status) => status === 401)).toHaveLength(10);
    expect(statuses.filter((status) => status === 429)).toHaveLength(4);
    expect(await refusal(await login())).toMatchObject({ status: 429, slug: 'login-blocked' });
    expect(await historyOf()).toContain('failed_blocked');
  });
});

describe('as many sign-ins as the policy allows', () => {
  beforeEach(async () => {
    await server.db.sql`INSERT INTO user_resource_policies (name, max_vfolder_count,
        max_quota_scope_size, max_session_count_per_model_session, max_customized_image_count,
        max_concurrent_logins) VALUES (${userId}, 0, -1, 10, 3, 2)`;
    await setUser({ resource_policy: userId });
  });

  test('the next is 409 and ends none; forced it ends the oldest', async () => {
    const first = await signIn();
    const second = await signIn();
    expect(await refusal(await login())).toMatchObject({
      status: 409,
      slug: 'active-login-session-exists',
    });
    await signIn({ force: true });
    const isOpen = async (token: string) =>
      (await server.ctx.webSessions.get(webSessionKey(token))) !== null;
    expect(await isOpen(first.session_token)).toBe(false);
    expect(await isOpen(second.session_token)).toBe(true);
    expect(await historyOf()).toEqual([
      ...['success', 'success', 'failed_session_already_exists', 'evicted', 'success'],
    ]);
  });

  test('holds for parallel sign-ins, and a sign-out makes room', async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => login()));
    const accepted = answers.filter((response) => response.status === 200);
    expect(accepted).toHaveLength(2);
    const [one] = accepted;
    const { data } = v.parse(success, await one?.json());
    await post('/auth/logout', { session_token: data.session_token });
    await signIn();
  });
});

describe('a one-time password', () => {
  const codeNow = () => {
    const counter = Buffer.alloc(8);
    counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
    const mac = createHmac('sha1', '12345678901234567890').update(counter).digest();
    const number = mac.readUInt32BE(mac.readUInt8(19) & 15) & 0x7fffffff;
    return String(number % 1_000_000).padStart(6, '0');
  };
  beforeEach(async () => {
    await setUser({ totp_key: TOTP_SECRET, totp_activated: true });
  });

  test('is asked for, and opens nothing before it is right', async () => {
    const response = await login();
    expect(response.status).toBe(200);
    const { data } = v.parse(
      v.object({ data: v.looseObject({ response_type: v.string() }) }),
      await response.json(),
    );
    expect(data).toEqual({ response_type: 'REQUIRE_TWO_FACTOR_AUTH', type: 'TOTP' });
    const wrong = await refusal(await login({ otp: 'abcdef' }));
    expect(wrong).toMatchObject({ status: 400, slug: 'rejected-by-hook' });
  });

  test('counts once', async () => {
    const otp = codeNow();
    await signIn({ otp });
    expect((await login({ otp })).status).toBe(400);
  });
});

describe('where passwords expire', () => {
  let strict: TestServer;
  beforeAll(async () => {
    strict = await testManagerServer({ settings: { maxPasswordAgeMs: 86_400_000 } });
    await strict.db.sql`UPDATE users SET password = ${slowHash},
      password_changed_at = now() - interval '2 days' WHERE email = 'user@test.example'`;
  });
  afterAll(() => strict.close());
  const send = (path: string, json: unknown) =>
    fetch(`${strict.url}${path}`, { method: 'POST', body: JSON.stringify(json) });
  const account = { domain: 'default', username: 'user@test.example' };
  const tryLogin = (password: string) =>
    send('/auth/authorize', { ...account, type: 'keypair', password });
  const replace = (change: Record<string, string>) =>
    send('/auth/update-password-no-auth', { ...account, current_password: PASSWORD, ...change });

  test('an old one is replaced without a keypair', async () => {
    expect(await refusal(await tryLogin(PASSWORD))).toMatchObject({
      status: 401,
      slug: 'password-expired',
    });
    expect((await replace({ new_password: PASSWORD })).status).toBe(401);
    expect((await replace({ new_password: 'short1!' })).status).toBe(400);
    const wrong = { current_password: 'wrong', new_password: 'another horse 2!' };
    expect((await replace(wrong)).status).toBe(401);
    const done = await replace({ new_password: 'another horse 2!' });
    expect(done.status).toBe(201);
    const { password_changed_at } = v.parse(
      v.object({ password_changed_at: v.string() }),
      await done.json(),
    );
    expect(Date.parse(password_changed_at)).not.toBeNaN();
    expect((await tryLogin('another horse 2!')).status).toBe(200);
  });

  test('elsewhere that operation is refused', async () => {
    const answer = await post('/auth/update-password-no-auth', {
      domain: 'default',
      username: email,
      current_password: PASSWORD,
      new_password: 'another horse 2!',
    });
    expect(answer.status).toBe(400);
  });
});
