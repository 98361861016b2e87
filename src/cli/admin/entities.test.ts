/** `admin user|keypair|domain|group|keypair-resource-policy|scaling-group|agent|image` on a real manager. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestServer } from '../../testing/session-server.ts';
import { runCommand } from '../testing/program.ts';

setDefaultTimeout(60_000);

let server: Awaited<ReturnType<typeof startTestServer>>;
const folder = mkdtempSync(join(tmpdir(), 'cli-admin-'));

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

type Role = 'superadmin' | 'admin' | 'user';

function runAs(role: Role, argv: readonly string[], input?: string) {
  const env = { ...server.environment(server.accounts[role]), XDG_STATE_HOME: folder };
  return runCommand(argv, { env, cwd: folder, input });
}
const admin = (...argv: string[]) => runAs('superadmin', ['admin', ...argv]);

/** What a command prints as JSON. */
async function json(...argv: string[]) {
  const { exitCode, out, err } = await runAs('superadmin', ['--output', 'json', 'admin', ...argv]);
  return { exitCode, err, document: JSON.parse(out) };
}

/** The rows of a table by their first cell. */
function rows(out: string): Map<string, string> {
  const [, , ...lines] = out.trimEnd().split('\n');
  return new Map(
    lines.map((line) => {
      const [key = '', ...rest] = line.split(/ {2,}/);
      return [key, rest.join('  ')];
    }),
  );
}

