/** Invitations to roles, and role presets, through GraphQL. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { rawIdOf } from '../graphql/global-id.ts';
import { answerInvitation, inviteToRole } from './invitations.ts';

let tenants: Tenants;
/** The administrator's and another role of the project of `default`. */
let adminRole: string;
let projectId: string;

beforeAll(async () => {
  tenants = await testTenants();
  projectId = tenants.projects.default;
  const { sql } = tenants.db;
  const [role] =
    await sql`SELECT id FROM roles WHERE name = ${`project-${projectId.slice(0, 8)}-admin`}`;
  adminRole = String(role?.id);
  await sql`INSERT INTO user_roles (user_id, role_id)
    VALUES (${tenants.people.user.userId}, ${adminRole})`;
});
afterAll(() => tenants.close());

type Who = Parameters<Tenants['ask']>[0];

async function answer(who: Who, query: string, variables?: unknown) {
  const { data, errors } = await tenants.ask(who, query, variables);
  expect(errors).toBeNull();
  return data;
}

async function refusal(who: Who, query: string, variables?: unknown): Promise<string> {
  const { data, errors } = await tenants.ask(who, query, variables);
  expect(Object.values(data ?? {})).toEqual([null]);
  return errors?.[0]?.message ?? 'no error';
}

const invite = `mutation ($input: CreateRoleInvitationInput!) { createRoleInvitation(input: $input) {
  items { id inviteeUserId inviterUserId roleId state createdAt role { name } } } }`;
const sent = v.object({
  createRoleInvitation: v.object({ items: v.array(v.looseObject({ id: v.string() })) }),
});

/** Invites people; the raw ids of the invitations. */
async function send(who: Who, roleId: string, emails: string[]): Promise<string[]> {
  const data = v.parse(sent, await answer(who, invite, { input: { roleId, emails } }));
  return data.createRoleInvitation.items.map(({ id }) => rawIdOf(id));
}

const settle = (field: string, id: string) =>
  `mutation { ${field}(input: { invitationId: "${id}" }) { state } }`;

const holds = async (userId: string, roleId: string): Promise<boolean> =>
  (
    await tenants.db.sql`SELECT 1 FROM user_roles
      WHERE user_id = ${userId} AND role_id = ${roleId}`
  ).length > 0;

test('who runs a project invites to its roles; only the invited take them', async () => {
  const { monitor, otherUser, user } = tenants.people;
  const emails = [monitor.email, 'nobody@test.example', user.email];
  const [id, ...none] = await send('user', adminRole, emails);
  expect(none).toEqual([]);
  expect(await send('user', adminRole, emails)).toEqual([]);
  const mine = '{ myRoleInvitations { count edges { node { state inviterUserId } } } }';
  expect(await answer('monitor', mine)).toEqual({
    myRoleInvitations: {
      count: 1,
      edges: [{ node: { state: 'PENDING', inviterUserId: user.userId } }],
    },
  });
  expect(await answer('otherUser', mine)).toEqual({ myRoleInvitations: { count: 0, edges: [] } });
  const accept = settle('acceptRoleInvitation', String(id));
  for (const who of ['otherUser', 'user', 'superadmin'] as const) {
    expect(await refusal(who, accept)).toContain('There is no invitation');
  }
  expect(await holds(monitor.userId, adminRole)).toBe(false);
  expect(await answer('monitor', accept)).toEqual({ acceptRoleInvitation: { state: 'ACCEPTED' } });
  expect(await holds(monitor.userId, adminRole)).toBe(true);
  expect(await refusal('monitor', accept)).toContain('is accepted already');
  expect(await refusal('monitor', settle('rejectRoleInvitation', String(id)))).toContain('Cannot');
  const [noted] = await tenants.db.sql`SELECT count(*)::int AS n FROM audit_logs
    WHERE entity_id = ${adminRole} AND operation = 'associate'`;
  expect(noted?.n).toBe(1);
  expect(await holds(otherUser.userId, adminRole)).toBe(false);
});

