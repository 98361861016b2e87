/** `admin announcement|manager|etcd|resource|permission`, `dotfile` and `server-logs` on a real manager. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestServer } from '../../testing/session-server.ts';
import { until } from '../../testing/until.ts';
import { announcementPanel } from '../announcement.ts';
import { runCommand } from '../testing/program.ts';

setDefaultTimeout(60_000);

let server: Awaited<ReturnType<typeof startTestServer>>;
const folder = mkdtempSync(join(tmpdir(), 'cli-cluster-'));

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

interface As {
  readonly role?: 'superadmin' | 'user';
  readonly input?: string;
  readonly env?: Record<string, string>;
}

function runWith({ role = 'superadmin', input, env }: As, ...argv: string[]) {
  const all = { ...server.environment(server.accounts[role]), XDG_STATE_HOME: folder, ...env };
  return runCommand(argv, { env: all, cwd: folder, input });
}
const run = (...argv: string[]) => runWith({}, ...argv);
const json = async (...argv: string[]) => JSON.parse((await run('--output', 'json', ...argv)).out);

test('announcement: shown above lists until it is dismissed, changed or deleted', async () => {
  const announce = (...argv: string[]) =>
    runWith({ input: 'y\n' }, 'admin', 'announcement', ...argv);
  expect((await announce('get')).out).toBe('No announcements.\n');
  expect((await announce('dismiss')).err).toContain('No announcement has been shown yet.');
  expect((await announce('update', '-m', 'Maintenance on Sunday.')).err).toBe(
    '✓ Posted the announcement.\n',
  );
  expect((await announce('get')).out).toBe('Maintenance on Sunday.\n');

  const list = () => run('admin', 'domain', 'list');
  const shown = announcementPanel('Maintenance on Sunday.', 80);
  expect((await list()).err).toBe(shown);
  expect((await list()).err).toBe(shown);
  expect((await announce('dismiss')).exitCode).toBe(0);
  expect((await list()).err).toBe('');
  await announce('update', '-m', 'It is over.');
  expect((await list()).err).toContain('It is over.');

  const refused = await runWith({ role: 'user' }, 'admin', 'announcement', 'update', '-m', 'x');
  expect(refused.exitCode).toBe(1);
  expect((await announce('delete')).err).toContain('✓ Deleted the announcement.');
  expect(await json('admin', 'announcement', 'get')).toMatchObject({ enabled: false });
  expect((await list()).err).toBe('');
});

test('a server that is away is tried once', async () => {
  let tries = 0;
  const away = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch() {
      tries += 1;
      return new Response('gone', { status: 502 });
    },
  });
  try {
    const { exitCode, err } = await runWith(
      { env: { BACKEND_ENDPOINT: away.url.origin } },
      ...['admin', 'domain', 'list'],
    );
    expect({ exitCode, tries }).toEqual({ exitCode: 1, tries: 1 });
    expect(err).toContain('is not a Backend.AI API server');
  } finally {
    await away.stop(true);
  }
});

test('announcement: written in an editor', async () => {
  const editor = join(folder, 'editor.sh');
  const edit = (script: string) => {
    writeFileSync(editor, `#!/bin/sh\n${script}\n`);
    chmodSync(editor, 0o755);
    return runWith({ env: { EDITOR: editor } }, 'admin', 'announcement', 'update');
  };
  expect(await edit('true')).toMatchObject({ exitCode: 1, err: '∙ Cancelled.\n' });
  expect((await edit('exit 3')).err).toContain(`The editor '${editor}' failed.`);
  expect((await edit('printf "from the editor" > "$1"')).exitCode).toBe(0);
  expect((await run('admin', 'announcement', 'get')).out).toBe('from the editor\n');
  await run('admin', 'announcement', 'delete', '-y');
});

test('an announcement cannot move the cursor, and long words do not break the frame', () => {
  const panel = announcementPanel(`\u001b[2Jhello ${'x'.repeat(100)}\n\nend`, 40);
  const lines = panel.split('\n');
  expect(lines[0]).toStartWith('╭');
  expect(lines[0]).toHaveLength(40);
  expect(panel).not.toContain('\u001b');
  expect(lines).toContain(`│ ${'end'.padEnd(36)} │`);
});

/** Managers learn of the status as it is announced, not with the answer. */
const becomes = (status: string) =>
  until(async () => {
    const { out } = await run('admin', 'manager', 'status');
    return out.includes(status);
  }, `the cluster is ${status}`);