describe('user', () => {
  const EMAIL = 'new@test.example';

  test('add: the answer as a table', async () => {
    const { exitCode, out, err } = await admin(
      ...['user', 'add', 'default', EMAIL, 'long enough 1!', '-u', 'new', '-n', 'New Comer'],
      ...['--desc', 'a guest', '--cuid', '1234', '--cgids', '10,20', '--allowed-ip', '127.0.0.1'],
    );
    expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
    const table = rows(out);
    expect(table.get('ok')).toBe('True');
    expect(table.get('domain_name')).toBe('default');
    expect(table.get('email')).toBe(EMAIL);
    expect(table.get('groups')).toBe('default');
  });

  test('info, as a table and as JSON', async () => {
    const { out } = await admin('user', 'info', '-e', EMAIL);
    expect(rows(out).get('Full Name')).toBe('New Comer');
    expect(rows(out).get('Allowed Client Ip')).toBe('127.0.0.1/32');
    const { document } = await json('user', 'info', '--email', EMAIL);
    expect(document).toMatchObject({ count: 1, total_count: 1 });
    expect(document.items[0]).toMatchObject({
      username: 'new',
      role: 'user',
      description: 'a guest',
      need_password_change: false,
      groups: [{ id: expect.any(String), name: 'default' }],
    });
  });

  test('info without an address shows oneself', async () => {
    const { exitCode, out } = await runAs('user', ['admin', 'user', 'info']);
    expect(exitCode).toBe(0);
    expect(rows(out).get('Email')).toBe('user@test.example');
  });

  test('list: filter, order, pages', async () => {
    const { document } = await json(
      ...['user', 'list', '--filter', 'role == "user"', '--order', '-username', '--limit', '1'],
    );
    expect(document).toMatchObject({ count: 1, total_count: 2 });
    expect(document.items[0].username).toBe('user');
    const next = await json(
      ...['user', 'list', '--filter', 'role == "user"', '--order', '-username', '--offset', '1'],
    );
    expect(next.document.items.map((item: { username: string }) => item.username)).toEqual(['new']);
    const { out } = await admin('user', 'list', '-s', 'active', '--order', 'email');
    expect(out.split('\n')[0]).toStartWith('UUID');
    expect(out).toContain(EMAIL);
  });

  test('update changes what is given and removes what is unset', async () => {
    const change = (...options: string[]) => json('user', 'update', EMAIL, ...options);
    const first = await change('-n', 'Other Name', '--need-password-change', 'yes', '--cgid', '7');
    expect(first).toMatchObject({ exitCode: 0, document: { ok: true, email: EMAIL } });
    const second = await change('--unset-cuid', '--unset-cgids', '--allowed-ip', '');
    expect(second.exitCode).toBe(0);
    const [row] = await server.sql`SELECT full_name, username, need_password_change,
        container_uid, container_main_gid, container_gids, allowed_client_ip
      FROM users WHERE email = ${EMAIL}`;
    expect(row).toMatchObject({
      full_name: 'Other Name',
      username: 'new',
      need_password_change: true,
      container_uid: null,
      container_main_gid: 7,
      container_gids: null,
    });
  });

  test('update refuses to set and unset at once, and to change nothing', async () => {
    const both = await admin('user', 'update', EMAIL, '--cuid', '1', '--unset-cuid');
    expect(both.exitCode).toBe(1);
    expect(both.err).toContain('--cuid and --unset-cuid exclude each other');
    const nothing = await admin('user', 'update', EMAIL);
    expect(nothing.exitCode).toBe(4);
    expect(nothing.err).toContain('Give at least one option');
  });

  test('delete makes inactive; purge asks first', async () => {
    expect((await admin('user', 'delete', EMAIL)).exitCode).toBe(0);
    const statuses = () => server.sql`SELECT status FROM users WHERE email = ${EMAIL}`;
    expect(await statuses()).toMatchObject([{ status: 'deleted' }]);
    const purge = (input?: string) => runAs('superadmin', ['admin', 'user', 'purge', EMAIL], input);
    expect(await purge('perhaps\nno\n')).toEqual({
      exitCode: 1,
      out: '',
      err: 'Are you sure? [Y/n] Please answer y or n.\nAre you sure? [Y/n] ∙ Cancelled.\n',
    });
    const unanswered = await purge();
    expect(unanswered).toMatchObject({ exitCode: 1, err: 'Are you sure? [Y/n] Aborted!\n' });
    expect(await statuses()).toHaveLength(1);
    const done = await purge('y\n');
    expect(done.exitCode).toBe(0);
    expect(rows(done.out).get('email')).toBe(EMAIL);
    expect(await statuses()).toHaveLength(0);
  });

  test('failures: an unknown project, an unknown user, too few rights', async () => {
    const project = await admin('user', 'add', 'default', 'x@y.example', 'p', '-g', 'nowhere');
    expect(project.exitCode).toBe(1);
    expect(project.err).toStartWith("✘ There is no project 'nowhere' in the domain 'default'.");
    const unknown = await json('user', 'update', 'nobody@test.example', '-n', 'x');
    expect(unknown.exitCode).toBe(1);
    expect(unknown.document).toMatchObject({
      ok: false,
      item_name: 'user',
      action_name: 'update',
    });
    const refused = await runAs('user', ['admin', 'user', 'delete', 'admin@test.example']);
    expect(refused.exitCode).toBe(1);
    expect(rows(refused.out).get('Action')).toBe('deletion');
    const none = await admin('user', 'info', '-e', 'nobody@test.example');
    expect(none.exitCode).toBe(1);
    expect(none.out).toBe('');
  });
});

test('keypair: add, list, update, deactivate, activate, delete', async () => {
  const added = await json('keypair', 'add', 'user@test.example', 'default', '-i', '-r', '77');
  expect(added.exitCode).toBe(0);
  const { access_key: key, secret_key: secret, keypair } = added.document;
  expect(keypair).toEqual({ access_key: key, secret_key: secret });
  expect(secret).toHaveLength(40);

  const ofUser = ['keypair', 'list', '-u', 'user@test.example'];
  const inactive = await json(...ofUser, '--is-active', 'no');
  expect(inactive.document).toMatchObject({ count: 1, items: [{ access_key: key }] });
  expect(inactive.document.items[0]).toMatchObject({
    user_id: 'user@test.example',
    rate_limit: 77,
    is_active: false,
    full_name: null,
    concurrency_used: 0,
  });
  const table = await admin(...ofUser);
  expect(table.out.split('\n')[0]).toMatch(/^Email +Projects +Full Name +Access Key/);

  expect((await admin('keypair', 'update', key, '--is-admin', 'yes')).exitCode).toBe(0);
  const state = () =>
    server.sql`SELECT is_active, is_admin FROM keypairs WHERE access_key = ${key}`;
  expect((await admin('keypair', 'activate', key)).exitCode).toBe(0);
  expect(await state()).toMatchObject([{ is_active: true, is_admin: true }]);
  expect((await admin('keypair', 'deactivate', key)).exitCode).toBe(0);
  expect(await state()).toMatchObject([{ is_active: false, is_admin: true }]);
  const gone = await admin('keypair', 'delete', key);
  expect(rows(gone.out).get('access_key')).toBe(key);
  expect(await state()).toHaveLength(0);

  const mine = await runAs('user', ['--output', 'json', 'admin', 'keypair', 'info']);
  const { user } = server.accounts;
  expect(JSON.parse(mine.out).items[0]).toMatchObject({ access_key: user.accessKey });
  const policy = await admin('keypair', 'add', 'user@test.example', 'no-such-policy');
  expect(policy.exitCode).toBe(1);
  expect(policy.out).toContain('Message');
});

