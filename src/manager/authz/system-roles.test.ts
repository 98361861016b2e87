/** Everybody's roles, as users, projects, domains and memberships come, change and go. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import type { ChangeContext } from '../audit/service.ts';
import { migrations } from '../db/migrations/index.ts';
import { createDomain, modifyDomain, purgeDomain } from '../domain/manage.ts';
import { createProject, modifyProject, purgeProject } from '../project/manage.ts';
import { createUser, modifyUser, purgeUser } from '../user/manage.ts';
import { provideSystemRoles } from './system-roles.ts';

let tenants: Tenants;
let by: ChangeContext;
beforeAll(async () => {
  tenants = await testTenants();
  const { userId, email, accessKey } = tenants.people.superadmin;
  by = {
    ctx: tenants.ctx,
    requestId: 'test',
    clientAddress: null,
    caller: {
      userId,
      email,
      accessKey,
      username: 'superadmin',
      role: 'superadmin',
      isAdmin: true,
      isSuperadmin: true,
      domainName: 'default',
      resourcePolicy: 'default',
    },
  };
});
afterAll(() => tenants.close());

const newUser = (name: string, more: object = {}) =>
  createUser(by, `${name}@test.example`, {
    username: name,
    password: 'a long enough pass-phrase 1',
    domain_name: 'default',
    resource_policy: 'default',
    ...more,
  });
const newProject = (name: string) =>
  createProject(by, name, {
    domainName: 'default',
    type: 'general',
    resource_policy: 'default',
  });

/** Names of the roles somebody has, with the ids of user and project left out. */
async function rolesOf(userId: string): Promise<string[]> {
  const rows = await tenants.db.sql`
    SELECT r.name FROM user_roles m JOIN roles r ON r.id = m.role_id
     WHERE m.user_id = ${userId} ORDER BY r.name`;
  return rows.map(({ name }) => String(name).replaceAll(/-[0-9a-f]{8}/g, '-#'));
}

/** Everything about roles, comparable whatever ids the rows have. */
async function snapshot() {
  const { sql } = tenants.db;
  return {
    roles: await sql`SELECT id, name, source, status, auto_assign FROM roles ORDER BY id`,
    permissions: await sql`
      SELECT role_id, scope_type, scope_id, entity_type, operation, permission FROM permissions
       ORDER BY role_id, scope_type, scope_id, entity_type, operation`,
    places: await sql`
      SELECT scope_type, scope_id, entity_type, entity_id, relation_type
        FROM association_scopes_entities ORDER BY scope_type, scope_id, entity_type, entity_id`,
    assigned: await sql`SELECT user_id, role_id FROM user_roles ORDER BY user_id, role_id`,
  };
}

test('a database from before has the same roles after its migration as one made by the services', async () => {
  const { sql } = tenants.db;
  const provided = await snapshot();
  expect(provided.assigned.length).toBeGreaterThan(10);
  await sql`TRUNCATE roles, association_scopes_entities CASCADE`;
  const text = migrations.find(({ name }) => name === 'rbac')?.sql ?? '';
  await sql.begin((tx) => tx.unsafe(text.slice(text.indexOf('CREATE TEMPORARY TABLE'))));
  const migrated = await snapshot();
  expect(migrated).toEqual(provided);
  await provideSystemRoles(sql);
  expect(await snapshot()).toEqual(provided);
});

test('a new user has its own role and those of its domain and projects, and nothing stays of it', async () => {
  const projectId = await newProject('garden');
  const { userId } = await newUser('gardener', { projectIds: [projectId] });
  const plain = ['domain-default-member', 'project-#-member', 'user-#'];
  expect(await rolesOf(userId)).toEqual(plain);
  await modifyProject(by, projectId, { members: { mode: 'remove', userIds: [userId] } });
  expect(await rolesOf(userId)).toEqual(['domain-default-member', 'user-#']);
  await modifyProject(by, projectId, { members: { mode: 'add', userIds: [userId] } });
  expect(await rolesOf(userId)).toEqual(plain);
  await purgeUser(by, 'gardener@test.example');
  await purgeProject(by, projectId);
  const { sql } = tenants.db;
  const [left] = await sql`
    SELECT (SELECT count(*)::int FROM association_scopes_entities
             WHERE ${userId} IN (scope_id, entity_id) OR ${projectId} IN (scope_id, entity_id))
         + (SELECT count(*)::int FROM permissions WHERE scope_id IN (${userId}, ${projectId}))
         + (SELECT count(*)::int FROM roles WHERE name LIKE ${`%${userId.slice(0, 8)}%`}
               OR name LIKE ${`%${projectId.slice(0, 8)}%`}) AS n`;
  expect(left?.n).toBe(0);
});

