/** Files, copies, deletion and permissions of folders through the newer GraphQL fields, on a real storage proxy. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import * as v from 'valibot';
import { HOST, type TestFolders, testFolders } from '../../testing/folders.ts';
import { until } from '../../testing/until.ts';

let t: TestFolders;
/** Of `user`, and what it is in the database. */
let id: string;
beforeAll(async () => {
  t = await testFolders();
  id = dashed(await t.make('user', 'files', { cloneable: true, usage_mode: 'data' }));
});
afterAll(() => t.close());

type Who = keyof TestFolders['people'];
const dashed = (hex: string) => hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');

/** Asks for one mutation of a folder. @returns its answer. */
async function change(
  who: Who,
  field: string,
  input: object | null,
  selected: string,
  folder = id,
): Promise<unknown> {
  const types: Record<string, string> = {
    vfolderListFilesV2: 'ListFilesV2Input',
    vfolderMkdirV2: 'MkdirV2Input',
    vfolderMoveFileV2: 'MoveFileV2Input',
    vfolderDeleteFilesV2: 'DeleteFilesV2Input',
    vfolderCreateUploadSessionV2: 'CreateUploadSessionV2Input',
    vfolderCreateDownloadSessionV2: 'CreateDownloadSessionV2Input',
    cloneVfolderV2: 'CloneVFolderV2Input',
  };
  const query =
    input === null
      ? `mutation ($id: UUID!) { done: ${field}(vfolderId: $id) { ${selected} } }`
      : `mutation ($id: UUID!, $input: ${types[field]}!) {
          done: ${field}(vfolderId: $id, input: $input) { ${selected} } }`;
  const { data, errors } = await t.ask(who, query, { id: folder, ...(input && { input }) });
  if (errors) throw new Error(errors[0]?.message);
  return data?.done;
}

/** Does something while somebody has a permission on the folder. */
async function granted(who: Who, permission: string, run: () => Promise<unknown>): Promise<void> {
  const { sql } = t.ctx;
  await sql`INSERT INTO vfolder_permissions (permission, vfolder, "user")
    VALUES (${permission}, ${id}, ${t.people[who].userId})`;
  try {
    await run();
  } finally {
    await sql`DELETE FROM vfolder_permissions WHERE vfolder = ${id}`;
  }
}

const listing = v.object({
  items: v.array(v.object({ name: v.string(), type: v.string(), size: v.number() })),
});
const list = async (who: Who, path: string, folder = id) =>
  v.parse(
    listing,
    await change(who, 'vfolderListFilesV2', { path }, 'items { name type size }', folder),
  ).items;

const ticket = v.object({ token: v.string(), url: v.string() });

async function upload(who: Who, path: string, content: string, folder = id): Promise<void> {
  const input = { path, size: content.length };
  const field = 'vfolderCreateUploadSessionV2';
  const { url, token } = v.parse(ticket, await change(who, field, input, 'token url', folder));
  const answer = await fetch(`${url}?token=${token}`, {
    method: 'PATCH',
    headers: {
      'Tus-Resumable': '1.0.0',
      'Upload-Offset': '0',
      'Content-Type': 'application/offset+octet-stream',
    },
    body: content,
  });
  expect(answer.status).toBe(204);
}

async function download(who: Who, path: string, folder = id): Promise<string> {
  const field = 'vfolderCreateDownloadSessionV2';
  const { url, token } = v.parse(ticket, await change(who, field, { path }, 'token url', folder));
  return (await fetch(`${url}?token=${token}`)).text();
}