test('domain: add, info, list, update, delete, purge', async () => {
  const add = await admin(
    ...['domain', 'add', 'lab', '-d', 'A lab', '--total-resource-slots', '{"cpu": "8"}'],
    ...['--allowed-docker-registries', 'a.example,b.example', '--inactive'],
  );
  expect(add.exitCode).toBe(0);
  expect(rows(add.out).get('name')).toBe('lab');
  const info = await json('domain', 'info', 'lab');
  expect(info.document.items[0]).toMatchObject({
    description: 'A lab',
    is_active: false,
    total_resource_slots: { cpu: '8' },
    allowed_docker_registries: ['a.example', 'b.example'],
  });
  const update = await admin('domain', 'update', 'lab', '--new-name', 'lab2', '--is-active', 'on');
  expect(update.exitCode).toBe(0);
  const list = await admin('domain', 'list');
  expect([...rows(list.out).keys()].sort()).toEqual(['default', 'lab2']);
  expect((await admin('domain', 'delete', 'lab2')).exitCode).toBe(0);
  expect((await json('domain', 'info', 'lab2')).document.items[0].is_active).toBe(false);
  const full = await admin('domain', 'purge', 'lab2', '-y');
  expect(full.exitCode).toBe(1);
  expect(full.err).toContain('1 project(s) belong to it. Purge them first.');
  const stores = (await json('group', 'info', 'model-store')).document.items;
  const { id } = stores.find((item: { domain_name: string }) => item.domain_name === 'lab2');
  expect((await admin('group', 'purge', id, '-y')).exitCode).toBe(0);
  expect((await admin('domain', 'purge', 'lab2', '-y')).exitCode).toBe(0);
  const again = await json('domain', 'purge', 'lab2', '--yes');
  expect(again.exitCode).toBe(1);
  expect(again.document).toMatchObject({ ok: false, item_name: 'domain', action_name: 'purge' });
  const broken = await admin('domain', 'add', 'x', '--total-resource-slots', '[1]');
  expect(broken.exitCode).toBe(2);
  expect(broken.err).toContain("'[1]' is not a JSON object");
});

test('group: add, info by id and by name, members, update, delete, purge', async () => {
  const added = await json('group', 'add', 'default', 'team', '-d', 'A team');
  const { id } = added.document.group;
  expect(added.document).toMatchObject({
    ok: true,
    group: { domain_name: 'default', name: 'team' },
  });
  for (const reference of [id, 'team']) {
    const { document } = await json('group', 'info', reference);
    expect(document.items).toMatchObject([{ id, name: 'team', description: 'A team' }]);
  }
  await admin('domain', 'add', 'sibling');
  await admin('group', 'add', 'sibling', 'team');
  const both = await admin('group', 'info', 'team');
  expect(both.out).toContain(`${'-'.repeat(20)}\n`);
  expect((await json('group', 'info', 'team')).document).toMatchObject({ count: 2 });
  const ofDomain = await admin('group', 'list', '-d', 'default');
  expect(ofDomain.out).toMatch(/\bteam\b/);

  const { userId } = server.accounts.user;
  const members = async () =>
    (await server.sql`SELECT user_id FROM association_groups_users WHERE group_id = ${id}`).length;
  expect((await admin('group', 'add-users', id, userId)).exitCode).toBe(0);
  expect(await members()).toBe(1);
  expect((await admin('group', 'remove-users', id, userId)).exitCode).toBe(0);
  expect(await members()).toBe(0);
  expect((await admin('group', 'add-users', id)).exitCode).toBe(4);
  const named = await admin('group', 'delete', 'team');
  expect(named.exitCode).toBe(2);
  expect(named.err).toContain("'team' is not an id");
  expect(named.err).toContain('backend.ai admin group list');

  expect((await admin('group', 'update', id, '-n', 'crew')).exitCode).toBe(0);
  expect((await admin('group', 'delete', id)).exitCode).toBe(0);
  expect((await json('group', 'info', id)).document.items[0]).toMatchObject({
    name: 'crew',
    is_active: false,
  });
  expect((await admin('group', 'purge', id, '-y')).exitCode).toBe(0);
  const gone = await admin('group', 'info', 'crew');
  expect(gone).toMatchObject({ exitCode: 1, err: '✗ No matching entry found.\n' });
});