test('nobody hands out more than the own scope', async () => {
  const { sql } = tenants.db;
  const { user } = tenants.people;
  const input = { roleId: adminRole, emails: [user.email] };
  for (const who of ['otherUser', 'otherAdmin'] as const) {
    expect(await refusal(who, invite, { input })).toContain('None of your roles');
  }
  // A role of the project that also reaches the domain is not the project's to give.
  const [wide] = await sql`INSERT INTO roles (name, source) VALUES ('wide', 'custom') RETURNING id`;
  await sql`INSERT INTO association_scopes_entities (scope_type, scope_id, entity_type, entity_id)
    VALUES ('project', ${projectId}, 'role', ${wide?.id})`;
  const widely = { input: { roleId: wide?.id, emails: [user.email] } };
  await answer('monitor', invite, { input: { ...widely.input, emails: [] } });
  await sql`INSERT INTO permissions (role_id, scope_type, scope_id, entity_type, operation)
    VALUES (${wide?.id}, 'domain', 'default', 'user', 'update')`;
  const told = await refusal('monitor', invite, widely);
  expect(told).toContain('None of your roles lets you invite people');
  expect(told).not.toContain('default');
  await answer('admin', invite, { input: { ...widely.input, emails: [] } });
  const none = { input: { roleId: crypto.randomUUID(), emails: [user.email] } };
  expect(await refusal('monitor', invite, none)).toContain('None of your roles');
  expect(await refusal('superadmin', invite, none)).toContain('There is no role');
  await sql`UPDATE roles SET status = 'inactive' WHERE id = ${wide?.id}`;
  expect(await refusal('superadmin', invite, widely)).toContain('is inactive');
});

test('roles of a domain are for its people, and nobody joins from outside by an invitation', async () => {
  const { sql } = tenants.db;
  const { otherUser } = tenants.people;
  expect(await send('user', adminRole, [otherUser.email])).toEqual([]);
  // Invited inside, gone elsewhere before the answer.
  const leaver = crypto.randomUUID();
  await sql`INSERT INTO users (uuid, username, email, status, domain_name, role, resource_policy,
      sudo_session_enabled)
    VALUES (${leaver}, 'leaver', 'leaver@test.example', 'active', 'default', 'user', 'default', false)`;
  const [id] = await send('user', adminRole, ['leaver@test.example']);
  const context = { ctx: tenants.ctx, requestId: 'test', clientAddress: null };
  const caller = {
    ...{ userId: leaver, email: 'leaver@test.example', accessKey: 'x', username: 'leaver' },
    ...{ role: 'user' as const, isAdmin: false, isSuperadmin: false },
    ...{ domainName: 'elsewhere', resourcePolicy: 'default' },
  };
  await sql`UPDATE users SET domain_name = 'elsewhere' WHERE uuid = ${leaver}`;
  const accepting = answerInvitation({ ...context, caller }, String(id), 'accepted');
  await expect(accepting).rejects.toThrow('not yours any more');
  expect(await holds(leaver, adminRole)).toBe(false);
});

test('without enforcement nobody gives roles to himself', async () => {
  const { userId, email } = tenants.people.otherUser;
  const caller = {
    ...{ userId, email, accessKey: 'x', username: 'x', role: 'user' as const, isAdmin: false },
    ...{ isSuperadmin: false, domainName: 'elsewhere', resourcePolicy: 'default' },
  };
  const ctx = { ...tenants.ctx, settings: { ...tenants.ctx.settings, rbacEnforced: false } };
  const by = { ctx, caller, requestId: 'test', clientAddress: null };
  await expect(inviteToRole(by, adminRole, [email])).rejects.toThrow('None of your roles');
});

test('an invitation is declined or withdrawn, and may come again', async () => {
  const { otherUser } = tenants.people;
  const [id] = await send('superadmin', adminRole, [otherUser.email]);
  const reject = settle('rejectRoleInvitation', String(id));
  const cancel = settle('adminCancelRoleInvitation', String(id));
  expect(await refusal('user', cancel)).toContain('Admin exclusive access');
  expect(await answer('otherUser', reject)).toEqual({
    rejectRoleInvitation: { state: 'REJECTED' },
  });
  expect(await answer('otherUser', reject)).toEqual({
    rejectRoleInvitation: { state: 'REJECTED' },
  });
  expect(await refusal('superadmin', cancel)).toContain('is rejected already');
  expect(await send('superadmin', adminRole, [otherUser.email])).toEqual([String(id)]);
  expect(await answer('superadmin', cancel)).toEqual({
    adminCancelRoleInvitation: { state: 'CANCELED' },
  });
  const accept = settle('acceptRoleInvitation', String(id));
  expect(await refusal('otherUser', accept)).toContain('is canceled already');
  expect(await holds(otherUser.userId, adminRole)).toBe(false);
});

test('invitations are listed by who sent them, to which role and in which state', async () => {
  const ofRole = `{ roleScopedRoleInvitations(roleId: "${adminRole}",
    orderBy: [{ field: CREATED_AT, direction: ASC }]) { edges { node { state } } } }`;
  expect(await tenants.outcomes(ofRole)).toEqual({
    superadmin: 'data',
    admin: 'data',
    user: 'data',
    monitor: 'data',
    otherAdmin: 'error',
    otherUser: 'error',
  });
  const all = `query ($filter: RoleInvitationFilter) {
    adminRoleInvitations(filter: $filter) { count edges { node { state } } } }`;
  const filter = {
    state: { in: ['ACCEPTED'] },
    role: { name: { startsWith: 'project-' } },
    invitee: { email: { equals: tenants.people.monitor.email } },
    inviter: { email: { equals: tenants.people.user.email } },
  };
  expect(await answer('superadmin', all, { filter })).toEqual({
    adminRoleInvitations: { count: 1, edges: [{ node: { state: 'ACCEPTED' } }] },
  });
  expect(await answer('user', '{ mySentRoleInvitations { count } }')).toEqual({
    mySentRoleInvitations: { count: 2 },
  });
});

