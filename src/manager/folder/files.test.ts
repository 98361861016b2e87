/** The files of folders through the manager and a real storage proxy. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { type TestFolders, testFolders } from '../../testing/folders.ts';
import { signingClient } from '../../testing/manager.ts';

let t: TestFolders;
let id: string;
beforeAll(async () => {
  t = await testFolders();
  id = await t.make('user', 'files');
});
afterAll(() => t.close());

const listing = v.object({
  items: v.array(v.object({ name: v.string(), type: v.string(), size: v.number() })),
});
const list = async (path = '') => {
  const [, body] = await t.call('user', 'GET', `/folders/${id}/files?path=${path}`);
  return v
    .parse(listing, body)
    .items.map(({ name, type }) => `${type} ${name}`)
    .sort();
};

test('directories are made, and each that fails is told', async () => {
  const url = `/folders/${id}/mkdir`;
  const [status, made] = await t.call('user', 'POST', url, { path: ['a/b', 'c'] });
  expect([status, made]).toMatchObject([
    200,
    { results: { success: [{ item: 'a/b' }, { item: 'c' }], failed: [] } },
  ]);
  expect((await t.call('user', 'POST', url, { path: ['c', 'd'] }))[0]).toBe(207);
  expect((await t.call('user', 'POST', url, { path: 'c' }))[0]).toBe(422);
  expect((await t.call('user', 'POST', url, { path: '../out' }))[0]).not.toBe(200);
  expect(await list()).toEqual(['DIRECTORY a', 'DIRECTORY c', 'DIRECTORY d']);
});

test('a directory comes in pages, in the order of names', async () => {
  await t.call('user', 'POST', `/folders/${id}/mkdir`, { path: ['p/b', 'p/a', 'p/é', 'p/c'] });
  const page = async (query: string): Promise<[string[], unknown]> => {
    const [status, body] = await t.call('user', 'GET', `/folders/${id}/files?path=p${query}`);
    expect(status).toBe(200);
    const { items, next } = v.parse(v.object({ ...listing.entries, next: v.unknown() }), body);
    return [items.map(({ name }) => name), next];
  };
  expect(await page('')).toEqual([['a', 'b', 'c', 'é'], null]);
  expect(await page('&limit=3')).toEqual([['a', 'b', 'c'], 'c']);
  expect(await page('&limit=3&after=c')).toEqual([['é'], null]);
  expect(await page('&after=bb')).toEqual([['c', 'é'], null]);
  expect(await page('&after=zzz&limit=1')).toEqual([['é'], null]);
  const wrong = await t.call('user', 'GET', `/folders/${id}/files?path=p&limit=0`);
  expect(wrong[0]).toBe(400);
  await t.call('user', 'DELETE', `/folders/${id}/delete-files`, { files: ['p'], recursive: true });
});

test('files are renamed, moved and deleted', async () => {
  const post = async (action: string, body: object) =>
    (await t.call('user', 'POST', `/folders/${id}/${action}`, body))[0];
  expect(await post('rename-file', { target_path: 'd', new_name: 'e' })).toBe(200);
  expect(await post('move-file', { src: 'e', dst: 'a/e' })).toBe(200);
  expect(await list('a')).toEqual(['DIRECTORY b', 'DIRECTORY e']);
  expect(await post('move-file', { src: 'a', dst: '../../x' })).toBe(400);
  const remove = { files: ['c'], recursive: true };
  expect((await t.call('user', 'DELETE', `/folders/${id}/delete-files`, remove))[0]).toBe(200);
  expect(await list()).toEqual(['DIRECTORY a']);
});

test('files are deleted in the background, and the owner sees how far it is', async () => {
  await t.call('user', 'POST', `/folders/${id}/mkdir`, { path: ['z/1', 'z/2', 'z/3'] });
  const [status, body] = await t.call('user', 'POST', `/folders/${id}/delete-files-async`, {
    files: ['z'],
    recursive: true,
  });
  expect(status).toBe(202);
  const { bgtask_id: task } = v.parse(v.object({ bgtask_id: v.string() }), body);
  const client = signingClient(t.url, t.people.user);
  const events = await (await client('GET', `/events/background-task?task_id=${task}`)).text();
  expect(events).toContain('event: bgtask_done');
  expect(await list()).toEqual(['DIRECTORY a']);
  const stranger = signingClient(t.url, t.people.otherUser);
  expect((await stranger('GET', `/events/background-task?task_id=${task}`)).status).toBe(404);
});

test('tickets lead to the proxy, for those who may', async () => {
  const ticket = v.object({ token: v.pipe(v.string(), v.nonEmpty()), url: v.string() });
  const ask = (who: 'user' | 'admin' | 'otherUser', action: string, body: object) =>
    t.call(who, 'POST', `/folders/${id}/${action}`, body);
  const upload = { path: 'new.txt', size: 5 };
  const [status, body] = await ask('user', 'request-upload', upload);
  expect(status).toBe(200);
  expect(v.parse(ticket, body).url).toBe(`${t.storage.clientUrl}/upload`);
  const [, down] = await ask('user', 'request-download', { file: 'a', archive: true });
  expect(v.parse(ticket, down).url).toBe(`${t.storage.clientUrl}/download`);
  const [, archive] = await ask('user', 'request-download-archive', { files: ['a'] });
  expect(v.parse(ticket, archive).url).toBe(`${t.storage.clientUrl}/download-archive`);
  expect((await ask('otherUser', 'request-upload', upload))[0]).toBe(404);
  expect((await ask('admin', 'request-upload', upload))[0]).toBe(403);
  expect((await ask('user', 'request-upload', { path: 'x' }))[0]).toBe(400);
  expect((await ask('user', 'request-upload', { path: 'x', size: -1 }))[0]).toBe(400);
});

test('host permissions decide about uploads and downloads', async () => {
  const { sql } = t.ctx;
  await sql`UPDATE domains SET allowed_vfolder_hosts = '{"local:volume1": ["create-vfolder"]}'`;
  const up = await t.call('user', 'POST', `/folders/${id}/request-upload`, { path: 'x', size: 1 });
  const down = await t.call('user', 'POST', `/folders/${id}/request-download`, { path: 'a' });
  expect([up[0], down[0]]).toEqual([400, 400]);
  expect(JSON.stringify(up[1])).toContain('upload-file');
  expect(JSON.stringify(down[1])).toContain('download-file');
});