test('manager: status, freeze, unfreeze', async () => {
  const status = await run('admin', 'manager', 'status');
  expect(status.out).toBe('Status   Active Sessions\n-------  ---------------\nrunning  1\n');
  expect((await json('admin', 'manager', 'status')).nodes).toHaveLength(1);
  expect((await run('admin', 'manager', 'freeze', '--wait', '--force-kill')).err).toContain(
    'exclude each other',
  );
  expect((await run('admin', 'manager', 'freeze')).err).toBe('✓ The manager is frozen.\n');
  await becomes('frozen');
  const refused = await run('admin', 'domain', 'delete', 'default');
  expect(refused.exitCode).toBe(1);
  expect((await run('admin', 'manager', 'unfreeze')).exitCode).toBe(0);
  await becomes('running');
  const user = await runWith({ role: 'user' }, 'admin', 'manager', 'freeze');
  expect(user.exitCode).toBe(1);
});

test('manager: freeze --wait waits until the sessions are over', async () => {
  const frozen = run('admin', 'manager', 'freeze', '--wait');
  const { sql } = server;
  const before = await sql`SELECT id, status FROM kernels WHERE status IN ('RUNNING', 'PENDING')`;
  await sql`UPDATE kernels SET status = 'TERMINATED' WHERE status IN ('RUNNING', 'PENDING')`;
  await sql`UPDATE sessions SET status = 'TERMINATED' WHERE status IN ('RUNNING', 'PENDING')`;
  expect(before.length).toBeGreaterThan(0);
  const { exitCode, err } = await frozen;
  expect(exitCode).toBe(0);
  expect(err).toContain('✓ All sessions are over.\n✓ The manager is frozen.\n');
  await run('admin', 'manager', 'unfreeze');
  await becomes('running');
});

test('manager: freeze --force-kill ends the sessions', async () => {
  await server.sql`UPDATE sessions SET status = 'RUNNING' WHERE name = 'work'`;
  await server.sql`UPDATE kernels SET status = 'RUNNING' WHERE session_name = 'work'`;
  const { exitCode, err } = await run('admin', 'manager', 'freeze', '--force-kill');
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '✓ The manager is frozen.\n' });
  const [row] = await server.sql`SELECT status FROM sessions WHERE name = 'work'`;
  expect(row?.status).toBe('TERMINATED');
  await run('admin', 'manager', 'unfreeze');
  await becomes('running');
});

test('manager: which agents take sessions', async () => {
  const scheduler = (...argv: string[]) => run('admin', 'manager', 'scheduler', ...argv);
  const state = async () => {
    const [row] = await server.sql`SELECT schedulable FROM agents WHERE id = 'i-one'`;
    return row?.schedulable;
  };
  expect((await scheduler('exclude-agents', 'i-one')).err).toBe(
    '✓ The given agents take no new sessions.\n',
  );
  expect(await state()).toBe(false);
  expect((await scheduler('include-agents', 'i-one')).exitCode).toBe(0);
  expect(await state()).toBe(true);
  const unknown = await scheduler('exclude-agents', 'i-one', 'i-none');
  expect(unknown.exitCode).toBe(1);
  expect(await state()).toBe(true);
  expect((await scheduler('exclude-agents')).exitCode).toBe(4);
});

test('etcd: text, trees and prefixes', async () => {
  const etcd = (...argv: string[]) => run('admin', 'etcd', ...argv);
  expect((await etcd('get', 'test/none')).out).toBe('null\n');
  expect((await etcd('set', 'test/text', '12')).err).toBe('✓ Set test/text.\n');
  expect((await etcd('get', 'test/text')).out).toBe('"12"\n');
  await etcd('set', 'test/tree', '{"a": "1", "b": {"c": "2"}}');
  expect(JSON.parse((await etcd('get', 'test/tree', '-p')).out)).toEqual({ a: '1', b: { c: '2' } });
  expect((await etcd('delete', 'test', '--prefix')).exitCode).toBe(0);
  expect((await etcd('get', 'test/text')).out).toBe('null\n');
  const refused = await runWith({ role: 'user' }, 'admin', 'etcd', 'get', 'test');
  expect(refused.exitCode).toBe(1);
  expect(refused.err).toStartWith('✘ BackendAPIError: 403');
});

test('resource container-registries, vfolder-types', async () => {
  await server.sql`INSERT INTO container_registries (url, registry_name, type, project, is_global)
    VALUES ('https://cr.example', 'cr.example', 'docker', 'stable', true)`;
  const registries = await run('admin', 'resource', 'docker-registries');
  expect(registries.out).toBe('stable/cr.example (https://cr.example)\n');
  const types = await run('admin', 'resource', 'vfolder-types');
  expect(types.out.split('\n')).toContain('user');
  expect((await runWith({ role: 'user' }, 'admin', 'resource', 'vfolder-types')).exitCode).toBe(0);
  const refused = await runWith({ role: 'user' }, 'admin', 'resource', 'container-registries');
  expect(refused.exitCode).toBe(1);
});

