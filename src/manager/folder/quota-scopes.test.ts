/** `/admin/quota-scopes` on a real storage proxy. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { HOST, type TestFolders, testFolders } from '../../testing/folders.ts';

let t: TestFolders;
let mine: string;
let project: string;
beforeAll(async () => {
  t = await testFolders();
  await t.make('user', 'one');
  await t.make('user', 'two');
  await t.make('admin', 'team', { group: t.projects.default });
  mine = `user:${t.people.user.userId}`;
  project = `project:${t.projects.default}`;
});
afterAll(() => t.close());

const search = (body: object) => t.call('superadmin', 'POST', '/admin/quota-scopes/search', body);
const item = (id: string) => ({
  quota_scope_id: id,
  storage_host_name: HOST,
  // This volume counts nothing.
  usage_bytes: null,
  usage_count: null,
  hard_limit_bytes: null,
});

test('each scope is listed once', async () => {
  expect(await search({})).toEqual([
    200,
    {
      quota_scopes: [item(project), item(mine)],
      pagination: { total: 2, offset: 0, limit: 50 },
    },
  ]);
});

test('scopes are filtered, ordered and paged', async () => {
  const filter = { quota_scope_id: { starts_with: 'user:' }, storage_host_name: { equals: HOST } };
  expect(await search({ filter })).toMatchObject([200, { quota_scopes: [item(mine)] }]);
  const last = { order: [{ field: 'quota_scope_id', direction: 'desc' }], limit: 1, offset: 1 };
  expect(await search(last)).toEqual([
    200,
    { quota_scopes: [item(project)], pagination: { total: 2, offset: 1, limit: 1 } },
  ]);
  const wrong = { filter: { quota_scope_id: { resembles: 'x' } } };
  expect(await search(wrong)).toMatchObject([400, {}]);
});

test('a proxy that is away leaves the list, without what it knows', async () => {
  await t.ctx.config.put('volumes/proxies/local/manager_api', 'http://127.0.0.1:9');
  try {
    expect(await search({ limit: 1 })).toMatchObject([
      200,
      { quota_scopes: [{ quota_scope_id: project, usage_bytes: null }] },
    ]);
  } finally {
    await t.announceStorage();
  }
});

test('one scope is told of; a volume without quotas says that it sets none', async () => {
  const path = `/admin/quota-scopes/${HOST}/${mine}`;
  expect(await t.call('superadmin', 'GET', path)).toEqual([200, { quota_scope: item(mine) }]);
  const nobody = `user:${crypto.randomUUID()}`;
  const none = await t.call('superadmin', 'GET', `/admin/quota-scopes/${HOST}/${nobody}`);
  expect(none[0]).toBe(404);
  const named = { storage_host_name: HOST, quota_scope_id: mine };
  const set = { ...named, hard_limit_bytes: 1_000_000 };
  const [status, body] = await t.call('superadmin', 'POST', '/admin/quota-scopes/set', set);
  expect([status, JSON.stringify(body)]).toEqual([400, expect.stringContaining('quota')]);
  const zero = { ...named, hard_limit_bytes: 0 };
  expect((await t.call('superadmin', 'POST', '/admin/quota-scopes/set', zero))[0]).toBe(400);
});

test('scopes are for superadmins', async () => {
  for (const who of ['admin', 'user', 'monitor', 'otherAdmin'] as const) {
    expect((await t.call(who, 'POST', '/admin/quota-scopes/search', {}))[0]).toBe(403);
    expect((await t.call(who, 'GET', `/admin/quota-scopes/${HOST}/${mine}`))[0]).toBe(403);
  }
});