test('keypair-resource-policy: add with defaults, update, list, delete', async () => {
  const policy = (...argv: string[]) => json('keypair-resource-policy', ...argv);
  expect((await policy('add', 'small', '--max-concurrent-sessions', '3')).exitCode).toBe(0);
  const { document } = await policy('info', 'small');
  expect(document.items[0]).toMatchObject({
    max_concurrent_sessions: 3,
    max_concurrent_sftp_sessions: 30,
    max_containers_per_session: 1,
    max_session_lifetime: 0,
    max_pending_session_count: null,
  });
  expect(document.items[0].allowed_vfolder_hosts).toContain('set-user-specific-permission');
  const changed = await policy('update', 'small', '--idle-timeout', '60');
  expect(changed.document).toMatchObject({ ok: true, name: 'small' });
  const list = await admin('keypair-resource-policy', 'list');
  expect([...rows(list.out).keys()]).toContain('small');
  const kept = await runAs(
    'superadmin',
    ['admin', 'keypair-resource-policy', 'delete', 'small'],
    'n\n',
  );
  expect(kept.exitCode).toBe(1);
  expect((await policy('delete', 'small', '-y')).exitCode).toBe(0);
  const used = await policy('delete', 'default', '-y');
  expect(used.exitCode).toBe(1);
  expect(used.document).toMatchObject({ ok: false, action_name: 'deletion' });
});

test('scaling-group: add, associate, get-available, update, dissociate, delete', async () => {
  const group = (...argv: string[]) => json('scaling-group', ...argv);
  expect((await group('add', 'gpus', '--desc', 'GPU nodes', '--private')).exitCode).toBe(0);
  const { document } = await group('info', 'gpus');
  expect(document.items[0]).toMatchObject({
    description: 'GPU nodes',
    is_public: false,
    driver: 'static',
    scheduler: 'fifo',
  });
  expect((await group('update', 'gpus', '--private', 'no', '-a', 'yes')).exitCode).toBe(0);
  const associated = await group('associate-scaling-group', 'gpus', 'default');
  expect(associated.document.detail_msg).toBe(
    'Scaling group gpus is associated with domain default.',
  );
  const names = async () =>
    (await group('get-available', 'default')).document.items.map(
      (item: { name: string }) => item.name,
    );
  expect(await names()).toContain('gpus');
  expect((await group('dissociate-scaling-group', 'gpus', 'default')).exitCode).toBe(0);
  expect(await names()).not.toContain('gpus');
  expect([...rows((await admin('scaling-group', 'list')).out).keys()]).toContain('gpus');
  expect((await group('delete', 'gpus')).exitCode).toBe(0);
  const none = await admin('scaling-group', 'info', 'gpus');
  expect(none).toMatchObject({ exitCode: 1, err: '✗ No matching entry found.\n' });
});

test('agent and image lists', async () => {
  const agents = await json('agent', 'list');
  expect(agents.document.items).toMatchObject([{ id: 'i-one', status: 'ALIVE' }]);
  const info = await admin('agent', 'info', 'i-one');
  expect(rows(info.out).get('CPU Usage (%)')).toBeString();
  expect((await admin('agent', 'info', 'i-none')).exitCode).toBe(1);
  const images = await json('image', 'list');
  expect(images.document).toMatchObject({ total_count: images.document.items.length });
  const operational = await json('image', 'list', '--operation');
  expect(operational.exitCode).toBe(0);
});
