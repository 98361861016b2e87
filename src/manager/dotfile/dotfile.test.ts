/** Dotfiles and bootstrap scripts over HTTP: every role, other tenants, limits. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import {
  signingClient,
  type TestAccount,
  type TestClient,
  type TestServer,
  testManagerServer,
} from '../../testing/manager.ts';
import { packDotfiles, unpackDotfiles } from './format.ts';
import { dotfileRoutes } from './rest.ts';

let server: TestServer;
let as: Record<'superadmin' | 'admin' | 'user' | 'outsider', TestClient>;
const own = randomUUID();
const foreign = randomUUID();

async function insertTenant(): Promise<TestAccount> {
  const { sql } = server.db;
  const nothing = new Uint8Array([0x90]);
  await sql`INSERT INTO domains (name, is_active, total_resource_slots, allowed_vfolder_hosts,
      allowed_docker_registries, dotfiles) VALUES ('other', true, '{}', '{}', '{}', ${nothing})`;
  await sql`INSERT INTO project_resource_policies (name, max_vfolder_count, max_quota_scope_size,
      max_network_count) VALUES ('default', 0, -1, -1)`;
  for (const [id, domain] of [
    [own, 'default'],
    [foreign, 'other'],
  ] as const) {
    await sql`INSERT INTO groups (id, name, domain_name, is_active, total_resource_slots,
        allowed_vfolder_hosts, dotfiles, resource_policy, type)
      VALUES (${id}, 'team', ${domain}, true, '{}', '{}', ${nothing}, 'default', 'general')`;
  }
  const account = {
    accessKey: 'AKIAOUTSIDER',
    secretKey: 'outsidersecret',
    email: 'outsider@test.example',
    userId: randomUUID(),
  };
  await sql`INSERT INTO users (uuid, username, email, status, domain_name, role, resource_policy,
      sudo_session_enabled) VALUES (${account.userId}, 'outsider', ${account.email}, 'active',
      'other', 'user', 'default', false)`;
  await sql`INSERT INTO keypairs (user_id, access_key, secret_key, is_active, is_admin, rate_limit,
      "user", resource_policy, dotfiles, bootstrap_script)
    VALUES (${account.email}, ${account.accessKey}, ${account.secretKey}, true, false, 10000,
      ${account.userId}, 'default', ${nothing}, '')`;
  await sql`INSERT INTO association_groups_users (user_id, group_id)
    VALUES (${server.accounts.user.userId}, ${own}), (${account.userId}, ${foreign})`;
  return account;
}

beforeAll(async () => {
  server = await testManagerServer({ routes: async (ctx) => dotfileRoutes(ctx) });
  const outsider = await insertTenant();
  const { superadmin, admin, user } = server.accounts;
  const client = (account: TestAccount) => signingClient(server.url, account);
  as = {
    superadmin: client(superadmin),
    admin: client(admin),
    user: client(user),
    outsider: client(outsider),
  };
});
afterAll(() => server.close());

const file = (path: string, data = 'x', permission = '644') => ({ path, data, permission });
const URL_USER = '/user-config/dotfiles';

async function reply(response: Promise<Response>): Promise<[number, unknown]> {
  const answered = await response;
  return [answered.status, await answered.json()];
}
const statusOf = async (response: Promise<Response>) => (await response).status;

test('packing and unpacking give the same files', () => {
  const dotfile = fc.record({ path: fc.string(), perm: fc.string(), data: fc.string() });
  fc.assert(
    fc.property(fc.array(dotfile), (files) => {
      expect(unpackDotfiles(packDotfiles(files))).toEqual(files);
    }),
  );
});

describe('of a keypair', () => {
  test('are made, listed, read, changed and removed', async () => {
    const { user } = as;
    expect(await reply(user('GET', URL_USER))).toEqual([200, []]);
    expect(await reply(user('POST', URL_USER, file('.vimrc', 'set nu')))).toEqual([200, {}]);
    const listed = [{ path: '.vimrc', permission: '644', data: 'set nu' }];
    expect(await reply(user('GET', URL_USER))).toEqual([200, listed]);
    expect(await statusOf(user('POST', URL_USER, file('.vimrc')))).toBe(400);
    expect(await reply(user('PATCH', URL_USER, file('.vimrc', 'é\n', '755')))).toEqual([200, {}]);
    const read = { path: '.vimrc', perm: '755', data: 'é\n' };
    expect(await reply(user('GET', `${URL_USER}?path=.vimrc`))).toEqual([200, read]);
    expect(await reply(as.superadmin('GET', URL_USER))).toEqual([200, []]);
    expect(await reply(user('DELETE', `${URL_USER}?path=.vimrc`))).toEqual([
      200,
      { success: true },
    ]);
    expect(await statusOf(user('DELETE', `${URL_USER}?path=.vimrc`))).toBe(404);
    expect(await statusOf(user('GET', `${URL_USER}?path=.vimrc`))).toBe(404);
    expect(await statusOf(user('PATCH', URL_USER, file('.vimrc')))).toBe(404);
  });

  test('each change is in the audit log, without contents', async () => {
    await as.user('POST', URL_USER, file('.secret', 'hunter2'));
    await as.user('DELETE', `${URL_USER}?path=.secret`);
    const rows = await server.db.sql`
      SELECT before::text || after::text AS text FROM audit_logs
       WHERE entity_type = 'keypair' AND entity_id = ${server.accounts.user.accessKey}`;
    const text = JSON.stringify(rows);
    expect(text).toContain('.secret');
    expect(text).not.toContain('hunter2');
  });

  test('administrators act for accounts of their domain; nobody else does', async () => {
    const forUser = `owner_access_key=${server.accounts.user.accessKey}`;
    const named = { owner_access_key: server.accounts.user.accessKey };
    expect(await statusOf(as.admin('POST', URL_USER, { ...file('.a'), ...named }))).toBe(200);
    expect(await reply(as.user('GET', `${URL_USER}?path=.a`))).toMatchObject([200, { data: 'x' }]);
    expect(await statusOf(as.outsider('GET', `${URL_USER}?${forUser}`))).toBe(403);
    expect(await statusOf(as.outsider('POST', URL_USER, { ...file('.b'), ...named }))).toBe(403);
    expect(await statusOf(as.outsider('DELETE', `${URL_USER}?path=.a&${forUser}`))).toBe(403);
    expect(await statusOf(as.admin('GET', `${URL_USER}?owner_access_key=AKIAOUTSIDER`))).toBe(403);
    const byRoot = as.superadmin('DELETE', `${URL_USER}?path=.a&${forUser}`);
    expect(await statusOf(byRoot)).toBe(200);
  });

  test('reserved paths, wrong permissions and missing fields are refused', async () => {
    for (const path of ['.ssh', './.ssh/', '.ssh/authorized_keys', '.config', '', 'a\0b']) {
      expect([path, await statusOf(as.user('POST', URL_USER, file(path)))]).toEqual([path, 400]);
    }
    for (const permission of ['888', '0644', 'rwx', '']) {
      expect(await statusOf(as.user('POST', URL_USER, file('.p', 'x', permission)))).toBe(400);
    }
    expect(await statusOf(as.user('POST', URL_USER, { path: '.p' }))).toBe(400);
    expect(await statusOf(as.user('POST', URL_USER, file('.p', 'x'.repeat(65537))))).toBe(400);
    expect(await reply(as.user('GET', URL_USER))).toEqual([200, []]);
  });

  test('at most 64 KiB and 100 files are kept, also when they come at once', async () => {
    const { outsider } = as;
    const big = await reply(outsider('POST', URL_USER, file('.big', 'x'.repeat(65530))));
    expect(big).toMatchObject([400, { title: 'Dotfile creation has failed.' }]);
    const made = await Promise.all(
      Array.from({ length: 104 }, (_, index) =>
        statusOf(outsider('POST', URL_USER, file(`.f${index}`))),
      ),
    );
    expect(made.filter((status) => status === 200)).toHaveLength(100);
    expect(made.filter((status) => status === 400)).toHaveLength(4);
    const [, files] = await reply(outsider('GET', URL_USER));
    expect(files).toHaveLength(100);
  });
});

describe('of projects and domains', () => {
  const group = '/group-config/dotfiles';
  const domain = '/domain-config/dotfiles';

  test('administrators of the domain write, members read', async () => {
    const { admin, user, superadmin, outsider } = as;
    expect(await statusOf(user('POST', group, { ...file('.g'), group: own }))).toBe(403);
    expect(await statusOf(admin('POST', group, { ...file('.g'), groupId: own }))).toBe(200);
    expect(await statusOf(admin('PATCH', group, { ...file('.g', 'y'), group: 'team' }))).toBe(200);
    const read = { path: '.g', perm: '644', data: 'y' };
    expect(await reply(user('GET', `${group}?group=team&path=.g`))).toEqual([200, read]);
    expect(await reply(superadmin('GET', `${group}?group_id=${own}`))).toMatchObject([200, [{}]]);
    expect(await statusOf(outsider('GET', `${group}?group=${own}`))).toBe(404);
    expect(await statusOf(outsider('GET', `${group}?group=team&domain=default`))).toBe(404);
    expect(await reply(outsider('GET', `${group}?group=team`))).toEqual([200, []]);
    expect(await statusOf(admin('POST', group, { ...file('.g'), group: foreign }))).toBe(404);
    const elsewhere = { ...file('.g'), group: 'team', domain: 'other' };
    expect(await statusOf(admin('POST', group, elsewhere))).toBe(404);
    expect(await statusOf(superadmin('POST', group, elsewhere))).toBe(200);
    expect(await statusOf(admin('DELETE', `${group}?group=${foreign}&path=.g`))).toBe(404);
    expect(await statusOf(admin('DELETE', `${group}?group=${own}&path=.g`))).toBe(200);
  });

  test('a domain is changed and read within it only', async () => {
    const { admin, user, superadmin, outsider } = as;
    expect(await statusOf(user('POST', domain, { ...file('.d'), domain: 'default' }))).toBe(403);
    expect(await statusOf(admin('POST', domain, { ...file('.d'), domain: 'default' }))).toBe(200);
    expect(await statusOf(admin('POST', domain, { ...file('.d'), domain: 'other' }))).toBe(404);
    expect(await statusOf(outsider('GET', `${domain}?domain=default`))).toBe(404);
    expect(await reply(user('GET', `${domain}?domain=default&path=.d`))).toMatchObject([200, {}]);
    expect(await statusOf(superadmin('POST', domain, { ...file('.d'), domain: 'other' }))).toBe(
      200,
    );
    expect(await statusOf(admin('DELETE', `${domain}?domain=default&path=.d`))).toBe(200);
  });
});

test('the bootstrap script belongs to the keypair that signs', async () => {
  const url = '/user-config/bootstrap-script';
  expect(await reply(as.user('GET', url))).toEqual([200, '']);
  expect(await reply(as.user('POST', url, { script: 'echo hello\n' }))).toEqual([200, {}]);
  expect(await reply(as.user('GET', url))).toEqual([200, 'echo hello\n']);
  expect(await reply(as.outsider('GET', url))).toEqual([200, '']);
  expect(await statusOf(as.user('POST', url, { script: 'x'.repeat(16385) }))).toBe(400);
  expect(await reply(as.user('GET', url))).toEqual([200, 'echo hello\n']);
});
