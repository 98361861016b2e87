/** Trash, restoring, deletion for good, purging and cloning on a real storage proxy. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import * as v from 'valibot';
import { type TestFolders, testFolders } from '../../testing/folders.ts';
import { IdleWork } from './work.ts';
import { underLease } from './work-lease.ts';
import { insertWork } from './work-store.ts';

let t: TestFolders;
beforeAll(async () => {
  t = await testFolders();
});
afterAll(() => t.close());

type Who = Parameters<TestFolders['call']>[0];
const post = (who: Who, path: string, id: string) =>
  t.call(who, 'POST', `/folders/${path}`, { vfolder_id: id });
const trash = async (who: Who, id: string) =>
  (await t.call(who, 'DELETE', '/folders', { vfolderId: id }))[0];

/** Where a personal folder lies. */
function pathOf(who: Who, id: string): string {
  const scope = t.people[who].userId.replaceAll('-', '');
  return `${t.storage.volumePath}/${scope}/${id.slice(0, 2)}/${id.slice(2, 4)}/${id.slice(4)}`;
}

describe('the trash', () => {
  test('keeps a folder until it is restored or deleted for good', async () => {
    const id = await t.make('user', 'first');
    expect(await trash('user', id)).toBe(204);
    expect(await trash('user', id)).toBe(400);
    const [, info] = await t.call('user', 'GET', `/folders/${id}`);
    expect(info).toMatchObject({ status: 'delete-pending' });
    expect((await t.call('user', 'POST', `/folders/${id}/mkdir`, { path: 'x' }))[0]).toBe(400);
    expect((await post('user', 'restore-from-trash-bin', id))[0]).toBe(204);
    expect((await post('user', 'delete-from-trash-bin', id))[0]).toBe(400);
    expect(await trash('user', id)).toBe(204);
    expect(existsSync(pathOf('user', id))).toBe(true);
    expect((await post('user', 'delete-from-trash-bin', id))[0]).toBe(204);
    await t.reached(id, 'delete-complete');
    expect(existsSync(pathOf('user', id))).toBe(false);
    expect((await t.call('user', 'GET', `/folders/first`))[0]).toBe(404);
    await t.make('user', 'first');
    expect((await post('user', 'purge', id))[0]).toBe(403);
    expect((await post('superadmin', 'purge', id))[0]).toBe(204);
    expect(await t.ctx.sql`SELECT 1 FROM vfolders WHERE id = ${id}`).toHaveLength(0);
  });

  test('is skipped by force', async () => {
    const id = await t.make('user', 'forced');
    expect((await t.call('otherUser', 'DELETE', `/folders/${id}/force`))[0]).toBe(404);
    expect((await t.call('user', 'DELETE', `/folders/${id}/force`))[0]).toBe(204);
    await t.reached(id, 'delete-complete');
  });

  test('is for owners and administrators of the domain', async () => {
    const id = await t.make('user', 'guarded');
    for (const who of ['otherUser', 'otherAdmin', 'monitor'] as const) {
      expect([who, await trash(who, id)]).toEqual([who, 404]);
    }
    expect(await trash('admin', id)).toBe(204);
    for (const who of ['otherUser', 'otherAdmin', 'monitor'] as const) {
      expect([who, (await post(who, 'restore-from-trash-bin', id))[0]]).toEqual([who, 404]);
      expect([who, (await post(who, 'delete-from-trash-bin', id))[0]]).toEqual([who, 404]);
    }
    expect((await post('user', 'restore-from-trash-bin', id))[0]).toBe(204);
  });
});

describe('a clone', () => {
  const taskOf = v.object({ bgtask_id: v.string(), id: v.string() });

  test('holds what the source held, and belongs to who asked', async () => {
    const source = await t.make('user', 'source');
    await t.call('user', 'POST', `/folders/${source}/mkdir`, { path: ['a/b', 'c'] });
    const url = `/folders/${source}/clone`;
    expect((await t.call('user', 'POST', url, { target_name: 'copy' }))[0]).toBe(403);
    await t.call('user', 'POST', `/folders/${source}/update-options`, { cloneable: true });
    const [status, body] = await t.call('user', 'POST', url, { target_name: 'copy' });
    expect(status).toBe(201);
    const { id } = v.parse(taskOf, body);
    await t.reached(id, 'ready');
    await t.reached(source, 'ready');
    expect((await readdir(pathOf('user', id))).sort()).toEqual(['a', 'c']);
    expect((await t.call('user', 'POST', url, { target_name: 'copy' }))[0]).toBe(400);
    expect((await t.call('otherUser', 'POST', url, { target_name: 'copy' }))[0]).toBe(404);
    const elsewhere = { target_name: 'far', target_host: 'other:volume' };
    expect((await t.call('user', 'POST', url, elsewhere))[0]).toBe(400);
  });

  test('goes to whose quota scope is named: the own one, or that of a project', async () => {
    const source = await t.make('admin', 'scoped', { cloneable: true });
    const clone = (name: string, scope: string) =>
      t.call('admin', 'POST', `/folders/${source}/clone`, {
        target_name: name,
        target_quota_scope_id: scope,
      });
    const project = t.projects.default;
    const [status, body] = await clone('of-project', `project:${project}`);
    expect([status, body]).toEqual([
      201,
      expect.objectContaining({ ownership_type: 'group', group: project, user: null }),
    ]);
    await t.reached(v.parse(taskOf, body).id, 'ready');
    await t.reached(source, 'ready');
    const [own, mine] = await clone('own', `user:${t.people.admin.userId}`);
    expect([own, mine]).toEqual([201, expect.objectContaining({ ownership_type: 'user' })]);
    await t.reached(source, 'ready');
    expect((await clone('theirs', `user:${t.people.user.userId}`))[0]).toBe(400);
    expect((await clone('none', 'project:nothing'))[0]).toBe(400);
    expect((await clone('foreign', `project:${t.projects.elsewhere}`))[0]).toBe(404);
  });

  test('that fails leaves nothing, and the source as it was', async () => {
    const source = await t.make('user', 'vanishing', { cloneable: true });
    const { rmSync } = await import('node:fs');
    rmSync(pathOf('user', source), { recursive: true });
    const url = `/folders/${source}/clone`;
    const [status, body] = await t.call('user', 'POST', url, { target_name: 'never' });
    expect(status).toBe(201);
    const { id } = v.parse(taskOf, body);
    await t.reached(source, 'ready');
    expect(await t.ctx.sql`SELECT 1 FROM vfolders WHERE id = ${id}`).toHaveLength(0);
  });
});