test('presets are kept by superadmins', async () => {
  const create = `mutation ($input: CreateRolePresetInput!) { adminCreateRolePreset(input: $input) {
    rolePreset { id name scopeType autoAssign deleted
      permissionPresets { count edges { node { id entityType operation } } } } } }`;
  const permissions = [{ entityType: 'SESSION', operation: 'READ' }];
  const input = { name: 'visitors', scopeType: 'PROJECT', autoAssign: true, permissions };
  const data = await answer('superadmin', create, { input });
  const preset = { name: 'visitors', scopeType: 'PROJECT', autoAssign: true, deleted: false };
  expect(data?.adminCreateRolePreset).toMatchObject({
    rolePreset: { ...preset, permissionPresets: { count: 1, edges: [{ node: permissions[0] }] } },
  });
  const made = v.object({
    adminCreateRolePreset: v.object({ rolePreset: v.looseObject({ id: v.string() }) }),
  });
  const { id } = v.parse(made, data).adminCreateRolePreset.rolePreset;
  const session = { ...input, scopeType: 'SESSION' };
  expect(await refusal('superadmin', create, { input: session })).toContain('there is none for');

  const update = `mutation { adminUpdateRolePreset(input: { rolePresetId: "${id}", name: "guests" }) {
    rolePreset { name autoAssign } } }`;
  expect(await answer('superadmin', update)).toEqual({
    adminUpdateRolePreset: { rolePreset: { name: 'guests', autoAssign: true } },
  });
  const add = `mutation ($permissions: [RolePermissionPresetEntryInput!]!) {
    adminBulkAddRolePresetPermissions(input: { rolePresetId: "${id}", permissions: $permissions }) {
      items { id entityType operation } failed { entityType operation message } } }`;
  const more = [...permissions, { entityType: 'VFOLDER', operation: 'CREATE' }];
  const added = await answer('superadmin', add, { permissions: more });
  expect(added?.adminBulkAddRolePresetPermissions).toMatchObject({
    items: [more[1]],
    failed: [{ ...more[0], message: 'The preset has this permission already.' }],
  });
  const missing = crypto.randomUUID();
  const many = (field: string) =>
    `mutation { ${field}(input: { rolePresetIds: ["${id}", "${missing}"] }) {
      items { name deleted } failed { rolePresetId message } } }`;
  const failed = [{ rolePresetId: missing, message: `There is no role preset ${missing}.` }];
  expect(await answer('superadmin', many('adminDeleteRolePresets'))).toEqual({
    adminDeleteRolePresets: { items: [{ name: 'guests', deleted: true }], failed },
  });
  const list = `{ adminRolePresets(filter: { deleted: true, scopeType: { equals: PROJECT } }) {
    count edges { node { name permissionPresets(orderBy: [{ field: ENTITY_TYPE, direction: ASC }]) {
      edges { node { id entityType } } } } } } }`;
  const listed = await answer('superadmin', list);
  expect(listed).toMatchObject({ adminRolePresets: { count: 1 } });
  expect(await answer('superadmin', many('adminRestoreRolePresets'))).toMatchObject({
    adminRestoreRolePresets: { items: [{ deleted: false }], failed },
  });
  const [stored] = await tenants.db.sql`SELECT id FROM role_permission_presets
    WHERE entity_type = 'session'`;
  const remove = `mutation { adminBulkRemoveRolePresetPermissions(input: {
    permissionPresetIds: ["${stored?.id}", "${missing}"] }) {
      items { entityType } failed { permissionPresetId } } }`;
  expect(await answer('superadmin', remove)).toEqual({
    adminBulkRemoveRolePresetPermissions: {
      items: [{ entityType: 'SESSION' }],
      failed: [{ permissionPresetId: missing }],
    },
  });
  const one = `{ adminRolePreset(id: "${id}") { permissionPresets { count } } }`;
  expect(await answer('superadmin', one)).toEqual({
    adminRolePreset: { permissionPresets: { count: 1 } },
  });
  expect(await answer('superadmin', many('adminPurgeRolePresets'))).toMatchObject({
    adminPurgeRolePresets: { items: [{ name: 'guests' }], failed },
  });
  expect(await refusal('superadmin', one)).toContain('There is no role preset');
  expect(await refusal('superadmin', one.replace(id, 'x'))).toContain("'x' is no id");
});
