/** Who sees whose keypairs, users, projects and domains, and what a session may run in. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import { type TestDatabase, testDatabase } from '../../testing/postgres.ts';
import { getDomain, listDomains } from '../domain/service.ts';
import { populateFixture } from '../fixture/service.ts';
import type { Caller, Role } from '../http/route.ts';
import { countQuery, findActiveKeypair, getKeypair, listKeypairs } from '../keypair/service.ts';
import { loadKeypairPolicy, loadProjectPolicy, loadUserPolicy } from '../policy/service.ts';
import { getProject, listProjects, projectOfMember } from '../project/service.ts';
import { allowedResourceGroups, chooseResourceGroup } from '../resource-group/service.ts';
import { getUser, listUsers, projectsOfUsers } from './service.ts';

/** Two domains with the same set of people: root (superadmin, red only), boss, worker. */
const people = (['red', 'blue'] as const).flatMap((domain) =>
  (['root', 'boss', 'worker'] as const).map((name) => ({
    id: randomUUID(),
    domain,
    name,
    email: `${name}@${domain}.example`,
    key: `AK-${domain}-${name}`,
    role: (name === 'boss' ? 'admin' : 'user') as Role,
  })),
);
for (const person of people) {
  if (person.domain === 'red' && person.name === 'root') person.role = 'superadmin';
}
const projects = (['red', 'blue'] as const).map((domain) => ({ id: randomUUID(), domain }));
const secretProject = randomUUID();

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
  const group = { driver: 'static', scheduler: 'fifo' };
  await populateFixture(
    db.sql,
    {
      domains: [{ name: 'red' }, { name: 'blue' }],
      user_resource_policies: [
        {
          name: 'p',
          max_vfolder_count: 0,
          max_quota_scope_size: -1,
          max_session_count_per_model_session: 1,
        },
      ],
      project_resource_policies: [{ name: 'p', max_vfolder_count: 0, max_quota_scope_size: -1 }],
      keypair_resource_policies: [
        {
          name: 'p',
          total_resource_slots: { cpu: '4' },
          max_concurrent_sessions: 0,
          max_containers_per_session: 2,
          idle_timeout: 60,
        },
      ],
      users: people.map((person) => ({
        uuid: person.id,
        username: `${person.domain}-${person.name}`,
        email: person.email,
        password: 'x',
        status_info: '',
        need_password_change: false,
        domain_name: person.domain,
        resource_policy: 'p',
        role: person.role,
      })),
      keypairs: people.map((person) => ({
        user: person.id,
        user_id: person.email,
        access_key: person.key,
        secret_key: 'secret',
        is_active: true,
        is_admin: person.role !== 'user',
        resource_policy: 'p',
        rate_limit: 100,
      })),
      groups: [
        ...projects.map(({ id, domain }) => ({
          id,
          name: 'work',
          domain_name: domain,
          resource_policy: 'p',
        })),
        { id: secretProject, name: 'secret', domain_name: 'red', resource_policy: 'p' },
        { name: 'closed', domain_name: 'red', resource_policy: 'p', is_active: false },
      ],
      association_groups_users: people.map((person) => ({
        user_id: person.id,
        group_id: projects.find(({ domain }) => domain === person.domain)?.id,
      })),
      scaling_groups: [
        { name: 'b-domain', ...group },
        { name: 'a-project', ...group, is_public: false },
        { name: 'c-keypair', ...group },
        { name: '0-off', ...group, is_active: false },
        { name: 'd-nobody', ...group },
      ],
      sgroups_for_domains: [
        { scaling_group: 'b-domain', domain: 'red' },
        { scaling_group: '0-off', domain: 'red' },
      ],
      sgroups_for_groups: [{ scaling_group: 'a-project', group: projects[0]?.id }],
      sgroups_for_keypairs: [{ scaling_group: 'c-keypair', access_key: 'AK-red-worker' }],
    },
    { passwordHash: 'argon2id' },
  );
});
afterAll(() => db.drop());

async function caller(key: string): Promise<Caller> {
  const found = await findActiveKeypair(db.sql, key);
  if (!found) throw new Error(`no keypair ${key}`);
  return found.caller;
}

