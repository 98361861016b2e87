/** The gate on real rows: chains of scopes, caps, other tenants, and the switch. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { insertAgent, insertProject, insertSession } from '../../testing/sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import type { Role } from '../http/route.ts';
import type { ElementRef, ElementType, Operation } from './elements.ts';
import { refusedTargets, requirePermission } from './service.ts';

let tenants: Tenants;
let projectId: string;
let sessionId: string;
let kernelId: string;

beforeAll(async () => {
  tenants = await testTenants();
  const { sql } = tenants.db;
  projectId = await insertProject(sql);
  await insertAgent(sql, 'i-1');
  const owner = tenants.people.otherUser;
  ({ sessionId, kernelId } = await insertSession(sql, {
    name: 'theirs',
    owner,
    projectId,
    agentId: 'i-1',
  }));
});
afterAll(() => tenants.close());
beforeEach(async () => {
  await tenants.db.sql`TRUNCATE roles CASCADE`;
  await tenants.db.sql`TRUNCATE association_scopes_entities`;
});

type Person = keyof Tenants['people'];
const ROLES: Readonly<Record<Person, Role>> = {
  ...{ superadmin: 'superadmin', admin: 'admin', user: 'user', monitor: 'monitor' },
  ...{ otherAdmin: 'admin', otherUser: 'user' },
};
const asPerson = (who: Person, settings: Partial<Tenants['ctx']['settings']> = {}) => ({
  ctx: { ...tenants.ctx, settings: { ...tenants.ctx.settings, ...settings } },
  caller: {
    userId: tenants.people[who].userId,
    isSuperadmin: who === 'superadmin',
    role: ROLES[who],
    domainName: who.startsWith('other') ? 'elsewhere' : 'default',
  },
});

async function giveRole(
  who: Person,
  scope: ElementRef,
  entityType: ElementType,
  operation: Operation,
  status = 'active',
): Promise<void> {
  const { sql } = tenants.db;
  const [role] =
    await sql`INSERT INTO roles (name, status) VALUES ('keeper', ${status}) RETURNING id`;
  await sql`INSERT INTO permissions (role_id, scope_type, scope_id, entity_type, operation)
    VALUES (${role?.id}, ${scope.type}, ${scope.id}, ${entityType}, ${operation})`;
  await sql`INSERT INTO user_roles (user_id, role_id)
    VALUES (${tenants.people[who].userId}, ${role?.id})`;
}

async function may(who: Person, operation: Operation, entityType: ElementType, target: ElementRef) {
  const refused = await refusedTargets(asPerson(who), operation, entityType, {
    type: target.type,
    ids: [target.id],
  });
  return refused.size === 0;
}

test('a role in a project reaches what runs in it and nothing else', async () => {
  await giveRole('user', { type: 'project', id: projectId }, 'session', 'read');
  expect(await may('user', 'read', 'session', { type: 'project', id: projectId })).toBe(true);
  expect(await may('user', 'read', 'session', { type: 'session', id: sessionId })).toBe(true);
  expect(await may('user', 'update', 'session', { type: 'session', id: sessionId })).toBe(false);
  expect(await may('user', 'read', 'kernel', { type: 'kernel', id: kernelId })).toBe(false);
  const other = { type: 'project', id: tenants.projects.elsewhere } as const;
  expect(await may('user', 'read', 'session', other)).toBe(false);
  expect(await may('otherAdmin', 'read', 'session', { type: 'session', id: sessionId })).toBe(
    false,
  );
});

test.each<[ElementRef['type'], () => string]>([
  ['session', () => sessionId],
  ['user', () => tenants.people.otherUser.userId],
  ['project', () => projectId],
  ['domain', () => 'default'],
  ['domain', () => 'elsewhere'],
])('a session lies in its own %s', async (type, id) => {
  await giveRole('user', { type, id: id() }, 'session', 'update');
  expect(await may('user', 'update', 'session', { type: 'session', id: sessionId })).toBe(true);
});

test('what is one’s own needs no role, and stays closed to others', async () => {
  for (const [type, id] of [
    ['session', sessionId],
    ['user', tenants.people.otherUser.userId],
    ['keypair', tenants.people.otherUser.accessKey],
  ] as const) {
    expect(await may('otherUser', 'update', type, { type, id })).toBe(true);
    for (const who of ['user', 'admin', 'otherAdmin', 'monitor'] as const) {
      expect(await may(who, 'update', type, { type, id })).toBe(false);
    }
  }
  expect(await may('otherUser', 'read', 'kernel', { type: 'kernel', id: kernelId })).toBe(true);
  const project = { type: 'project', id: projectId } as const;
  expect(await may('otherUser', 'read', 'session', project)).toBe(false);
});

test('membership in a project does not put a person into it', async () => {
  const { sql } = tenants.db;
  const member = tenants.people.user.userId;
  await sql`INSERT INTO association_scopes_entities
      (scope_type, scope_id, entity_type, entity_id, relation_type)
    VALUES ('project', ${projectId}, 'user', ${member}, 'ref')`;
  await giveRole('admin', { type: 'project', id: projectId }, 'user', 'update');
  expect(await may('admin', 'update', 'user', { type: 'user', id: member })).toBe(false);
  expect(await may('admin', 'update', 'user', { type: 'project', id: projectId })).toBe(true);
});

test('associations widen the chain, as far as their caps let operations through', async () => {
  const { sql } = tenants.db;
  const group = { type: 'resource_group', id: 'gpu' } as const;
  await giveRole('user', { type: 'domain', id: 'default' }, 'resource_group', 'read');
  await giveRole('user', { type: 'domain', id: 'default' }, 'resource_group', 'update');
  expect(await may('user', 'read', 'resource_group', group)).toBe(false);
  await sql`INSERT INTO association_scopes_entities
      (scope_type, scope_id, entity_type, entity_id, permission_cap)
    VALUES ('project', ${projectId}, 'resource_group', 'gpu', 1)`;
  expect(await may('user', 'read', 'resource_group', group)).toBe(true);
  expect(await may('user', 'update', 'resource_group', group)).toBe(false);
});

test('associations that form a circle end', async () => {
  const { sql } = tenants.db;
  await sql`INSERT INTO association_scopes_entities (scope_type, scope_id, entity_type, entity_id)
    VALUES ('vfolder', 'a', 'artifact', 'b'), ('artifact', 'b', 'vfolder', 'a')`;
  expect(await may('user', 'read', 'artifact', { type: 'artifact', id: 'b' })).toBe(false);
});

test('ids that are no UUIDs, or of nothing, are refused like any other', async () => {
  await giveRole('user', { type: 'project', id: projectId }, 'session', 'read');
  for (const id of ['', "'; DROP TABLE roles; --", crypto.randomUUID(), 'x'.repeat(100_000)]) {
    expect(await may('user', 'read', 'session', { type: 'session', id })).toBe(false);
  }
  const upper = { type: 'session', id: sessionId.toUpperCase() } as const;
  expect(await may('user', 'read', 'session', upper)).toBe(true);
});

test('of many targets those that are refused are named, with the reason', async () => {
  await giveRole('user', { type: 'project', id: projectId }, 'session', 'hard-delete', 'inactive');
  const ids = [sessionId, crypto.randomUUID()];
  const targets = { type: 'session', ids } as const;
  const refused = await refusedTargets(asPerson('user'), 'hard-delete', 'session', targets);
  expect([...refused.keys()]).toEqual(ids);
  expect(refused.get(sessionId)).toBe("Your role 'keeper' would allow it, but is inactive.");
  const many = { type: 'session', ids: Array.from({ length: 1001 }, () => sessionId) } as const;
  await expect(refusedTargets(asPerson('user'), 'read', 'session', many)).rejects.toThrow(
    'At most 1000 ids',
  );
});

test('superadmins pass everywhere; without enforcement administrators do in their domain', async () => {
  const target = { type: 'session', id: sessionId } as const;
  await requirePermission(asPerson('superadmin'), 'hard-delete', 'session', target);
  const off = { rbacEnforced: false };
  // The session lies in a project of the one domain and belongs to a user of the other.
  await requirePermission(asPerson('admin', off), 'update', 'session', target);
  await requirePermission(asPerson('otherAdmin', off), 'update', 'session', target);
  for (const [who, settings] of [
    ...(['admin', 'user', 'monitor', 'otherAdmin'] as const).map((who) => [who, {}] as const),
    ...(['user', 'monitor'] as const).map((who) => [who, off] as const),
  ]) {
    await expect(
      requirePermission(asPerson(who, settings), 'update', 'session', target),
    ).rejects.toMatchObject({ problem: 'NotEnoughPermission' });
  }
});
