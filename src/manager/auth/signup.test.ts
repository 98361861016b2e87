/** Opening an account by oneself, and closing it. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { webSessionKey } from '../../common/web-session.ts';
import { signingClient, type TestServer, testManagerServer } from '../../testing/manager.ts';
import { insertProject } from '../../testing/sessions.ts';

const PASSWORD = 'correct horse 1!';

let server: TestServer;
let projectId: string;
beforeAll(async () => {
  server = await testManagerServer();
  projectId = await insertProject(server.db.sql);
});
afterAll(() => server.close());

let count = 0;
const nextEmail = () => `newcomer-${++count}@test.example`;
/** Each test comes from an address of its own, as requests are counted per address. */
const post = (path: string, json: unknown, address = `10.0.0.${count}`) =>
  fetch(`${server.url}${path}`, {
    method: 'POST',
    body: JSON.stringify(json),
    headers: { 'X-Forwarded-For': address },
  });
const signUp = (email: string, extra: Record<string, unknown> = {}, address?: string) =>
  post('/auth/signup', { domain: 'default', email, password: PASSWORD, ...extra }, address);
const login = (email: string) =>
  post('/auth/authorize', {
    type: 'keypair',
    domain: 'default',
    username: email,
    password: PASSWORD,
  });
const keys = v.strictObject({ access_key: v.string(), secret_key: v.string() });
async function slugOf(response: Response) {
  const { type } = v.parse(v.object({ type: v.string() }), await response.json());
  return `${response.status} ${type.slice(type.lastIndexOf('/') + 1)}`;
}
const rowOf = async (email: string) =>
  (
    await server.db.sql`
      SELECT uuid, username, full_name, status, status_info, role, resource_policy
        FROM users WHERE email = ${email}`
  )[0];
const activate = (email: string) =>
  server.db.sql`UPDATE users SET status = 'active' WHERE email = ${email}`;
const accountOf = async (email: string, pair: v.InferOutput<typeof keys>) => ({
  accessKey: pair.access_key,
  secretKey: pair.secret_key,
  email,
  userId: String((await rowOf(email))?.uuid),
});

describe('signing up', () => {
  test('makes an account that waits for an administrator', async () => {
    const email = nextEmail();
    const response = await signUp(email, { user_name: 'newcomer', full_name: 'New Comer' });
    expect(response.status).toBe(201);
    const pair = v.parse(keys, await response.json());
    const row = await rowOf(email);
    expect(row).toMatchObject({
      username: 'newcomer',
      full_name: 'New Comer',
      status: 'inactive',
      status_info: 'user-signup',
      role: 'user',
      resource_policy: 'default',
    });
    const members = await server.db.sql`
      SELECT group_id FROM association_groups_users WHERE user_id = ${row?.uuid}`;
    expect(members.map(({ group_id }) => group_id)).toEqual([projectId]);
    expect(await slugOf(await login(email))).toBe('401 auth-failed');
    const send = signingClient(server.url, await accountOf(email, pair));
    expect((await send('GET', '/auth')).status).toBe(401);

    await activate(email);
    expect((await login(email)).status).toBe(200);
    expect((await send('GET', '/auth')).status).toBe(200);
    const audit = await server.db.sql`
      SELECT entity_type, operation, triggered_by FROM audit_logs
       WHERE entity_id = ${row?.uuid} OR entity_id = ${pair.access_key} ORDER BY entity_type`;
    expect(audit.map(({ entity_type, triggered_by }) => [entity_type, triggered_by])).toEqual([
      ['keypair', null],
      ['user', null],
    ]);
  });

  test('gives nobody else’s rights: roles and states in the request are ignored', async () => {
    const email = nextEmail();
    await signUp(email, { role: 'superadmin', status: 'active', is_active: true });
    expect(await rowOf(email)).toMatchObject({ role: 'user', status: 'inactive' });
  });

  test('a taken address, a weak password, an unknown domain and no address are refused', async () => {
    const email = nextEmail();
    const { user } = server.accounts;
    expect(await slugOf(await signUp(user.email))).toBe('400 email-already-exists');
    expect(await slugOf(await signUp(email, { password: 'weak' }))).toBe('400 rejected-by-hook');
    expect(await slugOf(await signUp(email, { domain: 'nowhere' }))).toBe('404 object-not-found');
    expect(await slugOf(await signUp('no address'))).toBe('400 user-creation-bad-request');
    expect(await slugOf(await signUp(email, { email: 'a\u0000b@c.example' }))).toBe(
      '400 generic-bad-request',
    );
    expect(await rowOf(email)).toBeUndefined();
  });

  test('in parallel the same address becomes one account', async () => {
    const email = nextEmail();
    const answers = await Promise.all(Array.from({ length: 4 }, () => signUp(email)));
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 201)).toHaveLength(1);
    expect(statuses.filter((status) => status >= 500)).toEqual([]);
  });

  test('from one address only so often', async () => {
    const weak = { password: 'weak' };
    for (let n = 0; n < 20; n += 1) {
      expect((await signUp('x@test.example', weak, '10.9.9.9')).status).toBe(400);
    }
    expect(await slugOf(await signUp('x@test.example', weak, '10.9.9.9'))).toBe(
      '429 rate-limit-exceeded',
    );
    expect((await signUp('x@test.example', weak, '10.9.9.8')).status).toBe(400);
  });
});

describe('closing the account', () => {
  async function newcomer() {
    const email = nextEmail();
    const pair = v.parse(keys, await (await signUp(email)).json());
    await activate(email);
    const account = await accountOf(email, pair);
    return { email, account, send: signingClient(server.url, account) };
  }

  test('needs the own address and the password; then nothing of it works', async () => {
    const { email, account, send } = await newcomer();
    const signedIn = v.parse(
      v.object({ data: v.object({ session_token: v.string() }) }),
      await (await login(email)).json(),
    );
    const webSession = webSessionKey(signedIn.data.session_token);
    const { user } = server.accounts;
    const close = (given: Record<string, unknown>) => send('POST', '/auth/signout', given);
    expect((await close({ email: user.email, password: PASSWORD })).status).toBe(403);
    expect((await close({ email, password: 'wrong' })).status).toBe(401);
    expect(await server.ctx.webSessions.get(webSession)).not.toBeNull();

    expect((await close({ username: email, password: PASSWORD })).status).toBe(200);
    expect(await server.ctx.webSessions.get(webSession)).toBeNull();
    expect((await send('GET', '/auth')).status).toBe(401);
    expect((await login(email)).status).toBe(401);
    expect(await rowOf(email)).toMatchObject({ status: 'inactive', status_info: 'user-signout' });
    const [keypair] = await server.db.sql`
      SELECT is_active FROM keypairs WHERE access_key = ${account.accessKey}`;
    expect(keypair).toEqual({ is_active: false });
  });
});