describe('keypairs', () => {
  test('superadmins see all, domain admins their domain, users their own', async () => {
    const keys = async (key: string) =>
      (await listKeypairs(db.sql, await caller(key))).map((row) => row.access_key).sort();
    expect(await keys('AK-red-root')).toHaveLength(6);
    expect(await keys('AK-blue-boss')).toEqual(['AK-blue-boss', 'AK-blue-root', 'AK-blue-worker']);
    expect(await keys('AK-red-worker')).toEqual(['AK-red-worker']);
  });

  test("a superadmin's, and with it the secret, is not for domain admins", async () => {
    const boss = await caller('AK-red-boss');
    const seen = (await listKeypairs(db.sql, boss)).map((row) => row.access_key);
    expect(seen.sort()).toEqual(['AK-red-boss', 'AK-red-worker']);
    await expect(getKeypair(db.sql, boss, 'AK-red-root')).rejects.toThrow('no keypair');
  });

  test('a filter narrows the scope and never widens it', async () => {
    const blue = { domainName: 'blue' };
    expect(await listKeypairs(db.sql, await caller('AK-red-boss'), blue)).toEqual([]);
    expect(await listKeypairs(db.sql, await caller('AK-red-root'), blue)).toHaveLength(3);
    const worker = await caller('AK-red-worker');
    await expect(getKeypair(db.sql, worker, 'AK-red-boss')).rejects.toThrow('no keypair');
  });

  test('inactive keys and owners are not let in', async () => {
    expect(await findActiveKeypair(db.sql, 'AK-none')).toBeNull();
    await db.sql`UPDATE keypairs SET is_active = false WHERE access_key = 'AK-blue-root'`;
    await db.sql`UPDATE users SET status = 'inactive' WHERE email = 'worker@blue.example'`;
    expect(await findActiveKeypair(db.sql, 'AK-blue-root')).toBeNull();
    expect(await findActiveKeypair(db.sql, 'AK-blue-worker')).toBeNull();
  });

  test('queries are counted', async () => {
    await countQuery(db.sql, 'AK-red-boss');
    await countQuery(db.sql, 'AK-red-boss', 4);
    const row = await getKeypair(db.sql, await caller('AK-red-boss'));
    expect(row.num_queries).toBe(5);
    expect(row.last_used).toBeInstanceOf(Date);
  });

  test('networks an account may come from are told', async () => {
    await db.sql`
      UPDATE users SET allowed_client_ip = '{10.0.0.0/8,::1/128}' WHERE email = 'boss@red.example'`;
    const found = await findActiveKeypair(db.sql, 'AK-red-boss');
    expect(found?.allowedClientIp).toEqual(['10.0.0.0/8', '::1/128']);
    expect(found?.rateLimit).toBe(100);
  });
});

test('users: the same scopes, and never their secrets', async () => {
  expect(await listUsers(db.sql, await caller('AK-red-root'))).toHaveLength(6);
  const seen = await listUsers(db.sql, await caller('AK-red-boss'));
  expect(seen.map((row) => row.domain_name)).toEqual(['red', 'red', 'red']);
  const worker = await caller('AK-red-worker');
  expect((await listUsers(db.sql, worker)).map((row) => row.uuid)).toEqual([worker.userId]);
  expect(Object.keys(await getUser(db.sql, worker))).not.toContain('password');
  expect(await projectsOfUsers(db.sql, [worker.userId])).toEqual(
    new Map([[worker.userId, [expect.objectContaining({ id: projects[0]?.id, name: 'work' })]]]),
  );
  await expect(getUser(db.sql, worker, { email: 'boss@red.example' })).rejects.toMatchObject({
    problem: 'UserNotFound',
  });
});

test('domains: superadmins see all, others their own', async () => {
  const names = async (key: string) =>
    (await listDomains(db.sql, await caller(key))).map(({ name }) => name);
  expect(await names('AK-red-root')).toEqual(['blue', 'red']);
  expect(await names('AK-red-boss')).toEqual(['red']);
  expect((await getDomain(db.sql, await caller('AK-red-worker'))).name).toBe('red');
  await expect(getDomain(db.sql, await caller('AK-red-worker'), 'blue')).rejects.toMatchObject({
    status: 404,
  });
});

