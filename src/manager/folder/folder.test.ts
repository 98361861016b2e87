/** Folders over HTTP on a real storage proxy: making, describing and changing them; who sees what. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { HOST, type TestFolders, testFolders } from '../../testing/folders.ts';

let t: TestFolders;
beforeAll(async () => {
  t = await testFolders();
});
afterAll(() => t.close());

type Who = Parameters<TestFolders['call']>[0];
const names = async (who: Who, query = '') => {
  const [, list] = await t.call(who, 'GET', `/folders${query}`);
  return Array.isArray(list) ? list.map(({ name }) => name).sort() : list;
};

describe('a folder', () => {
  test('is made on storage, listed and described', async () => {
    const [status, made] = await t.call('user', 'POST', '/folders', { name: 'data', host: HOST });
    expect(status).toBe(201);
    const { userId, email } = t.people.user;
    expect(made).toMatchObject({
      name: 'data',
      host: HOST,
      quota_scope_id: `user:${userId}`,
      usage_mode: 'general',
      permission: 'rw',
      creator: email,
      ownership_type: 'user',
      user: userId,
      group: null,
      cloneable: false,
      status: 'ready',
      is_owner: true,
      type: 'user',
    });
    const [, list] = await t.call('user', 'GET', '/folders');
    expect(list).toEqual([made]);
    for (const key of ['data', (made as { id: string }).id]) {
      const [, info] = await t.call('user', 'GET', `/folders/${key}`);
      expect(info).toMatchObject({ name: 'data', numFiles: 0, used_bytes: 0, is_owner: true });
    }
    const [, byQuery] = await t.call('user', 'GET', '/folders/_/id?name=data');
    expect(byQuery).toMatchObject({ name: 'data', id: expect.stringContaining('-') });
  });

  test('takes the default host, or says that there is none', async () => {
    const id = await t.make('user', 'on-default');
    const [, info] = await t.call('user', 'GET', `/folders/${id}`);
    expect(info).toMatchObject({ host: HOST });
    await t.ctx.config.delete('volumes/default_host');
    const [status, refused] = await t.call('user', 'POST', '/folders', { name: 'nowhere' });
    expect([status, JSON.stringify(refused)]).toEqual([400, expect.stringContaining('host')]);
    await t.announceStorage();
  });

  test('is renamed and its options change, by its owner only', async () => {
    const id = await t.make('user', 'before');
    const url = `/folders/${id}`;
    expect(await t.call('user', 'POST', `${url}/rename`, { new_name: 'after' })).toEqual([
      200,
      { msg: '' },
    ]);
    const options = { cloneable: true, permission: 'ro' };
    expect((await t.call('user', 'POST', `${url}/update-options`, options))[0]).toBe(200);
    const [, info] = await t.call('user', 'GET', '/folders/after');
    expect(info).toMatchObject(options);
    expect((await t.call('user', 'POST', `${url}/rename`, { new_name: 'data' }))[0]).toBe(400);
    for (const who of ['otherUser', 'otherAdmin', 'monitor'] as const) {
      expect([who, (await t.call(who, 'POST', `${url}/rename`, { new_name: 'x' }))[0]]).toEqual([
        who,
        404,
      ]);
    }
    const changes = await t.ctx.sql`
      SELECT operation FROM audit_logs WHERE entity_type = 'vfolder' ORDER BY created_at`;
    expect(changes.map(({ operation }) => operation)).toContain('update');
  });

  test('has a fitting name that is free', async () => {
    const status = async (name: string) =>
      (await t.call('user', 'POST', '/folders', { name, host: HOST }))[0];
    for (const name of [
      '',
      ' ',
      '.ssh',
      '.bashrc',
      '.my_profile',
      'a/b',
      '..',
      'x'.repeat(65),
      'a\0',
    ]) {
      expect([name, await status(name)]).toEqual([name, 400]);
    }
    expect(await status('data')).toBe(400);
    expect(await status('데이터')).toBe(201);
    const many = await Promise.all(Array.from({ length: 5 }, () => status('raced')));
    expect(many.sort()).toEqual([201, 400, 400, 400, 400]);
  });

  test('counts towards the policy, also when many are made at once', async () => {
    await t.ctx.sql`INSERT INTO user_resource_policies (name, max_vfolder_count,
        max_quota_scope_size, max_session_count_per_model_session, max_customized_image_count)
      VALUES ('two', 2, -1, 1, 1)`;
    await t.ctx.sql`UPDATE users SET resource_policy = 'two'
      WHERE uuid = ${t.people.otherUser.userId}`;
    const made = await Promise.all(
      Array.from(
        { length: 4 },
        async (_, index) =>
          (await t.call('otherUser', 'POST', '/folders', { name: `n${index}` }))[0],
      ),
    );
    expect(made.sort()).toEqual([201, 201, 400, 400]);
    const [, refused] = await t.call('otherUser', 'POST', '/folders', { name: 'more' });
    expect(JSON.stringify(refused)).toContain('allows 2');
  });
});

describe('who sees what', () => {
  test('users their own, administrators of the domain by id, other tenants nothing', async () => {
    const id = await t.make('user', 'private');
    const see = async (who: Who) => (await t.call(who, 'GET', `/folders/${id}`))[0];
    expect(await see('user')).toBe(200);
    expect(await see('admin')).toBe(200);
    expect(await see('superadmin')).toBe(200);
    expect(await see('monitor')).toBe(404);
    expect(await see('otherUser')).toBe(404);
    expect(await see('otherAdmin')).toBe(404);
    expect(await names('admin')).not.toContain('private');
    const owner = `?owner_user_email=${t.people.user.email}`;
    expect(await names('superadmin', owner)).toContain('private');
    expect((await t.call('admin', 'GET', `/folders${owner}`))[0]).toBe(400);
    expect((await t.call('superadmin', 'GET', '/folders?owner_user_email=nobody@x'))[0]).toBe(400);
    expect((await t.call('admin', 'GET', `/folders/${id}/files`))[0]).toBe(403);
  });

  test('members of a project its folders', async () => {
    const group = t.projects.default;
    expect((await t.call('user', 'POST', '/folders', { name: 'team', group }))[0]).toBe(403);
    expect((await t.call('otherAdmin', 'POST', '/folders', { name: 'team', group }))[0]).toBe(404);
    const id = await t.make('admin', 'team', { group, permission: 'ro' });
    const [, info] = await t.call('user', 'GET', `/folders/${id}`);
    expect(info).toMatchObject({ type: 'group', group, permission: 'ro', is_owner: false });
    expect(await names('user')).toContain('team');
    expect(await names('admin')).toContain('team');
    expect(await names('otherUser')).not.toContain('team');
    expect(await names('monitor')).not.toContain('team');
    expect((await t.call('user', 'POST', `/folders/${id}/mkdir`, { path: 'x' }))[0]).toBe(403);
    expect((await t.call('admin', 'POST', `/folders/${id}/mkdir`, { path: 'x' }))[0]).toBe(200);
    const dotted = await t.call('admin', 'POST', '/folders', { name: '.config2', group });
    expect(dotted[0]).toBe(400);
  });

  test('nobody uses a host that is not allowed', async () => {
    await t.ctx.sql`UPDATE domains SET allowed_vfolder_hosts = '{}' WHERE name = 'elsewhere'`;
    const [status, body] = await t.call('otherAdmin', 'POST', '/folders', { name: 'x' });
    expect(status).toBe(400);
    expect(body).toMatchObject({
      type: 'https://api.backend.ai/probs/storage-permission-not-allowed',
    });
    const [, hosts] = await t.call('otherAdmin', 'GET', '/folders/_/hosts');
    expect(hosts).toEqual({ default: null, allowed: [], volume_info: {} });
  });
});

describe('hosts', () => {
  test('are told with what is shown of them', async () => {
    const [status, hosts] = await t.call('user', 'GET', '/folders/_/hosts');
    expect([status, hosts]).toMatchObject([
      200,
      {
        default: HOST,
        allowed: [HOST],
        volume_info: {
          [HOST]: {
            backend: 'vfs',
            capabilities: ['vfolder'],
            usage: { percentage: expect.any(Number), used: expect.any(Number) },
            sftp_scaling_groups: [],
          },
        },
      },
    ]);
    const inProject = await t.call(
      'user',
      'GET',
      `/folders/_/hosts?group_id=${t.projects.default}`,
    );
    expect(inProject[1]).toMatchObject({ allowed: [HOST] });
    const foreign = `/folders/_/hosts?group_id=${t.projects.elsewhere}`;
    for (const who of ['user', 'admin', 'monitor'] as const) {
      expect((await t.call(who, 'GET', foreign))[0]).toBe(404);
    }
    expect((await t.call('superadmin', 'GET', foreign))[0]).toBe(200);
    const all = { default: HOST, allowed: [HOST] };
    expect(await t.call('superadmin', 'GET', '/folders/_/all-hosts')).toEqual([200, all]);
    expect(await t.call('user', 'GET', '/folders/_/allowed_types')).toEqual([
      200,
      ['user', 'group'],
    ]);
  });

  test('whose proxy is away are left out, and folders there fail with a reason', async () => {
    await t.ctx.config.put('volumes/proxies/away/client_api', 'http://127.0.0.1:9');
    await t.ctx.config.put('volumes/proxies/away/manager_api', 'http://127.0.0.1:9');
    expect((await t.call('user', 'GET', '/folders/_/hosts'))[1]).toMatchObject({ allowed: [HOST] });
    const hosts = JSON.stringify({ 'away:v': ['create-vfolder'], [HOST]: ['create-vfolder'] });
    await t.ctx.sql`UPDATE groups SET allowed_vfolder_hosts = ${hosts}::text::jsonb`;
    const [status, body] = await t.call('user', 'POST', '/folders', { name: 'z', host: 'away:v' });
    expect([status, body]).toMatchObject([
      503,
      { type: 'https://api.backend.ai/probs/storage-proxy-connection-error' },
    ]);
    expect(await names('user')).not.toContain('z');
    await t.ctx.sql`UPDATE groups SET allowed_vfolder_hosts = '{}'`;
  });
});

test('superadmins give a folder to another user', async () => {
  const id = await t.make('user', 'handed-over');
  const body = {
    // As `vfolder info` of upstream's command line shows it.
    vfolder: id.replaceAll('-', ''),
    user_email: t.people.admin.email,
  };
  expect((await t.call('admin', 'POST', '/folders/_/change-ownership', body))[0]).toBe(403);
  expect((await t.call('superadmin', 'POST', '/folders/_/change-ownership', body))[0]).toBe(200);
  expect(await names('admin')).toContain('handed-over');
  expect(await names('user')).not.toContain('handed-over');
  expect((await t.call('admin', 'POST', `/folders/${id}/mkdir`, { path: 'works' }))[0]).toBe(200);
});

test('paths of the hosts are for administrators', async () => {
  const wanted = { name: 'outside', host: 'local:noop', unmanagedPath: '/srv/data' };
  expect((await t.call('user', 'POST', '/folders', wanted))[0]).toBe(403);
  const [status, made] = await t.call('admin', 'POST', '/folders', wanted);
  expect([status, made]).toMatchObject([201, { name: 'outside', host: 'local:noop' }]);
  expect((await t.call('admin', 'GET', '/folders/outside/files'))[0]).toBe(400);
});
