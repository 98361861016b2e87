/** `admin export` and `admin resource usage-…` on a real manager. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestServer } from '../../testing/session-server.ts';
import { runCommand } from '../testing/program.ts';
import { filterOf, isFalse, isTrue, period, readTime } from './export-filters.ts';

setDefaultTimeout(60_000);

let server: Awaited<ReturnType<typeof startTestServer>>;
const folder = mkdtempSync(join(tmpdir(), 'cli-reports-'));

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

function runAs(role: 'superadmin' | 'user', ...argv: string[]) {
  const env = { ...server.environment(server.accounts[role]), XDG_STATE_HOME: folder };
  return runCommand(argv, { env, cwd: folder });
}
const run = (...argv: string[]) => runAs('superadmin', 'admin', ...argv);
const rowsOf = (csv: string): string[] => csv.trimEnd().split(/\r?\n/).slice(1);

test('export list-reports', async () => {
  const { exitCode, out } = await run('export', 'list-reports');
  expect(exitCode).toBe(0);
  for (const key of ['users', 'sessions', 'projects', 'keypairs', 'audit-logs']) {
    expect(out).toContain(`\n${key}: `);
  }
  expect(out).toContain('    - username: ');
  const json = await runAs('superadmin', '--output', 'json', 'admin', 'export', 'list-reports');
  expect(JSON.parse(json.out).items[0].fields[0]).toHaveProperty('field_type');
});

test('export users: fields, filters, order, to standard output and to a file', async () => {
  const fields = ['--fields', 'username,role'];
  const all = await run('export', 'users', ...fields, '-O', 'username:desc');
  expect(all).toMatchObject({ exitCode: 0, err: '' });
  expect(rowsOf(all.out)).toEqual(['user,user', 'superadmin,superadmin', 'admin,admin']);
  const some = await run('export', 'users', ...fields, '--filter-email', 'super');
  expect(rowsOf(some.out)).toEqual(['superadmin,superadmin']);
  const byRole = await run('export', 'users', ...fields, '--filter-role', 'user');
  expect(rowsOf(byRole.out)).toEqual(['user,user']);
  const later = await run('export', 'users', ...fields, '--filter-after', '2100-01-01');
  expect(rowsOf(later.out)).toEqual([]);
  const saved = await run('export', 'users', ...fields, '-o', 'users.csv');
  expect(saved).toEqual({ exitCode: 0, out: '', err: '✓ Exported to users.csv\n' });
  expect(rowsOf(readFileSync(join(folder, 'users.csv'), 'utf8'))).toHaveLength(3);
});

test('export sessions, projects, keypairs and the audit log', async () => {
  const sessions = await run(
    ...['export', 'sessions', '--fields', 'name', '--filter-status', 'RUNNING'],
    ...['--filter-type', 'INTERACTIVE', '--filter-created-after', '2020-01-01'],
  );
  expect(rowsOf(sessions.out)).toEqual(['work']);
  const projects = ['export', 'projects', '--fields', 'name'];
  expect(rowsOf((await run(...projects, '--filter-active')).out)).toContain('default');
  expect(rowsOf((await run(...projects, '--filter-inactive')).out)).toEqual([]);
  const keypairs = ['export', 'keypairs', '--fields', 'access_key'];
  const { user } = server.accounts;
  expect(rowsOf((await run(...keypairs, '--filter-non-admin')).out)).toEqual([user.accessKey]);
  const ofUser = await run(...keypairs, '--filter-user-id', 'user@', '--order', 'access_key');
  expect(rowsOf(ofUser.out)).toEqual([user.accessKey]);
  await run('domain', 'update', 'default', '--description', 'changed');
  const audit = ['export', 'audit-logs', '--fields', 'entity_type,operation'];
  const changes = await run(...audit, '--filter-entity-type', 'domain');
  expect(rowsOf(changes.out)).toEqual(['domain,update']);
});

test('export: what cannot be', async () => {
  const field = await run('export', 'users', '--fields', 'nonsense', '-o', 'bad.csv');
  expect(field.exitCode).toBe(1);
  expect(field.err).toContain('nonsense');
  expect(existsSync(join(folder, 'bad.csv'))).toBe(false);
  const kept = readFileSync(join(folder, 'users.csv'), 'utf8');
  expect((await run('export', 'users', '--fields', 'x', '-o', 'users.csv')).exitCode).toBe(1);
  expect(readFileSync(join(folder, 'users.csv'), 'utf8')).toBe(kept);
  const place = await run('export', 'users', '-o', 'no/such/folder.csv');
  expect(place.exitCode).toBe(1);
  expect(place.err).toContain('Cannot write no/such/folder.csv');
  expect((await run('export', 'users', '-O', 'username:up')).exitCode).toBe(2);
  expect((await run('export', 'users', '--filter-after', 'today')).exitCode).toBe(2);
  const refused = await runAs('user', 'admin', 'export', 'users');
  expect(refused.exitCode).toBe(1);
  expect(refused.err).toStartWith('✘ BackendAPIError: 403');
});

test.each([
  ['2026-01-31', '2026-01-31T00:00:00.000Z'],
  ['2026-01-31 12:30', '2026-01-31T12:30:00.000Z'],
  ['2026-01-31T12:30:05', '2026-01-31T12:30:05.000Z'],
  ['2026-01-31T12:30:05+09:00', '2026-01-31T03:30:05.000Z'],
])('the time %s', (text, time) => {
  expect(readTime(text)).toBe(time);
});

test('conditions on one field are merged, flags count when given', () => {
  const filters = {
    yes: isTrue('--filter-active', 'is_active'),
    no: isFalse('--filter-inactive', 'is_active'),
    ...period('--a', '--b', 'created_at'),
  };
  expect(filterOf(filters, { yes: false, no: false })).toBeUndefined();
  expect(filterOf(filters, { yes: false, no: true, '--a': 'x', '--b': 'y' })).toEqual({
    is_active: false,
    created_at: { after: 'x', before: 'y' },
  });
});

test('resource usage-per-month, usage-per-period, recalculate-usage', async () => {
  const now = new Date();
  const day = now.toISOString().slice(0, 10).replaceAll('-', '');
  await server.sql`UPDATE kernels SET created_at = now() - interval '1 second'`;
  const month = await run('resource', 'usage-per-month', day.slice(0, 6));
  expect(month.exitCode).toBe(0);
  expect(month.out).toStartWith('Group: default (');
  expect(month.out).toContain('    Identity: work / ');
  const [project] = await server.sql`SELECT id FROM groups WHERE name = 'default'`;
  const named = await run('resource', 'usage-per-month', day.slice(0, 6), project?.id);
  expect(named.out).toBe(month.out);
  const period = await run('resource', 'usage-per-period', project?.id, day, day);
  expect(period.exitCode).toBe(0);
  expect(period.out).toContain(`Project: default (${project?.id})\n  Domain: default\n`);
  const json = ['--output', 'json', 'admin', 'resource', 'usage-per-month', day.slice(0, 6)];
  expect(JSON.parse((await runAs('superadmin', ...json)).out)[0]).toHaveProperty('g_smp');
  const wrong = await run('resource', 'usage-per-month', '2026-1');
  expect(wrong.exitCode).toBe(2);
  const impossible = await run('resource', 'usage-per-month', '202613');
  expect(impossible.exitCode).toBe(1);
  const books = await run('resource', 'recalculate-usage');
  expect(books).toEqual({
    exitCode: 0,
    out: '',
    err: '✓ Resource allocation is re-calculated.\n',
  });
  expect((await runAs('user', 'admin', 'resource', 'recalculate-usage')).exitCode).toBe(1);
});
