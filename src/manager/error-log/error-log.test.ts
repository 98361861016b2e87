/** Errors that clients report: who sees and clears which. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { signingClient } from '../../testing/manager.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
});
afterAll(() => tenants.close());

type Who = keyof Tenants['people'];
const call = (who: Who, method: string, target: string, json?: unknown) =>
  signingClient(tenants.url, tenants.people[who])(method, target, json);

const report = {
  severity: 'error',
  source: 'webui',
  message: 'it broke',
  context_lang: 'javascript',
  context_env: { browser: 'x' },
};
const post = (who: Who, more: object = {}) =>
  call(who, 'POST', '/logs/error', { ...report, ...more });

const page = v.object({
  count: v.number(),
  logs: v.array(v.looseObject({ log_id: v.string(), message: v.string() })),
});
async function list(who: Who, query = '') {
  const response = await call(who, 'GET', `/logs/error${query}`);
  expect(response.status).toBe(200);
  return v.parse(page, await response.json());
}

test('a report is kept as sent, and shown to those above its author only', async () => {
  const made = await post('user', { request_status: 404, context_env: '{"a":"b"}' });
  expect([made.status, await made.json()]).toEqual([200, { success: true }]);
  await post('otherUser', { message: 'elsewhere', severity: 'CRITICAL' });
  const own = await list('user');
  expect(own).toEqual({
    count: 1,
    logs: [
      {
        log_id: expect.any(String),
        created_at: expect.any(Number),
        severity: 'error',
        source: 'webui',
        user: tenants.people.user.userId,
        is_read: false,
        is_cleared: false,
        message: 'it broke',
        context_lang: 'javascript',
        context_env: { a: 'b' },
        request_url: null,
        request_status: 404,
        traceback: null,
      },
    ],
  });
  const messages = async (who: Who) => (await list(who)).logs.map(({ message }) => message);
  expect(await messages('monitor')).toEqual([]);
  expect(await messages('admin')).toEqual(['it broke']);
  expect(await messages('otherAdmin')).toEqual(['elsewhere']);
  expect(await messages('superadmin')).toEqual(['elsewhere', 'it broke']);
  expect((await list('superadmin', '?page_size=1&page_no=2')).logs).toHaveLength(1);
});

test('showing marks as read when asked; clearing hides from the author', async () => {
  const [entry] = (await list('user', '?mark_read=true')).logs;
  expect((await list('user')).logs).toMatchObject([{ is_read: true }]);
  const clear = async (who: Who) =>
    (await call(who, 'POST', `/logs/error/${entry?.log_id}/clear`)).status;
  expect(await clear('otherUser')).toBe(404);
  expect(await clear('otherAdmin')).toBe(404);
  expect(await clear('monitor')).toBe(404);
  expect(await list('user')).toMatchObject({ count: 1 });
  expect(await clear('user')).toBe(200);
  expect(await list('user')).toEqual({ count: 0, logs: [] });
  expect((await list('admin')).logs).toMatchObject([{ is_cleared: true }]);
  expect((await call('user', 'POST', '/logs/error/nothing/clear')).status).toBe(400);
});

test('wrong fields are refused and nothing is kept', async () => {
  const { count } = await list('superadmin');
  for (const wrong of [
    { severity: 'panic' },
    { message: 'a\0b' },
    { message: 'x'.repeat(70_000) },
    { context_env: 'no json' },
    { context_env: '[1]' },
    { request_status: 3e9 },
    { source: null },
  ]) {
    expect([wrong, (await post('user', wrong)).status]).toEqual([wrong, 400]);
  }
  expect((await list('superadmin')).count).toBe(count);
  for (const query of ['?page_size=0', '?page_size=101', '?page_no=0', '?page_no=x']) {
    expect((await call('user', 'GET', `/logs/error${query}`)).status).toBe(400);
  }
  // PostgreSQL's jsonb refuses NUL; the report is kept without it.
  expect((await post('user', { context_env: { a: 'x\0y' } })).status).toBe(200);
});