describe('files', () => {
  test('are uploaded, listed, moved, downloaded and deleted', async () => {
    const made = await change('user', 'vfolderMkdirV2', { path: ['a/b', 'c'] }, 'results');
    expect(made).toEqual({ results: ['a/b', 'c'] });
    await upload('user', 'a/b/one.txt', 'the content');
    expect(await list('user', 'a/b')).toEqual([{ name: 'one.txt', type: 'FILE', size: 11 }]);
    const paths = { src: 'a/b/one.txt', dst: 'c/two.txt' };
    expect(await change('user', 'vfolderMoveFileV2', paths, 'src dst')).toEqual(paths);
    expect(await list('user', 'a/b')).toEqual([]);
    expect(await download('user', 'c/two.txt')).toBe('the content');
    const all = { files: ['a', 'c'], recursive: true };
    const task = await change('user', 'vfolderDeleteFilesV2', all, 'bgtaskId');
    expect(task).toEqual({ bgtaskId: expect.stringMatching(/^[0-9a-f-]{36}$/) });
    await until(async () => (await list('user', '.')).length === 0, 'the files are deleted');
  });

  test('tell their times, and their sizes beyond 32 bits', async () => {
    await upload('user', 'timed', 'x');
    const answer = await change(
      ...(['user', 'vfolderListFilesV2', { path: '' }] as const),
      'items { name mode createdAt updatedAt }',
    );
    expect(answer).toEqual({
      items: [
        {
          name: 'timed',
          mode: expect.any(Number),
          createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
          updatedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
        },
      ],
    });
    const hex = id.replaceAll('-', '');
    const scope = t.people.user.userId.replaceAll('-', '');
    const folder = `${t.storage.volumePath}/${scope}/${hex.slice(0, 2)}/${hex.slice(2, 4)}`;
    const huge = `${folder}/${hex.slice(4)}/huge`;
    await Bun.write(huge, '');
    const { truncate, rm } = await import('node:fs/promises');
    await truncate(huge, 5 * 1024 ** 3);
    const [found] = (await list('user', '.')).filter(({ name }) => name === 'huge');
    expect(found?.size).toBe(5 * 1024 ** 3);
    await rm(huge);
  });

  test('that cannot be are told of', async () => {
    const failing = (field: string, input: object) => change('user', field, input, '__typename');
    await upload('user', 'plain', 'x');
    await expect(failing('vfolderMkdirV2', { path: ['plain/below'] })).rejects.toThrow('plain');
    await expect(failing('vfolderMkdirV2', { path: [] })).rejects.toThrow('Name 1 to 50');
    await expect(failing('vfolderMoveFileV2', { src: 'none', dst: 'x' })).rejects.toThrow();
    await expect(failing('vfolderListFilesV2', { path: '../..' })).rejects.toThrow();
    await expect(failing('vfolderCreateUploadSessionV2', { path: 'x', size: -1 })).rejects.toThrow(
      'below 0',
    );
    await expect(
      failing('vfolderCreateDownloadSessionV2', { path: 'x'.repeat(5000) }),
    ).rejects.toThrow('4096');
    expect((await list('user', '.')).map(({ name }) => name).sort()).toEqual(['plain', 'timed']);
  });

  const attempts = [
    ['vfolderListFilesV2', { path: '.' }, 'read'],
    ['vfolderCreateDownloadSessionV2', { path: 'plain' }, 'read'],
    ['vfolderMkdirV2', { path: ['made'], existOk: true }, 'write'],
    ['vfolderMoveFileV2', { src: 'moving' }, 'write'],
    ['vfolderCreateUploadSessionV2', { path: 'sent', size: 5 }, 'write'],
    ['vfolderDeleteFilesV2', { files: ['sent'] }, 'write'],
  ] as const;

  test.each(attempts)('%s is for whom the folder is shared with', async (field, input, kind) => {
    let tries = 0;
    const may = async (who: Who) => {
      await upload('user', 'moving', 'x');
      const isMove = field === 'vfolderMoveFileV2';
      const full = isMove ? { ...input, dst: `moved-${tries++}` } : input;
      try {
        await change(who, field, full, '__typename');
        return true;
      } catch (error) {
        expect(String(error)).toMatch(/vfolder|folder/i);
        return false;
      }
    };
    for (const who of ['otherUser', 'otherAdmin', 'monitor'] as const) {
      expect({ who, may: await may(who) }).toEqual({ who, may: false });
    }
    // Who looks after a domain does not read what its people keep.
    expect(await may('admin')).toBe(false);
    await granted('admin', 'ro', async () => expect(await may('admin')).toBe(kind === 'read'));
    await granted('admin', 'rw', async () => expect(await may('admin')).toBe(true));
    expect(await may('user')).toBe(true);
  });

  test('are not changed while the cluster is frozen, but read', async () => {
    await t.ctx.config.put('manager/status', 'frozen');
    try {
      expect((await list('user', '.')).length).toBeGreaterThan(0);
      await expect(change('user', 'vfolderMkdirV2', { path: ['no'] }, 'results')).rejects.toThrow(
        /frozen/i,
      );
    } finally {
      await t.ctx.config.put('manager/status', 'running');
    }
  });
});

