/** Folders over the newer HTTP operations, with a real storage proxy: files, copies, the trash bin. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type TestFolders, testFolders } from '../../testing/folders.ts';
import { until } from '../../testing/until.ts';

let folders: TestFolders;
beforeAll(async () => {
  folders = await testFolders();
});
afterAll(() => folders.close());

type Who = keyof TestFolders['people'];

/** The answer of what must succeed. */
async function done(method: string, path: string, body?: unknown, who: Who = 'user') {
  const [status, json] = await folders.call(who, method, `/v2/${path}`, body);
  expect({ path, status, json }).toMatchObject({ status: 200 });
  return json;
}
const statusOf = async (who: Who, method: string, path: string, body?: unknown) =>
  (await folders.call(who, method, `/v2/${path}`, body))[0];

const dashed = (id: string) => id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

test('files of a folder: directories, moving, listing, up- and downloads, deleting', async () => {
  const path = `vfolders/${await folders.make('user', 'with-files')}`;
  expect(await done('POST', `${path}/files/mkdir`, { path: ['a/b', 'c'] })).toMatchObject({
    results: expect.any(Array),
  });
  await done('POST', `${path}/files/mkdir`, { path: 'd' });
  await done('POST', `${path}/files/move`, { src: 'c', dst: 'e' });
  const listed = await done('POST', `${path}/files/list`, { path: '.' });
  expect(listed).toMatchObject({
    items: expect.arrayContaining([expect.objectContaining({ name: 'e', type: 'DIRECTORY' })]),
  });
  const session = { token: expect.any(String), url: expect.stringContaining('http') };
  expect(await done('POST', `${path}/upload-session`, { path: 'f', size: 3 })).toMatchObject(
    session,
  );
  expect(
    await done('POST', `${path}/download-session`, { path: 'a', archive: true }),
  ).toMatchObject(session);
  await done('POST', `${path}/files/delete`, { files: ['e'], recursive: true });
  await until(async () => {
    const text = JSON.stringify(await done('POST', `${path}/files/list`, { path: '.' }));
    return !text.includes('"e"');
  }, 'the directory is gone');
  for (const who of ['otherUser', 'otherAdmin', 'admin'] as const) {
    expect(await statusOf(who, 'POST', `${path}/files/list`, { path: '.' })).not.toBe(200);
    expect(await statusOf(who, 'POST', `${path}/files/mkdir`, { path: 'x' })).not.toBe(200);
  }
});

test('a folder goes to the trash bin, comes back, and is deleted for good', async () => {
  const id = dashed(await folders.make('user', 'to-delete'));
  const path = `vfolders/${id}`;
  expect(await statusOf('otherUser', 'DELETE', path)).not.toBe(200);
  expect(await done('DELETE', path)).toEqual({ id });
  expect(await done('GET', path)).toMatchObject({ status: 'delete-pending' });
  expect(await done('POST', `${path}/restore`)).toEqual({ id });
  expect(await done('POST', 'vfolders/delete', { ids: [id] })).toEqual({ deleted_count: 1 });
  expect(await statusOf('otherAdmin', 'POST', 'vfolders/purge', { ids: [id] })).toBeDefined();
  expect(await done('GET', path)).toMatchObject({ status: 'delete-pending' });
  expect(await done('POST', 'vfolders/purge', { ids: [id] })).toEqual({
    purged_count: 1,
    failed: [],
  });
  const second = dashed(await folders.make('user', 'to-purge'));
  await done('DELETE', `vfolders/${second}`);
  expect(await done('POST', `vfolders/${second}/purge`, {})).toEqual({ id: second });
});

test('a folder of a project is made by who may, and a folder is copied', async () => {
  const path = `vfolders/projects/${folders.projects.default}/create`;
  const made = await done('POST', path, { name: 'of-project' }, 'admin');
  expect(made).toMatchObject({
    vfolder: { metadata: { name: 'of-project' }, access_control: { ownership_type: 'group' } },
  });
  expect(await statusOf('otherAdmin', 'POST', path, { name: 'foreign' })).not.toBe(200);
  const from = await folders.make('user', 'copied', { cloneable: true });
  const copy = await done('POST', `vfolders/${from}/clone`, { name: 'copy' });
  expect(copy).toMatchObject({
    vfolder: { metadata: { name: 'copy' } },
    bgtask_id: expect.any(String),
  });
  expect(await done('GET', 'storage-hosts/my/permissions')).toMatchObject({
    items: [
      {
        host: 'local:volume1',
        permissions: expect.arrayContaining(['create-vfolder', 'set-user-specific-permission']),
      },
    ],
  });
});
