/** Folders, storage volumes and quota scopes through GraphQL: each role, two tenants. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { HOST, type TestFolders, testFolders } from '../../testing/folders.ts';

let t: TestFolders;
let personal: string;
let team: string;
beforeAll(async () => {
  t = await testFolders();
  personal = await t.make('user', 'personal', { usage_mode: 'data' });
  team = await t.make('admin', 'team', { group: t.projects.default, permission: 'ro' });
  await t.make('otherUser', 'foreign');
});
afterAll(() => t.close());

type Who = keyof TestFolders['people'];
const dashed = (id: string) => id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
const nodeId = (id: string) => btoa(`VirtualFolderNode:${dashed(id)}`);

async function ask(who: Who, query: string, variables?: unknown) {
  const { data, errors } = await t.ask(who, query, variables);
  expect(errors).toBeNull();
  return data;
}

describe('the older lists', () => {
  const page = v.object({
    list: v.object({ items: v.array(v.object({ name: v.string() })), total_count: v.number() }),
  });
  const names = async (who: Who, field: string, args = '') => {
    const query = `{ list: ${field}(limit: 10, offset: 0 ${args}) { items { name } total_count } }`;
    const { list } = v.parse(page, await ask(who, query));
    expect(list.total_count).toBe(list.items.length);
    return list.items.map(({ name }) => name).sort();
  };

  test('hold what each role may see', async () => {
    expect(await names('superadmin', 'vfolder_list')).toEqual(['foreign', 'personal', 'team']);
    expect(await names('admin', 'vfolder_list')).toEqual(['personal', 'team']);
    expect(await names('user', 'vfolder_list')).toEqual(['personal']);
    expect(await names('otherAdmin', 'vfolder_list')).toEqual(['foreign']);
    expect(await names('monitor', 'vfolder_list')).toEqual([]);
    expect(await names('user', 'vfolder_own_list')).toEqual(['personal']);
    expect(await names('user', 'vfolder_project_list')).toEqual(['team']);
    expect(await names('otherUser', 'vfolder_project_list')).toEqual([]);
    expect(await names('user', 'vfolder_invited_list')).toEqual([]);
    const group = `group_id: "${t.projects.default}"`;
    expect(await names('superadmin', 'vfolder_list', group)).toEqual(['team']);
    const foreign =
      '{ vfolder_list(limit: 1, offset: 0, domain_name: "elsewhere") { total_count } }';
    expect((await t.ask('user', foreign)).errors).toHaveLength(1);
    expect((await t.ask('admin', foreign)).errors).toHaveLength(1);
  });

  test('are filtered and ordered', async () => {
    const usage = 'filter: "usage_mode == \\"data\\" & status == \\"ready\\""';
    expect(await names('superadmin', 'vfolder_list', usage)).toEqual(['personal']);
    const query = '{ vfolder_list(limit: 2, offset: 1, order: "-name") { items { name } } }';
    expect(await ask('superadmin', query)).toEqual({
      vfolder_list: { items: [{ name: 'personal' }, { name: 'foreign' }] },
    });
    const wrong = '{ vfolder_list(limit: 1, offset: 0, filter: "size > 1") { total_count } }';
    expect((await t.ask('user', wrong)).errors?.[0]?.message).toContain('size');
  });
});

test('one folder, with what older clients read', async () => {
  const query = `{ vfolder(id: "${dashed(personal)}") { id host name user user_email usage_mode
    permission ownership_type max_size num_files cur_size cloneable status group unmanaged_path } }`;
  expect(await ask('user', query)).toEqual({
    vfolder: {
      id: dashed(personal),
      host: HOST,
      name: 'personal',
      user: t.people.user.userId,
      user_email: t.people.user.email,
      usage_mode: 'data',
      permission: 'rw',
      ownership_type: 'user',
      max_size: null,
      num_files: 0,
      cur_size: 0,
      cloneable: false,
      status: 'ready',
      group: null,
      unmanaged_path: null,
    },
  });
  expect(await ask('otherUser', query)).toEqual({ vfolder: null });
});

describe('nodes', () => {
  const nodes = async (who: Who, args = '') => {
    const schema = v.object({
      vfolder_nodes: v.object({
        edges: v.array(
          v.object({ node: v.object({ name: v.string(), permissions: v.array(v.string()) }) }),
        ),
        count: v.number(),
      }),
    });
    const query = `{ vfolder_nodes(first: 10 ${args}) { edges { node { name permissions } } count } }`;
    const { vfolder_nodes: found } = v.parse(schema, await ask(who, query));
    return found.edges.map(({ node }) => node).sort((a, b) => a.name.localeCompare(b.name));
  };
  const names = async (who: Who, args = '') => (await nodes(who, args)).map(({ name }) => name);

  test('of a project are its own and what its member uses personally', async () => {
    const scope = `scope_id: "project:${t.projects.default}"`;
    expect(await names('user', scope)).toEqual(['personal', 'team']);
    expect(await names('otherUser', scope)).toEqual(['foreign']);
    expect(await names('monitor', scope)).toEqual([]);
    expect(await names('superadmin', scope)).toEqual(['team']);
    expect(await names('superadmin')).toEqual(['foreign', 'personal', 'team']);
    expect(await names('admin')).toEqual(['personal', 'team']);
    expect(await names('superadmin', 'scope_id: "domain:elsewhere"')).toEqual(['foreign']);
    const user = `scope_id: "user:${t.people.user.userId}"`;
    expect(await names('superadmin', user)).toEqual(['personal']);
    expect(await names('otherUser', user)).toEqual([]);
  });

  test('tell what the caller may do, and are found by it', async () => {
    const [mine, ours] = await nodes('user');
    expect(mine?.permissions).toContain('delete_vfolder');
    expect(ours?.permissions).toEqual(['clone', 'read_attribute', 'read_content', 'mount_ro']);
    for (const who of ['superadmin', 'admin', 'user', 'monitor', 'otherAdmin'] as const) {
      const all = await nodes(who);
      for (const power of ['read_attribute', 'mount_rw', 'delete_vfolder', 'read_content']) {
        const expected = all.filter(({ permissions }) => permissions.includes(power));
        expect([who, power, await names(who, `permission: ${JSON.stringify(power)}`)]).toEqual([
          who,
          power,
          expected.map(({ name }) => name),
        ]);
      }
    }
  });

  test("in the trash are in the WebUI's list of the trash alone", async () => {
    const { sql } = t.ctx;
    // As its pages of folders ask.
    const active = `status != "DELETE_PENDING" & status != "DELETE_ONGOING" &
      status != "DELETE_ERROR" & status != "DELETE_COMPLETE"`;
    const deleted = 'status in ["DELETE_PENDING", "DELETE_ONGOING", "DELETE_ERROR"]';
    const filtered = (filter: string) =>
      names('user', `filter: ${JSON.stringify(filter.replace(/\s+/g, ' '))}`);
    expect(await filtered(active)).toEqual(['personal', 'team']);
    expect(await filtered(deleted)).toEqual([]);
    await sql`UPDATE vfolders SET status = 'delete-pending' WHERE name = 'personal'`;
    expect(await filtered(active)).toEqual(['team']);
    expect(await filtered(deleted)).toEqual(['personal']);
    expect(await filtered('status == "delete-pending"')).toEqual(['personal']);
    await sql`UPDATE vfolders SET status = 'ready' WHERE name = 'personal'`;
  });

  test('are found by their ids', async () => {
    const query = `{ node(id: "${nodeId(personal)}") { ... on VirtualFolderNode { name row_id } }
      vfolder_node(id: "${nodeId(personal)}") { id name } }`;
    expect(await ask('user', query)).toEqual({
      node: { name: 'personal', row_id: dashed(personal) },
      vfolder_node: { id: nodeId(personal), name: 'personal' },
    });
    const outcomes = await t.outcomes(`{ vfolder_node(id: "${nodeId(personal)}") { id } }`);
    expect(outcomes).toEqual({
      superadmin: 'data',
      admin: 'data',
      user: 'data',
      monitor: 'error',
      otherAdmin: 'error',
      otherUser: 'error',
    });
  });
});

describe('the newer types', () => {
  const create = `mutation ($input: CreateVFolderV2Input!) {
    createVfolderV2(input: $input) { vfolder { id status host
      metadata { name usageMode quotaScopeId cloneable createdAt lastUsed }
      accessControl { permission ownershipType }
      ownership { userId projectId creatorEmail creatorId } unmanagedPath } } }`;

  test('make, list, trash, restore and purge folders', async () => {
    const input = { name: 'second', host: HOST, usageMode: 'model', permission: 'ro' };
    const made = await ask('user', create, { input: { ...input, cloneable: true } });
    const { userId, email } = t.people.user;
    expect(made).toMatchObject({
      createVfolderV2: {
        vfolder: {
          status: 'READY',
          host: HOST,
          metadata: { name: 'second', usageMode: 'MODEL', cloneable: true, lastUsed: null },
          accessControl: { permission: 'READ_ONLY', ownershipType: 'USER' },
          ownership: { userId, projectId: null, creatorEmail: email, creatorId: userId },
          unmanagedPath: null,
        },
      },
    });
    const [row] = await t.ctx.sql`SELECT id FROM vfolders WHERE name = 'second'`;
    const id = String(row?.id);
    const list = `{ myVfolders(orderBy: [{ field: NAME, direction: ASC }], limit: 5,
        filter: { usageMode: { equals: MODEL } }) { count edges { node { metadata { name } } } } }`;
    expect(await ask('user', list)).toEqual({
      myVfolders: { count: 1, edges: [{ node: { metadata: { name: 'second' } } }] },
    });
    expect(await ask('otherUser', list)).toMatchObject({ myVfolders: { count: 0 } });
    const run = (who: Who, field: string) =>
      t.ask(who, `mutation { ${field}(vfolderId: "${id}") { id } }`);
    for (const who of ['otherUser', 'otherAdmin', 'monitor'] as const) {
      expect((await run(who, 'deleteVfolderV2')).errors).toHaveLength(1);
    }
    expect((await run('user', 'deleteVfolderV2')).data).toEqual({ deleteVfolderV2: { id } });
    expect(await ask('user', `{ vfolderV2(vfolderId: "${id}") { status } }`)).toEqual({
      vfolderV2: { status: 'DELETE_PENDING' },
    });
    expect((await run('otherAdmin', 'restoreVFolder')).errors).toHaveLength(1);
    expect((await run('user', 'restoreVFolder')).data).toEqual({ restoreVFolder: { id } });
    const bulk = (field: string, selection: string) =>
      `mutation { ${field}(input: { ids: ["${id}"] }) { ${selection} } }`;
    const early = await ask(
      'user',
      bulk('bulkPurgeVfoldersV2', 'purgedCount failed { vfolderId }'),
    );
    expect(early).toEqual({
      bulkPurgeVfoldersV2: { purgedCount: 0, failed: [{ vfolderId: id }] },
    });
    expect(await ask('user', bulk('bulkDeleteVfoldersV2', 'deletedCount'))).toEqual({
      bulkDeleteVfoldersV2: { deletedCount: 1 },
    });
    const foreign = await ask('otherUser', bulk('bulkPurgeVfoldersV2', 'purgedCount'));
    expect(foreign).toEqual({ bulkPurgeVfoldersV2: { purgedCount: 0 } });
    expect(await ask('user', bulk('bulkPurgeVfoldersV2', 'purgedCount'))).toEqual({
      bulkPurgeVfoldersV2: { purgedCount: 1 },
    });
    await t.reached(id, 'delete-complete');
  });

  test('name owner, creator and project, as far as one may see them', async () => {
    const query = `{ vfolderV2(vfolderId: "${dashed(team)}") { ownership {
      user { basicInfo { email } } creator { basicInfo { email } } project { basicInfo { name } } } } }`;
    const project = { basicInfo: { name: 'work' } };
    const creator = { basicInfo: { email: t.people.admin.email } };
    expect(await ask('admin', query)).toEqual({
      vfolderV2: { ownership: { user: null, creator, project } },
    });
    // Users see themselves only.
    expect(await ask('user', query)).toEqual({
      vfolderV2: { ownership: { user: null, creator: null, project } },
    });
  });

  test('keep projects and tenants apart', async () => {
    const id = t.projects.default;
    const list = `{ projectVfolders(projectId: "${id}") { count edges { node { ownership { projectId } } } } }`;
    const one = {
      projectVfolders: { count: 1, edges: [{ node: { ownership: { projectId: id } } }] },
    };
    expect(await ask('user', list)).toEqual(one);
    expect(await ask('admin', list)).toEqual(one);
    expect(await ask('otherAdmin', list)).toMatchObject({ projectVfolders: { count: 0 } });
    expect(await t.outcomes('{ adminVfoldersV2 { count } }')).toEqual({
      superadmin: 'data',
      admin: 'error',
      user: 'error',
      monitor: 'error',
      otherAdmin: 'error',
      otherUser: 'error',
    });
    const inProject = (name: string) => `mutation { createVFolderInProject(projectId: "${id}",
      input: { name: "${name}" }) { vfolder { id } } }`;
    expect((await t.ask('user', inProject('no'))).errors).toHaveLength(1);
    expect((await t.ask('otherAdmin', inProject('no'))).errors).toHaveLength(1);
    expect((await t.ask('admin', inProject('yes'))).errors).toBeNull();
  });
});

describe('storage', () => {
  test('volumes are shown to superadmins; others get an error beside null', async () => {
    const query = `{ storage_volume_list(limit: 10, offset: 0) { total_count items {
      id backend fsprefix path capabilities usage hardware_metadata performance_metric proxy name } } }`;
    expect(await ask('superadmin', query)).toMatchObject({
      storage_volume_list: {
        total_count: 1,
        items: [{ id: HOST, backend: 'vfs', capabilities: ['vfolder'], proxy: 'local' }],
      },
    });
    const refused = await t.ask('user', query);
    expect(refused.data).toEqual({ storage_volume_list: null });
    expect(refused.errors).toHaveLength(1);
    const one = `{ storage_volume(id: "${HOST}") { name } }`;
    expect(await ask('superadmin', one)).toEqual({ storage_volume: { name: 'volume1' } });
    expect((await t.ask('admin', one)).errors).toHaveLength(1);
  });

  test('quota scopes are seen by their owners, and not limited on a volume without quotas', async () => {
    const id = `user:${t.people.user.userId}`;
    const query = `{ quota_scope(storage_host_name: "${HOST}", quota_scope_id: "${id}") {
      id quota_scope_id details { usage_bytes hard_limit_bytes } } }`;
    expect(await ask('user', query)).toMatchObject({
      quota_scope: { id: `QuotaScope:${HOST}/${id}`, quota_scope_id: id },
    });
    expect(await t.outcomes(query)).toEqual({
      superadmin: 'data',
      admin: 'data',
      user: 'data',
      monitor: 'error',
      otherAdmin: 'error',
      otherUser: 'error',
    });
    const set = `mutation { set_quota_scope(storage_host_name: "${HOST}", quota_scope_id: "${id}",
      props: { hard_limit_bytes: 1000000 }) { quota_scope { details { hard_limit_bytes } } } }`;
    expect((await t.ask('admin', set)).errors?.[0]?.message).toContain('superadmin');
    // The proxy says why it cannot: nothing pretends to have worked.
    expect((await t.ask('superadmin', set)).errors).toHaveLength(1);
  });

  test('host permissions are listed', async () => {
    const query = '{ vfolder_host_permissions { vfolder_host_permission_list } }';
    expect(await ask('user', query)).toMatchObject({
      vfolder_host_permissions: {
        vfolder_host_permission_list: expect.arrayContaining(['create-vfolder', 'invite-others']),
      },
    });
  });
});