describe('a copy', () => {
  const cloned = v.object({
    vfolder: v.object({
      id: v.string(),
      metadata: v.object({ name: v.string(), usageMode: v.string() }),
      ownership: v.object({ userId: v.nullable(v.string()), projectId: v.nullable(v.string()) }),
    }),
    bgtaskId: v.string(),
  });
  const selected =
    'bgtaskId vfolder { id metadata { name usageMode } ownership { userId projectId } }';
  const clone = async (who: Who, input: object) => {
    const answer = v.parse(cloned, await change(who, 'cloneVfolderV2', input, selected));
    const copy = atob(answer.vfolder.id).replace('VFolder:', '');
    await t.reached(copy, 'ready');
    await t.reached(id, 'ready');
    return { ...answer.vfolder, copy };
  };

  test("is the caller's own, and holds what the folder does", async () => {
    await upload('user', 'kept', 'to be copied');
    const { userId } = t.people.user;
    const { copy, ...folder } = await clone('user', { name: 'copied' });
    expect(folder).toMatchObject({
      metadata: { name: 'copied', usageMode: 'DATA' },
      ownership: { userId, projectId: null },
    });
    expect(await download('user', 'kept', copy)).toBe('to be copied');
    await expect(clone('user', { name: 'copied' })).rejects.toThrow('already exists');
    await expect(clone('otherUser', { name: 'stolen' })).rejects.toThrow(/folder/i);
    await expect(clone('user', { name: 'away', host: 'local:other' })).rejects.toThrow('volume');
  });

  test('may be of a project, by who may make folders there', async () => {
    const projectId = t.projects.default;
    await expect(clone('user', { name: 'team-copy', projectId })).rejects.toThrow('administrators');
    await expect(clone('admin', { name: 'team-copy', projectId })).rejects.toThrow("'clone'");
    await granted('admin', 'ro', async () => {
      const { copy, ownership } = await clone('admin', { name: 'team-copy', projectId });
      expect(ownership).toEqual({ userId: null, projectId });
      // A member of the project.
      expect(await download('user', 'kept', copy)).toBe('to be copied');
      await expect(list('otherUser', '.', copy)).rejects.toThrow(/folder/i);
    });
  });

  test('is not made of a folder that may not be cloned', async () => {
    const guarded = dashed(await t.make('user', 'guarded'));
    const input = { name: 'no' };
    await expect(change('user', 'cloneVfolderV2', input, 'bgtaskId', guarded)).rejects.toThrow(
      'may not be cloned',
    );
  });
});

test('a folder of the trash is purged, by who may delete it', async () => {
  const folder = await t.make('user', 'doomed');
  const purge = (who: Who) => change(who, 'purgeVfolderV2', null, 'id', dashed(folder));
  await expect(purge('user')).rejects.toThrow(/status|ready/i);
  await change('user', 'deleteVfolderV2', null, 'id', dashed(folder));
  for (const who of ['otherUser', 'otherAdmin', 'monitor'] as const) {
    await expect(purge(who)).rejects.toThrow(/folder/i);
  }
  expect(await purge('user')).toEqual({ id: dashed(folder) });
  await t.reached(folder, 'delete-complete');
  const scope = t.people.user.userId.replaceAll('-', '');
  expect(existsSync(`${t.storage.volumePath}/${scope}/${folder.slice(0, 2)}`)).toBe(false);
});