test('leaving a project takes every role of it, also those given by hand', async () => {
  const { sql } = tenants.db;
  const projectId = await newProject('shed');
  const { userId } = await newUser('keeper', { projectIds: [projectId] });
  await sql`INSERT INTO user_roles (user_id, role_id)
    SELECT ${userId}, id FROM roles WHERE name = ${`project-${projectId.slice(0, 8)}-admin`}`;
  expect(await rolesOf(userId)).toContain('project-#-admin');
  await modifyUser(by, 'keeper@test.example', { projectIds: [] });
  expect(await rolesOf(userId)).toEqual(['domain-default-member', 'user-#']);
});

test("administrators have their domain's role as long as they are one, there", async () => {
  const { userId } = await newUser('chief', { role: 'admin' });
  const chief = ['domain-default-admin', 'domain-default-member', 'user-#'];
  expect(await rolesOf(userId)).toEqual(chief);
  await modifyUser(by, 'chief@test.example', { role: 'user' });
  expect(await rolesOf(userId)).toEqual(['domain-default-member', 'user-#']);
  await modifyUser(by, 'chief@test.example', { role: 'admin', domain_name: 'elsewhere' });
  expect(await rolesOf(userId)).toEqual([
    'domain-elsewhere-admin',
    'domain-elsewhere-member',
    'user-#',
  ]);
});

test('what a superadmin took away stays away when the account changes', async () => {
  const { sql } = tenants.db;
  const { userId } = await newUser('humble', { role: 'admin' });
  await sql`DELETE FROM user_roles WHERE user_id = ${userId}
      AND role_id IN (SELECT id FROM roles WHERE name LIKE 'domain-%')`;
  await modifyUser(by, 'humble@test.example', { description: 'changed', projectIds: [] });
  await provideSystemRoles(sql);
  expect(await rolesOf(userId)).toEqual(['user-#']);
});

test('a domain brings roles, keeps who has them under a new name, and takes them along', async () => {
  const { sql } = tenants.db;
  await createDomain(by, 'lab', {});
  const { userId } = tenants.people.user;
  await sql`INSERT INTO user_roles (user_id, role_id)
    SELECT ${userId}, id FROM roles WHERE name = 'domain-lab-admin'`;
  await modifyDomain(by, 'lab', { name: 'laboratory' });
  const names = await rolesOf(userId);
  expect(names).toContain('domain-laboratory-admin');
  expect(names).not.toContain('domain-lab-admin');
  const old = await sql`SELECT 1 FROM permissions WHERE scope_id = 'lab'
    UNION ALL SELECT 1 FROM association_scopes_entities WHERE scope_id = 'lab'`;
  expect(old).toHaveLength(0);
  const [store] = await sql`SELECT id FROM groups WHERE domain_name = 'laboratory'`;
  const [edge] = await sql`SELECT scope_id FROM association_scopes_entities
    WHERE entity_type = 'project' AND entity_id = ${store?.id}`;
  expect(edge?.scope_id).toBe('laboratory');
  await purgeProject(by, store?.id);
  await purgeDomain(by, 'laboratory');
  expect(await sql`SELECT 1 FROM roles WHERE name LIKE 'domain-lab%'`).toHaveLength(0);
});

test('a domain with the longest name has roles too', async () => {
  const name = 'd'.repeat(64);
  await createDomain(by, name, {});
  const rows = await tenants.db.sql`SELECT 1 FROM permissions WHERE scope_id = ${name}`;
  expect(rows.length).toBeGreaterThan(10);
});

test('presets add roles to new scopes; a project member gets those that all get', async () => {
  const { sql } = tenants.db;
  const [preset] = await sql`INSERT INTO role_presets (name, scope_type, auto_assign)
    VALUES ('visitors', 'project', true) RETURNING id`;
  await sql`INSERT INTO role_permission_presets (role_preset_id, entity_type, operation)
    VALUES (${preset?.id}, 'session', 'read')`;
  await sql`INSERT INTO role_presets (name, scope_type, deleted) VALUES ('gone', 'project', true)`;
  const projectId = await newProject('museum');
  const { userId } = await newUser('visitor', { projectIds: [projectId] });
  expect(await rolesOf(userId)).toEqual([
    'domain-default-member',
    'project-#-member',
    'user-#',
    'visitors',
  ]);
  const permissions = await sql`SELECT p.* FROM permissions p JOIN roles r ON r.id = p.role_id
    WHERE r.name IN ('visitors', 'gone')`;
  expect(permissions).toMatchObject([
    { scope_id: projectId, entity_type: 'session', permission: 1 },
  ]);
});