test('resource query-slots, permission list', async () => {
  const { out } = await run('admin', 'resource', 'query-slots');
  expect(out.split('\n')).toContain('cpu (count)');
  expect(await json('admin', 'resource', 'query-slots')).toMatchObject({ mem: 'bytes' });
  const permissions = await json('admin', 'permission', 'list');
  expect(permissions.items[0].vfolder_host_permission_list).toContain('mount-in-session');
  const unsigned = await runWith(
    { env: { BACKEND_SECRET_KEY: 'wrong' } },
    ...['admin', 'permission', 'list'],
  );
  expect(unsigned.exitCode).toBe(1);
});

test('dotfile: create, list, get, update, delete', async () => {
  const dotfile = (...argv: string[]) => runWith({ role: 'user', input: '' }, 'dotfile', ...argv);
  expect((await dotfile('list')).out).toBe('There is no dotfile yet.\n');
  writeFileSync(join(folder, 'rc'), 'alias ll="ls -l"\nsecond line\n');
  const created = await dotfile('create', '.myrc', '--perm', '644', '-f', 'rc');
  expect(created).toEqual({
    exitCode: 0,
    out: '',
    err: '∙ Dotfile .myrc created and ready\n',
  });
  expect((await dotfile('get', '.myrc')).out).toBe(readFileSync(join(folder, 'rc'), 'utf8'));
  const list = await dotfile('list');
  expect(list.out.split('\n')[2]).toMatch(/^\.myrc +alias ll="ls -l" +644$/);
  const update = await runWith(
    { role: 'user', input: 'from stdin\n' },
    ...['dotfile', 'update', '.myrc'],
  );
  expect(update.err).toBe('∙ Dotfile .myrc updated\n');
  expect((await dotfile('get', '.myrc')).out).toBe('from stdin\n');

  const ofUser = ['-o', server.accounts.user.accessKey];
  expect((await run('dotfile', 'get', '.myrc', ...ofUser)).out).toBe('from stdin\n');
  expect((await dotfile('delete', '.myrc')).err).toEndWith('Aborted!\n');
  expect((await dotfile('delete', '.myrc', '-f')).err).toBe('∙ Dotfile .myrc deleted\n');
  const gone = await dotfile('get', '.myrc');
  expect(gone).toMatchObject({ exitCode: 1, out: '' });
  expect((await dotfile('create', '.myrc', '--perm', '9')).exitCode).toBe(2);
  expect((await dotfile('create', '.myrc', '-f', 'none')).err).toContain('Cannot read none');
});

test("dotfiles of a domain and of a project are the administrators'", async () => {
  const place = ['-d', 'default', '-g', 'default'];
  writeFileSync(join(folder, 'shared'), 'shared\n');
  for (const holder of [place.slice(0, 2), place]) {
    const created = await run('dotfile', 'create', '.shared', '-f', 'shared', ...holder);
    expect(created.exitCode).toBe(0);
    const [item] = (await json('dotfile', 'list', ...holder)).items;
    expect(item).toEqual({ path: '.shared', data: 'shared\n', permission: '755' });
    const refused = await runWith(
      { role: 'user' },
      'dotfile',
      'delete',
      '.shared',
      '-f',
      ...holder,
    );
    expect(refused.exitCode).toBe(1);
    expect((await run('dotfile', 'delete', '.shared', '-f', ...holder)).exitCode).toBe(0);
  }
});

test('server-logs', async () => {
  await server.sql`INSERT INTO error_logs (severity, source, "user", is_read, is_cleared, message,
      context_lang, context_env, request_url, request_status, traceback)
    VALUES ('error', 'webui', ${server.accounts.user.userId}, false, false, 'It broke.', 'js', '{}',
      'http://x/y', 500, 'at line 1')`;
  const { out } = await runWith({ role: 'user' }, 'server-logs', 'list', '--mark-read');
  const lines = out.split('\n');
  expect(lines.slice(0, 2)).toEqual(['Total log count: 1', '----']);
  expect(lines[2]).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ERROR webui /);
  expect(lines.slice(3, 6)).toEqual(['500 http://x/y', 'It broke.', 'at line 1']);
  const [row] = await server.sql`SELECT is_read FROM error_logs`;
  expect(row?.is_read).toBe(true);
  const document = await json('server-logs', 'list', '-l', '1', '-n', '2');
  expect(document).toEqual({ count: 0, total_count: 1, items: [] });
  expect((await run('server-logs', 'list', '-l', '1000')).exitCode).toBe(2);
});