test('host permissions are the sum of what domain, projects and policy allow', async () => {
  const query = '{ myStorageHostPermissions { items { host permissions } } }';
  const all = {
    host: HOST,
    permissions: expect.arrayContaining(['CREATE_VFOLDER', 'SET_USER_PERM', 'UPLOAD_FILE']),
  };
  expect((await t.ask('user', query)).data).toEqual({ myStorageHostPermissions: { items: [all] } });
  const extra = JSON.stringify({ 'far:tapes': ['download-file'] });
  await t.ctx.sql`UPDATE groups SET allowed_vfolder_hosts = ${extra}::text::jsonb
    WHERE id = ${t.projects.default}`;
  expect((await t.ask('user', query)).data).toEqual({
    myStorageHostPermissions: {
      items: [{ host: 'far:tapes', permissions: ['DOWNLOAD_FILE'] }, all],
    },
  });
  expect((await t.ask('otherUser', query)).data).toEqual({
    myStorageHostPermissions: { items: [all] },
  });
});

describe('vfolder_permission_list', () => {
  const page = v.object({
    list: v.object({
      items: v.array(v.object({ vfolder_name: v.string(), user_email: v.string() })),
      total_count: v.number(),
    }),
  });
  const names = async (who: Who, args = 'limit: 10, offset: 0') => {
    const { data, errors } = await t.ask(
      who,
      `{ list: vfolder_permission_list(${args}) { total_count items { vfolder_name user_email } } }`,
    );
    expect(errors).toBeNull();
    const { items, total_count } = v.parse(page, data).list;
    return [
      total_count,
      items.map(({ vfolder_name, user_email }) => `${vfolder_name} ${user_email}`),
    ];
  };
  let shared: string;
  beforeAll(async () => {
    shared = await t.make('user', 'shared');
    const other = await t.make('otherUser', 'theirs');
    const { sql } = t.ctx;
    const { admin, otherAdmin } = t.people;
    for (const [folder, to, permission] of [
      [shared, admin.userId, 'rw'],
      [other, otherAdmin.userId, 'ro'],
    ] as const) {
      await sql`INSERT INTO vfolder_permissions (permission, vfolder, "user")
        VALUES (${permission}, ${folder}, ${to})`;
    }
  });

  test('holds what each role may know of', async () => {
    const { admin, otherAdmin } = t.people;
    const ours = `shared ${admin.email}`;
    const theirs = `theirs ${otherAdmin.email}`;
    expect(await names('superadmin')).toEqual([2, [theirs, ours]]);
    expect(await names('user')).toEqual([1, [ours]]);
    expect(await names('admin')).toEqual([1, [ours]]);
    expect(await names('otherUser')).toEqual([1, [theirs]]);
    expect(await names('otherAdmin')).toEqual([1, [theirs]]);
    expect(await names('monitor')).toEqual([0, []]);
  });

  test('is filtered, ordered and paged', async () => {
    const { admin, otherAdmin } = t.people;
    const filtered = `limit: 10, offset: 0, filter: "permission == \\"rw\\""`;
    expect(await names('superadmin', filtered)).toEqual([1, [`shared ${admin.email}`]]);
    const second = 'limit: 1, offset: 1, order: "+vfolder_name"';
    expect(await names('superadmin', second)).toEqual([2, [`theirs ${otherAdmin.email}`]]);
    const one = `{ vfolder_permission_list(limit: 1, offset: 0) {
      items { id permission vfolder user } } }`;
    expect((await t.ask('user', one)).data).toEqual({
      vfolder_permission_list: {
        items: [
          {
            id: expect.stringMatching(/^[0-9a-f-]{36}$/),
            permission: 'rw',
            vfolder: dashed(shared),
            user: admin.userId,
          },
        ],
      },
    });
    const wrong =
      '{ vfolder_permission_list(limit: 1, offset: 0, filter: "no == 1") { total_count } }';
    expect((await t.ask('user', wrong)).errors).toHaveLength(1);
  });
});