/** As if a manager had been killed between noting the work and asking the proxy. */
async function leftWork(name: string): Promise<string> {
  const id = await t.make('user', name);
  await t.ctx.sql`UPDATE vfolders SET status = 'delete-ongoing' WHERE id = ${id}`;
  await insertWork(t.ctx.sql, id, 'delete', null);
  return id;
}
const untouchedFor = (seconds: number, id: string) =>
  t.ctx.sql`UPDATE folder_work SET touched_at = now() - make_interval(secs => ${seconds})
             WHERE vfolder = ${id}`;
const takeUpWork = () => new IdleWork(t.ctx).pass(new AbortController().signal);

test('work of a manager that died is taken up by the leader when its lease is gone', async () => {
  const id = await leftWork('orphan');
  await takeUpWork();
  // Noted just now: whoever did so may be about to go on.
  expect(existsSync(pathOf('user', id))).toBe(true);
  await untouchedFor(20, id);
  await underLease(t.ctx, id, async () => {
    await takeUpWork();
    expect(existsSync(pathOf('user', id))).toBe(true);
  });
  await takeUpWork();
  await t.reached(id, 'delete-complete');
  expect(existsSync(pathOf('user', id))).toBe(false);
});

test('work that nobody went on with for long is taken up, whatever its lease says', async () => {
  const id = await leftWork('stale');
  await untouchedFor(120, id);
  await underLease(t.ctx, id, takeUpWork);
  await t.reached(id, 'delete-complete');
});

/** Lets folders be asked of the proxy only once `act` says so. */
async function withSlowProxy(
  act: (proxy: { isAsked: Promise<void>; goOn: () => void }) => Promise<void>,
): Promise<void> {
  const { promise: isAsked, resolve: ask } = Promise.withResolvers<void>();
  const { promise: mayEnd, resolve: goOn } = Promise.withResolvers<void>();
  const slow = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const body = await request.text();
      ask();
      await mayEnd;
      const { pathname } = new URL(request.url);
      const { method, headers } = request;
      return await fetch(`${t.storage.managerUrl}${pathname}`, { method, headers, body });
    },
  });
  try {
    await t.ctx.config.put('volumes/proxies/local/manager_api', slow.url.origin);
    await act({ isAsked, goOn });
  } finally {
    goOn();
    await t.announceStorage();
    await slow.stop(true);
  }
}

test('the leader takes up other work while some lasts', async () => {
  const [first, second] = [await leftWork('lasts'), await leftWork('follows')];
  await withSlowProxy(async ({ isAsked, goOn }) => {
    const leader = new IdleWork(t.ctx);
    const { signal } = new AbortController();
    await untouchedFor(20, first);
    const passing = leader.pass(signal);
    await isAsked;
    await t.announceStorage();
    await untouchedFor(20, second);
    await passing;
    const next = leader.pass(signal);
    await t.reached(second, 'delete-complete');
    goOn();
    await t.reached(first, 'delete-complete');
    await next;
  });
});

test('but no more of it at a time than it may', async () => {
  const [first, second] = [await leftWork('goes first'), await leftWork('has to wait')];
  await withSlowProxy(async ({ isAsked, goOn }) => {
    const leader = new IdleWork(t.ctx, 1);
    const { signal } = new AbortController();
    await untouchedFor(20, first);
    const passing = leader.pass(signal);
    await isAsked;
    await t.announceStorage();
    await untouchedFor(40, second);
    await leader.pass(signal);
    const [waiting] = await t.ctx.sql`SELECT touched_at < now() - interval '30 seconds' AS "isIdle"
      FROM folder_work WHERE vfolder = ${second}`;
    expect(waiting?.isIdle).toBe(true);
    goOn();
    await t.reached(first, 'delete-complete');
    await passing;
    await takeUpWork();
    await t.reached(second, 'delete-complete');
  });
});

test('work waits while the proxy is away', async () => {
  const id = await leftWork('waiting');
  await untouchedFor(120, id);
  await t.ctx.config.put('volumes/proxies/local/manager_api', 'http://127.0.0.1:9');
  await takeUpWork();
  const [row] = await t.ctx.sql`SELECT status FROM vfolders WHERE id = ${id}`;
  expect(row?.status).toBe('delete-ongoing');
  await t.announceStorage();
  await untouchedFor(120, id);
  await takeUpWork();
  await t.reached(id, 'delete-complete');
});