describe('projects', () => {
  test('superadmins see all, domain admins their domain, users their own', async () => {
    const names = async (key: string) =>
      (await listProjects(db.sql, await caller(key), { isActive: true })).map(
        (row) => `${row.domain_name}/${row.name}`,
      );
    expect(await names('AK-red-root')).toEqual(['blue/work', 'red/secret', 'red/work']);
    expect(await names('AK-red-boss')).toEqual(['red/secret', 'red/work']);
    expect(await names('AK-red-worker')).toEqual(['red/work']);
    await expect(
      getProject(db.sql, await caller('AK-red-worker'), secretProject),
    ).rejects.toMatchObject({ problem: 'ProjectNotFound' });
  });

  test('a session runs in a project of its owner only', async () => {
    const { userId } = await caller('AK-red-worker');
    const find = (nameOrId: string, domain = 'red', anyMember = false) =>
      projectOfMember(db.sql, { userId, domain, nameOrId, anyMember });
    expect((await find('work')).id).toBe(projects[0]?.id ?? '');
    expect((await find((projects[0]?.id ?? '').toUpperCase())).name).toBe('work');
    await expect(find('secret')).rejects.toThrow("no active project 'secret'");
    await expect(find('secret')).rejects.toThrow("The user's projects there: work.");
    await expect(find('work', 'blue')).rejects.toThrow('belongs to no project there');
    expect((await find('secret', 'red', true)).id).toBe(secretProject);
    await expect(find('closed', 'red', true)).rejects.toThrow("no active project 'closed'");
  });
});

test('resource groups: by domain, project and keypair; active ones; by name', async () => {
  const scope = { domain: 'red', projectId: projects[0]?.id ?? null, accessKey: 'AK-red-worker' };
  const names = async (changes: Partial<typeof scope>) =>
    (await allowedResourceGroups(db.sql, { ...scope, ...changes })).map(({ name }) => name);
  expect(await names({})).toEqual(['a-project', 'b-domain', 'c-keypair']);
  expect(await names({ projectId: null })).toEqual(['b-domain', 'c-keypair']);
  expect(await names({ accessKey: 'AK-red-boss', projectId: null })).toEqual(['b-domain']);
  const choose = (name: string | null, type: 'batch' | 'system' = 'batch', of = scope) =>
    chooseResourceGroup(db.sql, of, { name, type });
  expect((await choose(null)).name).toBe('a-project');
  expect((await choose('c-keypair')).schedulerOptions).toMatchObject({
    agent_selection_strategy: 'dispersed',
  });
  const take = (types: string[]) => db.sql`
    UPDATE scaling_groups SET scheduler_opts = ${db.sql.json({ allowed_session_types: types })}
     WHERE name = 'a-project'`;
  await take([]);
  expect((await choose(null)).name).toBe('b-domain');
  expect((await choose(null, 'system')).name).toBe('a-project');
  expect((await choose('a-project')).name).toBe('a-project');
  await take(['batch']);
  expect((await choose(null)).name).toBe('a-project');
  await expect(choose('d-nobody')).rejects.toThrow('Yours: a-project, b-domain, c-keypair');
  const none = { domain: 'blue', projectId: null, accessKey: 'AK-blue-boss' };
  await expect(choose(null, 'batch', none)).rejects.toMatchObject({
    problem: 'NoAvailableScalingGroup',
  });
});

test('policies: numbers that mean "no limit" become null', async () => {
  expect(await loadKeypairPolicy(db.sql, 'AK-red-worker')).toMatchObject({
    defaultForUnspecified: 'LIMITED',
    totalResourceSlots: { cpu: '4' },
    maxConcurrentSessions: null,
    maxContainersPerSession: 2,
    maxSessionLifetimeSec: null,
    idleTimeoutSec: 60,
  });
  const { userId } = await caller('AK-red-worker');
  expect((await loadUserPolicy(db.sql, userId)).max_quota_scope_size).toBe(-1);
  expect((await loadProjectPolicy(db.sql, secretProject)).max_network_count).toBe(-1);
  await expect(loadKeypairPolicy(db.sql, 'AK-none')).rejects.toMatchObject({ status: 404 });
});
