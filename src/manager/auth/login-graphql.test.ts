/** Sign-ins through GraphQL: who sees and ends which, and what that does to the browser. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { webSessionKey } from '../../common/web-session.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { globalId } from '../graphql/global-id.ts';
import { PasswordThrottle } from './throttle.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
});
afterAll(() => tenants.close());

type Who = 'superadmin' | 'admin' | 'user' | 'monitor' | 'otherAdmin' | 'otherUser';

async function data(who: Who, query: string, variables?: unknown) {
  const answer = await tenants.ask(who, query, variables);
  expect(answer.errors).toBeNull();
  return answer.data ?? {};
}

async function refusal(who: Who, query: string, variables?: unknown): Promise<string> {
  const { errors } = await tenants.ask(who, query, variables);
  return errors?.[0]?.message ?? 'nobody was refused';
}

/** A sign-in as the web server finds it. @returns its id and token. */
async function signIn(who: Who, token: string): Promise<string> {
  const { userId, accessKey } = tenants.people[who];
  await tenants.ctx.webSessions.set(webSessionKey(token), 'data', { ttlMs: 60_000 });
  const [row] = await tenants.db.sql<{ id: string }[]>`
    INSERT INTO login_sessions (session_token, user_id, access_key)
    VALUES (${token}, ${userId}, ${accessKey}) RETURNING id`;
  await tenants.db.sql`INSERT INTO login_history (user_id, domain_name, result)
    SELECT uuid, domain_name, 'success' FROM users WHERE uuid = ${userId}`;
  return row?.id ?? '';
}

const isOpen = async (token: string) =>
  (await tenants.ctx.webSessions.get(webSessionKey(token))) !== null;

test('people see and end their own sign-ins, which signs the browser out', async () => {
  const id = await signIn('user', 'token-a');
  await signIn('otherUser', 'token-b');
  const fields = `id userId accessKey status createdAt lastAccessedAt invalidatedAt
    user { basicInfo { email } }`;
  const list = `{ myLoginSessionsV2(filter: { status: { equals: ACTIVE } }) {
    count edges { node { ${fields} } } } }`;
  const { user } = tenants.people;
  expect(await data('user', list)).toEqual({
    myLoginSessionsV2: {
      count: 1,
      edges: [
        {
          node: {
            id: globalId('LoginSessionV2', id),
            userId: user.userId,
            accessKey: user.accessKey,
            status: 'ACTIVE',
            createdAt: expect.any(String),
            lastAccessedAt: null,
            invalidatedAt: null,
            user: { basicInfo: { email: user.email } },
          },
        },
      ],
    },
  });
  const revoke = `mutation { myRevokeLoginSession(sessionId: "${id}") { success } }`;
  for (const who of ['admin', 'monitor', 'otherUser', 'superadmin'] as const) {
    expect(await refusal(who, revoke)).toContain('no open sign-in');
  }
  expect(await isOpen('token-a')).toBe(true);
  expect(await data('user', revoke)).toEqual({ myRevokeLoginSession: { success: true } });
  expect([await isOpen('token-a'), await isOpen('token-b')]).toEqual([false, true]);
  expect(await refusal('user', revoke)).toContain('no open sign-in');
  expect(await data('user', list)).toMatchObject({ myLoginSessionsV2: { count: 0 } });
  expect(
    await data(
      'user',
      `{ myLoginHistoryV2(orderBy: [{ field: CREATED_AT }]) { count edges { node {
        result failReason domainName user { basicInfo { email } } domain { basicInfo { name } } } } } }`,
    ),
  ).toEqual({
    myLoginHistoryV2: {
      count: 2,
      edges: ['REVOKED_BY_USER', 'SUCCESS'].map((result) => ({
        node: {
          result,
          failReason: null,
          domainName: 'default',
          user: { basicInfo: { email: user.email } },
          domain: { basicInfo: { name: 'default' } },
        },
      })),
    },
  });
  const [record] = await tenants.db.sql`
    SELECT before, after FROM audit_logs WHERE entity_type = 'login_session'`;
  expect(record).toEqual({ before: { status: 'active' }, after: { status: 'revoked' } });
});

