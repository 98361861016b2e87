/** Which request is accepted as whom, and what the others are told. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHmac } from 'node:crypto';
import * as v from 'valibot';
import {
  signedHeaders,
  signingClient,
  type TestAccount,
  type TestServer,
  testManagerServer,
} from '../../testing/manager.ts';
import { route } from './declare.ts';

const routes = (['user', 'admin', 'superadmin'] as const).map((auth) =>
  route(
    { method: 'GET', path: `/for/${auth}`, gate: 'any', auth, summary: 'For one role.', takes: {} },
    async ({ caller }) => ({ json: { accessKey: caller.accessKey, role: caller.role } }),
  ),
);

const problem = v.object({
  type: v.string(),
  title: v.string(),
  error_code: v.string(),
  msg: v.optional(v.string()),
});

let server: TestServer;
beforeAll(async () => {
  server = await testManagerServer({ routes });
});
afterAll(() => server.close());

async function refusal(response: Response) {
  const body = v.parse(problem, await response.json());
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  return {
    status: response.status,
    slug: body.type.replace('https://api.backend.ai/probs/', ''),
    msg: body.msg ?? '',
  };
}

const get = (headers: Record<string, string>, path = '/for/user') =>
  fetch(`${server.url}${path}`, { headers });

const headersOf = (account: Pick<TestAccount, 'accessKey' | 'secretKey'>, target = '/for/user') =>
  signedHeaders(account, { target, host: new URL(server.url).host });

describe('signed requests', () => {
  test('are accepted as the keypair that signed', async () => {
    const response = await signingClient(server.url, server.accounts.user)('GET', '/for/user');
    expect(response.status).toBe(200);
    const { accessKey } = server.accounts.user;
    expect(await response.json()).toEqual({ accessKey, role: 'user' });
    expect(response.headers.get('server')).toBe('BackendAI');
  });

  test('with Date instead of X-BackendAI-Date are accepted', async () => {
    const headers = signedHeaders(server.accounts.user, {
      target: '/for/user',
      host: new URL(server.url).host,
      dateName: 'Date',
    });
    expect((await get(headers)).status).toBe(200);
  });

  test('an anonymous request to a gated operation', async () => {
    const { status, slug, msg } = await refusal(await get({}));
    expect([status, slug]).toEqual([401, 'auth-failed']);
    expect(msg).toContain('signed');
  });

  const wrong = (change: Record<string, string | null>) => () => {
    const headers: Record<string, string> = headersOf(server.accounts.user);
    for (const [name, value] of Object.entries(change)) {
      if (value === null) delete headers[name];
      else headers[name] = value;
    }
    return get(headers);
  };
  test.each([
    ['another scheme', { Authorization: 'Bearer x' }],
    ['a malformed credential', { Authorization: 'BackendAI signMethod=HMAC-SHA256, credential=x' }],
    ['no date', { 'X-BackendAI-Date': null }],
    ['an unreadable date', { 'X-BackendAI-Date': 'soon' }],
    ['a date an hour ago', { 'X-BackendAI-Date': new Date(Date.now() - 3_600_000).toISOString() }],
    ['no version', { 'X-BackendAI-Version': null }],
  ])('%s is 400 invalid-auth-params', async (_name, change) => {
    const { status, slug } = await refusal(await wrong(change)());
    expect([status, slug]).toEqual([400, 'invalid-auth-params']);
  });

  test('a wrong secret and an unknown key get the same 401', async () => {
    const { accessKey } = server.accounts.user;
    const wrongSecret = await refusal(await get(headersOf({ accessKey, secretKey: 'wrong' })));
    const unknown = { accessKey: 'AKIANOBODY', secretKey: 'wrong' };
    expect(wrongSecret).toEqual({ status: 401, slug: 'auth-failed', msg: '' });
    expect(await refusal(await get(headersOf(unknown)))).toEqual(wrongSecret);
  });

  test('a signature for another path is refused', async () => {
    const { status } = await refusal(await get(headersOf(server.accounts.user, '/for/admin')));
    expect(status).toBe(401);
  });

  test('an unsupported version is 400, also without authentication', async () => {
    const { user } = server.accounts;
    const host = new URL(server.url).host;
    const headers = signedHeaders(user, { target: '/for/user', host, version: 'v9.99999999' });
    const { status, slug, msg } = await refusal(await get(headers));
    expect([status, slug]).toEqual([400, 'generic-bad-request']);
    expect(msg).toStartWith('Unsupported API version.');
    const open = await get({ 'X-BackendAI-Version': 'v1' }, '/');
    expect(open.status).toBe(400);
  });

  test('an operation without authentication ignores a bad signature', async () => {
    expect((await get({ Authorization: 'Bearer x' }, '/')).status).toBe(200);
  });
});

describe('keypairs', () => {
  async function withKeypair(change: (accessKey: string) => Promise<unknown>) {
    const accessKey = `AKIA${crypto.randomUUID().slice(0, 12).toUpperCase()}`;
    const { userId, email } = server.accounts.user;
    const { sql } = server.db;
    await sql`INSERT INTO keypairs (user_id, access_key, secret_key, is_active, rate_limit, "user",
        resource_policy, dotfiles, bootstrap_script)
      VALUES (${email}, ${accessKey}, 'secret', true, 3, ${userId}, 'default', '\\x90', '')`;
    await change(accessKey);
    return { accessKey, secretKey: 'secret' };
  }

  test('an inactive one is refused', async () => {
    const key = await withKeypair(
      (k) => server.db.sql`UPDATE keypairs SET is_active = false WHERE access_key = ${k}`,
    );
    expect((await get(headersOf(key))).status).toBe(401);
  });

  test('one without a rate limit is unlimited', async () => {
    const key = await withKeypair(
      (k) => server.db.sql`UPDATE keypairs SET rate_limit = NULL WHERE access_key = ${k}`,
    );
    const response = await get(headersOf(key));
    expect(response.status).toBe(200);
    expect(response.headers.get('x-ratelimit-limit')).toBe('None');
  });

  test('requests above the rate limit are 429, and the headers count down', async () => {
    const key = await withKeypair(async () => {});
    const answers = [];
    for (let i = 0; i < 4; i += 1) answers.push(await get(headersOf(key)));
    const remaining = answers.map((response) => response.headers.get('x-ratelimit-remaining'));
    expect(remaining).toEqual(['2', '1', '0', null]);
    expect(answers[0]?.headers.get('x-ratelimit-limit')).toBe('3');
    expect(answers[0]?.headers.get('x-ratelimit-window')).toBe('900');
    const last = answers.at(-1);
    if (!last) throw new Error('no answer');
    expect(await refusal(last)).toMatchObject({ status: 429, slug: 'rate-limit-exceeded' });
  });

  test('anonymous requests are not counted', async () => {
    const response = await get({}, '/');
    expect(response.headers.get('x-ratelimit-limit')).toBe('1000');
    expect(response.headers.get('x-ratelimit-remaining')).toBe('1000');
  });

  test('a user with allowed addresses is refused elsewhere', async () => {
    const { sql } = server.db;
    const userId = crypto.randomUUID();
    await sql`INSERT INTO users (uuid, email, status, domain_name, role, resource_policy,
        sudo_session_enabled, allowed_client_ip)
      VALUES (${userId}, 'roaming@test.example', 'active', 'default', 'user', 'default', false,
        '{10.1.0.0/16,2001:db8::/32}')`;
    const key = await withKeypair(
      (k) => sql`UPDATE keypairs SET "user" = ${userId}, rate_limit = 100 WHERE access_key = ${k}`,
    );
    const { status, slug, msg } = await refusal(await get(headersOf(key)));
    expect([status, slug]).toEqual([401, 'auth-failed']);
    expect(msg).toContain('127.0.0.1');
    const from = async (address: string) =>
      (await get({ ...headersOf(key), 'X-Forwarded-For': address })).status;
    expect(await from('10.1.2.3, 192.168.0.1')).toBe(200);
    expect(await from('2001:db8::7')).toBe(200);
    expect(await from('10.2.0.1')).toBe(401);
    expect(await from('not an address')).toBe(401);
  });
});

describe('roles', () => {
  const accounts = ['user', 'admin', 'superadmin'] as const;
  test.each(
    accounts.flatMap((account, rank) =>
      accounts.map((demanded, needed) => [account, demanded, rank >= needed] as const),
    ),
  )('%s calling an operation for %s: %p', async (account, demanded, allowed) => {
    const client = signingClient(server.url, server.accounts[account]);
    const response = await client('GET', `/for/${demanded}`);
    if (allowed) expect(response.status).toBe(200);
    else expect(await refusal(response)).toMatchObject({ status: 403, slug: 'generic-forbidden' });
  });
});

describe('tokens', () => {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  function token(
    account: TestAccount,
    options: { secret?: string; expiresInSec?: number; alg?: string } = {},
  ): string {
    const iat = Math.floor(Date.now() / 1000);
    const exp = iat + (options.expiresInSec ?? 900);
    const head = encode({ alg: options.alg ?? 'HS256', typ: 'JWT' });
    const body = encode({ access_key: account.accessKey, role: 'user', exp, iat });
    const hmac = createHmac('sha256', options.secret ?? account.secretKey);
    return `${head}.${body}.${hmac.update(`${head}.${body}`).digest('base64url')}`;
  }
  const send = (text: string) => get({ 'X-BackendAI-Token': text });

  test('a good one is accepted, and wins over an Authorization header', async () => {
    const { user } = server.accounts;
    expect((await send(token(user))).status).toBe(200);
    const both = { 'X-BackendAI-Token': token(user), Authorization: 'Bearer x' };
    expect((await get(both)).status).toBe(200);
  });

  test.each([
    ['another secret', () => token(server.accounts.user, { secret: 'x' })],
    ['expired', () => token(server.accounts.user, { expiresInSec: -1 })],
    ['no signature', () => token(server.accounts.user, { alg: 'none' })],
    ['garbage', () => 'a.b.c'],
    ['an unknown key', () => token({ ...server.accounts.user, accessKey: 'AKIANOBODY' })],
  ])('%s is 401', async (_name, make) => {
    expect(await refusal(await send(make()))).toMatchObject({ status: 401, slug: 'auth-failed' });
  });

  test('an unknown key and a wrong secret are told apart by nothing', async () => {
    const wrong = await send(token(server.accounts.user, { secret: 'x' }));
    const unknown = await send(token({ ...server.accounts.user, accessKey: 'AKIANOBODY' }));
    expect(await unknown.text()).toBe(await wrong.text());
  });
});
