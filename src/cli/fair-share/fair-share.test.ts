/** `fair-share` and `resource-usage` on a real manager that has added up a day's usage. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { fairSharePass } from '../../manager/fair-share/upkeep.ts';
import { startTestServer } from '../../testing/session-server.ts';
import { runCommand } from '../testing/program.ts';

setDefaultTimeout(60_000);

let server: Awaited<ReturnType<typeof startTestServer>>;
let projectId = '';
let userId = '';
const folder = mkdtempSync(join(tmpdir(), 'cli-fair-share-'));

function runAs(role: 'superadmin' | 'user', ...argv: string[]) {
  const env = { ...server.environment(server.accounts[role]), XDG_STATE_HOME: folder };
  return runCommand(argv, { env, cwd: folder });
}
const run = (...argv: string[]) => runAs('superadmin', ...argv);
const json = async (...argv: string[]) => {
  const { exitCode, out, err } = await run(...argv, '--json');
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
  return JSON.parse(out);
};

beforeAll(async () => {
  server = await startTestServer();
  userId = server.accounts.user.userId;
  const { sql } = server;
  const [project] = await sql<{ id: string }[]>`SELECT group_id::text AS id FROM sessions LIMIT 1`;
  projectId = project?.id ?? '';
  await sql`INSERT INTO association_groups_users (user_id, group_id)
    VALUES (${userId}, ${projectId}) ON CONFLICT DO NOTHING`;
  await sql`INSERT INTO sgroups_for_domains (scaling_group, domain)
    VALUES ('default', 'default') ON CONFLICT DO NOTHING`;
  // An hour on one core, which is over.
  await sql`DELETE FROM resource_allocations`;
  await sql`INSERT INTO resource_allocations (kernel_id, slot_name, requested, used, used_at, free_at)
    SELECT id, 'cpu', 1, 1, now() - interval '2 hours', now() - interval '1 hour'
      FROM kernels WHERE session_id = ${server.sessionId}`;
  await fairSharePass({ sql, clock: systemClock }, new AbortController().signal);
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

test('shares of a resource group, of domains, projects and users', async () => {
  const domains = await json('fair-share', 'rg-domain', 'list', 'default');
  expect(domains.items).toMatchObject([
    { resource_group_name: 'default', domain_name: 'default', spec: { uses_default: true } },
  ]);
  const projects = await run('fair-share', 'rg-project', 'list', 'default', 'default');
  expect(projects.out).toContain(projectId);
  expect(projects.out).toContain('1 (default)');
  const users = await json('fair-share', 'rg-user', 'list', 'default', 'default', projectId);
  expect(users.items).toMatchObject([{ user_uuid: userId, project_id: projectId }]);

  const one = await run('fair-share', 'rg-user', 'get', 'default', 'default', projectId, userId);
  expect(one.out).toMatch(/^Half Life +7 days$/m);
  const wrong = ['fair-share', 'rg-project', 'get', 'default', 'elsewhere', projectId];
  expect((await run(...wrong)).err).toContain("not in domain 'elsewhere'");
});

test('a weight is set, listed among the shares that are kept, and taken back', async () => {
  const target = ['default', projectId, userId];
  const set = await json('fair-share', 'user', 'set-weight', ...target, '--weight', '2.5');
  expect(set.spec).toMatchObject({ weight: '2.5', uses_default: false });
  const kept = await json('fair-share', 'user', 'list', '--user-uuid', userId);
  expect(kept).toMatchObject({ total_count: 1, items: [{ spec: { weight: '2.5' } }] });
  const nobody = await run('fair-share', 'user', 'list', '--domain-name', 'nowhere');
  expect(nobody.out).toBe('No fair shares found.\n');

  const back = await json('fair-share', 'user', 'set-weight', ...target);
  expect(back.spec).toMatchObject({ weight: '1', uses_default: true });
  const refused = await run('fair-share', 'user', 'set-weight', ...target, '--weight', 'heavy');
  expect(refused.exitCode).toBe(2);
  expect(refused.err).toContain("'heavy' is not a weight");
});

test('the rules of a resource group: what is not named stays', async () => {
  const update = ['fair-share', 'resource-group', 'update-spec', 'default'];
  await json(...update, '--resource-weight', 'cpu=2');
  const changed = await json(...update, '--half-life-days', '3', '--resource-weight', 'mem=0.5');
  expect(changed.items[0].fair_share_spec).toMatchObject({
    half_life_days: 3,
    resource_weights: expect.arrayContaining([
      { resource_type: 'cpu', weight: '2', uses_default: false },
      { resource_type: 'mem', weight: '0.5', uses_default: false },
    ]),
  });
  const without = await json(...update, '--resource-weight', 'mem=');
  const mem = without.items[0].fair_share_spec.resource_weights.find(
    ({ resource_type: slot }: { resource_type: string }) => slot === 'mem',
  );
  expect(mem?.uses_default ?? true).toBe(true);
  expect((await run('fair-share', 'resource-group', 'specs')).out).toMatch(/^default +3 days/m);
  expect((await run(...update)).exitCode).toBe(2);
  const none = await run('fair-share', 'resource-group', 'spec', 'nowhere');
  expect(none.err).toContain("no resource group 'nowhere'");
});

test('usage day by day', async () => {
  for (const level of ['domain', 'project', 'user']) {
    const found = await json('resource-usage', level, 'list');
    expect(found.total_count).toBeGreaterThanOrEqual(1);
    expect(found.items[0]).toMatchObject({
      resource_group_name: 'default',
      domain_name: 'default',
      metadata: { period_start: expect.stringMatching(/^\d{4}-\d\d-\d\d$/) },
    });
  }
  const table = await run('fair-share', 'rg-user-usage', 'list', 'default', 'default', projectId);
  expect(table.out).toContain('Slot-Seconds');
  expect(table.out).toMatch(/cpu=\d+/);
  const odd = await run('resource-usage', 'domain', 'list', '--user-uuid', userId);
  expect(odd.exitCode).toBe(2);
  expect(odd.err).toContain('--user-uuid does not tell domains apart');
});

test('usage in a resource group: of an owner, and within days', async () => {
  const usage = (level: string, ...args: string[]) =>
    json('fair-share', `rg-${level}-usage`, 'list', 'default', ...args);
  const all = await usage('domain');
  expect(all.total_count).toBeGreaterThanOrEqual(1);
  const day: string = all.items[0].metadata.period_start;
  const within = ['--period-start-after', day, '--period-start-before', day];
  expect((await usage('domain', ...within)).total_count).toBe(1);
  expect((await usage('domain', '--period-start-after', '2999-01-01')).total_count).toBe(0);
  expect((await usage('domain', '--period-start-before', '1999-01-01')).total_count).toBe(0);
  expect((await usage('domain', '--domain-name', 'nowhere')).total_count).toBe(0);
  expect((await usage('project', 'default', '--project-id', projectId)).total_count).toBe(
    all.total_count,
  );
  const none = await usage('user', 'default', projectId, '--user-uuid', projectId);
  expect(none.total_count).toBe(0);
  const odd = ['fair-share', 'rg-domain-usage', 'list', 'default', '--period-start-after', 'today'];
  expect((await run(...odd)).err).toContain("'today' is not a day");
});

test('shares in a resource group: of one owner', async () => {
  const shares = (level: string, ...args: string[]) =>
    json('fair-share', `rg-${level}`, 'list', 'default', ...args);
  const owned = { domain: 'default', nobody: '00000000-0000-4000-8000-000000000000' };
  expect((await shares('domain', '--domain-name', owned.domain)).total_count).toBe(1);
  expect((await shares('domain', '--domain-name', 'nowhere')).total_count).toBe(0);
  expect((await shares('project', 'default', '--project-id', projectId)).total_count).toBe(1);
  expect((await shares('project', 'default', '--project-id', owned.nobody)).total_count).toBe(0);
  const ofUser = ['user', 'default', projectId, '--user-uuid'] as const;
  expect((await shares(...ofUser, userId)).total_count).toBe(1);
  expect((await shares(...ofUser, owned.nobody)).total_count).toBe(0);
});

test('is for superadmins', async () => {
  for (const argv of [
    ['fair-share', 'domain', 'list'],
    ['fair-share', 'domain', 'set-weight', 'default', 'default', '--weight', '2'],
    ['resource-usage', 'project', 'list'],
  ]) {
    const refused = await runAs('user', ...argv);
    expect(refused.exitCode).toBe(1);
    expect(refused.out).toBe('');
  }
});