test('superadmins see and end those of everybody, filtered and ordered', async () => {
  const id = await signIn('admin', 'token-c');
  const count = async (field: string) => {
    const answer = await data('superadmin', `{ list: ${field} { count } }`);
    return v.parse(v.object({ count: v.number() }), answer.list).count;
  };
  const { userId, accessKey } = tenants.people.admin;
  const sessions = (filter: string) => count(`adminLoginSessionsV2(filter: { ${filter} })`);
  expect(await sessions(`userId: { equals: "${userId}" }`)).toBe(1);
  expect(await sessions(`accessKey: { equals: "${accessKey}" }`)).toBe(1);
  expect(await sessions('status: { in: [REVOKED] }')).toBe(1);
  expect(await sessions('lastAccessedAt: { after: "2020-01-01T00:00:00Z" }')).toBe(0);
  const history = (filter: string) => count(`adminLoginHistoryV2(filter: { ${filter} })`);
  expect(await history('domainName: { equals: "elsewhere" }')).toBe(1);
  expect(await history('result: { notEquals: SUCCESS }')).toBe(1);
  for (const field of ['CREATED_AT', 'STATUS', 'LAST_ACCESSED_AT']) {
    expect(await count(`adminLoginSessionsV2(orderBy: [{ field: ${field} }])`)).toBe(3);
  }
  for (const field of ['CREATED_AT', 'RESULT', 'DOMAIN_NAME']) {
    expect(await count(`adminLoginHistoryV2(orderBy: [{ field: ${field} }])`)).toBe(4);
  }
  const revoke = `mutation { adminRevokeLoginSession(sessionId: "${id}") { success } }`;
  expect(await refusal('admin', revoke)).toContain('Admin exclusive access');
  await data('superadmin', revoke);
  expect(await isOpen('token-c')).toBe(false);
  expect(await history('result: { equals: REVOKED_BY_ADMIN }')).toBe(1);
  const node = `{ node(id: "${globalId('LoginSessionV2', id)}") { ... on LoginSessionV2 { status } } }`;
  expect(await data('admin', node)).toEqual({ node: { status: 'REVOKED' } });
  expect(await data('superadmin', node)).toEqual({ node: { status: 'REVOKED' } });
  expect(await data('user', node)).toEqual({ node: null });
  for (const field of ['adminLoginSessionsV2', 'adminLoginHistoryV2']) {
    const outcomes = await tenants.outcomes(`{ ${field} { count } }`);
    expect(Object.keys(outcomes).filter((who) => outcomes[who] === 'data')).toEqual(['superadmin']);
  }
});

test('a blocked account may sign in again once it is unblocked', async () => {
  const throttle = new PasswordThrottle(tenants.ctx.live);
  const { email } = tenants.people.user;
  for (let i = 0; i < 10; i += 1) await throttle.attempt('default', email);
  await expect(throttle.attempt('default', email)).rejects.toMatchObject({
    problem: 'LoginBlockedError',
  });
  const unblock = (name: string) =>
    `mutation { adminUnblockUser(username: "${name}") { success } }`;
  expect(await refusal('admin', unblock('user'))).toContain('Admin exclusive access');
  expect(await refusal('superadmin', unblock('nobody'))).toContain("no user 'nobody'");
  expect(await data('superadmin', unblock('user'))).toEqual({
    adminUnblockUser: { success: true },
  });
  await throttle.attempt('default', email);
});

test('people say from where they come, and do not lock themselves out by mistake', async () => {
  const set = (blocks: string, more = '') =>
    `mutation { updateMyAllowedClientIp(input: { allowedClientIp: ${blocks} ${more} }) { success } }`;
  expect(await refusal('otherUser', set('["10.0.0.0/8"]'))).toContain('127.0.0.1');
  expect(await refusal('otherUser', set('["home"]', ', force: true'))).toContain('invalid input');
  expect(await data('otherUser', set('["127.0.0.0/8"]'))).toEqual({
    updateMyAllowedClientIp: { success: true },
  });
  expect(await data('otherUser', '{ myUserV2 { security { allowedClientIp } } }')).toEqual({
    myUserV2: { security: { allowedClientIp: ['127.0.0.0/8'] } },
  });
  await data('otherUser', set('null'));
  expect(await data('otherUser', '{ myUserV2 { security { allowedClientIp } } }')).toEqual({
    myUserV2: { security: { allowedClientIp: null } },
  });
});
