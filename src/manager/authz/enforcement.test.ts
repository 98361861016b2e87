/**
 * What roles really allow, through the fields that they guard: an administrator of one project acts in
 * it, a member does not, and nobody acts in a project of somebody else.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { type TenantSessions, tenantSessions } from '../../testing/tenant-sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

/** How those are refused who may not: what is not theirs to see is not there for them. */
const REFUSAL = /None of your roles|is inactive|^No such session|You may not end|^$/;

let tenants: Tenants;
let sessions: TenantSessions;
let projectId: string;
/** The role of the administrators of `projectId`. */
let adminRole: string;

beforeAll(async () => {
  tenants = await testTenants();
  sessions = await tenantSessions(tenants);
  projectId = tenants.projects.default;
  const name = `project-${projectId.slice(0, 8)}-admin`;
  const [role] = await tenants.db.sql`SELECT id FROM roles WHERE name = ${name}`;
  adminRole = String(role?.id);
});
afterAll(() => tenants.close());
beforeEach(async () => {
  await tenants.db.sql`DELETE FROM user_roles WHERE role_id = ${adminRole}`;
});

type Who = 'user' | 'monitor' | 'admin' | 'otherUser' | 'otherAdmin' | 'superadmin';
const everybody: readonly Who[] = [
  'user',
  'monitor',
  'admin',
  'otherUser',
  'otherAdmin',
  'superadmin',
];

const give = (role: string, who: Who) =>
  tenants.ask(
    'superadmin',
    `mutation { adminAssignRole(input: { roleId: "${role}", userId: "${tenants.people[who].userId}" }) { id } }`,
  );

/** Those whom the document is answered to. Each gets a document of its own. */
async function answered(document: (who: Who) => string | Promise<string>): Promise<Who[]> {
  const out: Who[] = [];
  for (const who of everybody) {
    const { data, errors } = await tenants.ask(who, await document(who));
    const value = Object.values(data ?? {})[0] ?? null;
    if (errors === null && value !== null) out.push(who);
    else expect(errors?.[0]?.message ?? '').toMatch(REFUSAL);
  }
  return out;
}

const listUsers = () => `{ projectUsersV2(scope: { projectId: "${projectId}" }) {
  edges { node { basicInfo { email } } } } }`;
const listSessions = () =>
  `{ projectSessionsV2(scope: { projectId: "${projectId}" }) { edges { node { id } } } }`;
const listRoles = () => `{ projectRoles(projectId: "${projectId}") { count } }`;

/** A document about a new session of the superadmin in the project. */
const aboutSession = (text: (id: string) => string) => async (who: Who) => {
  const { sessionId } = await sessions.insert('superadmin', `of-${who}-${crypto.randomUUID()}`, {
    projectId,
  });
  return text(sessionId);
};
const endSession = aboutSession(
  (id) =>
    `mutation { terminateSessionsV2(sessionIds: ["${id}"], forced: true) { forceTerminated } }`,
);
const readSession = aboutSession((id) => `{ sessionV2(id: "${id}") { metadata { name } } }`);
const readHistory = aboutSession(
  (id) => `{ sessionScopedSchedulingHistories(scope: { sessionId: "${id}" }) { count } }`,
);
const takeOut = async () => {
  const { sql } = tenants.db;
  const guest = crypto.randomUUID();
  await sql`INSERT INTO users (uuid, username, email, status, domain_name, role, resource_policy,
      sudo_session_enabled)
    VALUES (${guest}, ${guest}, ${`${guest}@test.example`}, 'active', 'default', 'user', 'default',
      false)`;
  await sql`INSERT INTO association_groups_users (user_id, group_id) VALUES (${guest}, ${projectId})`;
  return `mutation { unassignUsersFromProjectV2(projectId: "${projectId}",
    input: { userIds: ["${guest}"] }) { unassignedUsers { id } } }`;
};

describe('the administrators of a project and of its domain, and superadmins', () => {
  const guarded: readonly [string, (who: Who) => string | Promise<string>][] = [
    ['see its roles', listRoles],
    ['see its sessions', listSessions],
    ['end sessions of others in it', endSession],
    ['take people out of it', takeOut],
  ];
  test.each(guarded)('%s; members and others do not', async (_, document) => {
    expect(await answered(document)).toEqual(['admin', 'superadmin']);
    await give(adminRole, 'user');
    expect(await answered(document)).toEqual(['user', 'admin', 'superadmin']);
    await tenants.db.sql`UPDATE roles SET status = 'inactive' WHERE id = ${adminRole}`;
    expect(await answered(document)).toEqual(['admin', 'superadmin']);
    await tenants.db.sql`UPDATE roles SET status = 'active' WHERE id = ${adminRole}`;
  });

  test.each([
    ['a session in it', readSession],
    ['what happened to one', readHistory],
  ])('read %s; monitors do too', async (_, document) => {
    expect(await answered(document)).toEqual(['monitor', 'admin', 'superadmin']);
    await give(adminRole, 'user');
    expect(await answered(document)).toEqual(['user', 'monitor', 'admin', 'superadmin']);
  });
});

test('members see who else is in the project, others do not', async () => {
  expect(await answered(listUsers)).toEqual(['user', 'admin', 'superadmin']);
});

test('the role says nothing about other projects, of the own domain or another', async () => {
  const { sql } = tenants.db;
  await give(adminRole, 'user');
  const second = crypto.randomUUID();
  await sql`INSERT INTO groups (id, name, is_active, domain_name, total_resource_slots,
      allowed_vfolder_hosts, dotfiles, resource_policy, type)
    VALUES (${second}, 'second', true, 'default', '{}', '{}', '\\x90', 'default', 'general')`;
  for (const other of [second, tenants.projects.elsewhere]) {
    const owner = other === second ? 'superadmin' : 'otherUser';
    const { sessionId } = await sessions.insert(owner, 'theirs', { projectId: other });
    for (const document of [
      `{ projectRoles(projectId: "${other}") { count } }`,
      `{ projectUsersV2(scope: { projectId: "${other}" }) { count } }`,
      `{ projectSessionsV2(scope: { projectId: "${other}" }) { count } }`,
      `{ sessionV2(id: "${sessionId}") { id } }`,
      `mutation { terminateSessionsV2(sessionIds: ["${sessionId}"], forced: true) { forceTerminated } }`,
      `mutation { unassignUsersFromProjectV2(projectId: "${other}",
        input: { userIds: ["${tenants.people.otherUser.userId}"] }) { unassignedUsers { id } } }`,
    ]) {
      const { data, errors } = await tenants.ask('user', document);
      expect(Object.values(data ?? {})).toEqual([null]);
      expect(errors?.[0]?.message).toMatch(REFUSAL);
    }
    const [row] = await sql`SELECT status FROM sessions WHERE id = ${sessionId}`;
    expect(row?.status).toBe('RUNNING');
  }
});

test('one session among others that is not allowed keeps all of them', async () => {
  await give(adminRole, 'user');
  const mine = await sessions.insert('user', 'mine', { projectId });
  const theirs = await sessions.insert('otherUser', 'far');
  const ids = `["${mine.sessionId}", "${theirs.sessionId}"]`;
  const { errors } = await tenants.ask(
    'user',
    `mutation { terminateSessionsV2(sessionIds: ${ids}, forced: true) { forceTerminated } }`,
  );
  expect(errors?.[0]?.message).toMatch(REFUSAL);
  const rows = await tenants.db.sql`
    SELECT status FROM sessions WHERE id IN (${mine.sessionId}, ${theirs.sessionId})`;
  expect(rows.map(({ status }) => status)).toEqual(['RUNNING', 'RUNNING']);
});

test('a role that people made allows exactly what it says', async () => {
  const made = await tenants.ask(
    'superadmin',
    `mutation { adminCreateRole(input: { name: "enders",
      scopes: [{ scopeType: PROJECT, scopeId: "${projectId}" }] }) { id } }`,
  );
  expect(made.errors).toBeNull();
  const [role] = await tenants.db.sql`SELECT id FROM roles WHERE name = 'enders'`;
  const { errors } = await tenants.ask(
    'superadmin',
    `mutation { adminCreatePermission(input: { roleId: "${role?.id}", scopeType: PROJECT,
      scopeId: "${projectId}", entityType: SESSION, operation: SOFT_DELETE }) { id } }`,
  );
  expect(errors).toBeNull();
  await give(String(role?.id), 'user');
  expect(await answered(endSession)).toEqual(['user', 'admin', 'superadmin']);
  expect(await answered(takeOut)).toEqual(['admin', 'superadmin']);
  expect(await answered(listRoles)).toEqual(['admin', 'superadmin']);
});

describe('without enforcement', () => {
  let open: Tenants;
  beforeAll(async () => {
    open = await testTenants({ settings: { rbacEnforced: false } });
  });
  afterAll(() => open.close());

  test('projects and what happened in them are for their members and administrators all the same', async () => {
    const { default: project } = open.projects;
    const nobody = crypto.randomUUID();
    const documents: readonly (readonly [string, readonly Who[]])[] = [
      [
        `{ projectUsersV2(scope: { projectId: "${project}" }) { count } }`,
        ['user', 'admin', 'superadmin'],
      ],
      [
        `mutation { unassignUsersFromProjectV2(projectId: "${project}",
          input: { userIds: ["${nobody}"] }) { unassignedUsers { id } } }`,
        ['admin', 'superadmin'],
      ],
      [
        `{ scopedAuditLogsV2(scope: { entity: [{ entityType: PROJECT, entityId: "${project}" }] })
          { count } }`,
        ['admin', 'superadmin'],
      ],
      [
        `{ projectSessionsV2(scope: { projectId: "${project}" }) { count } }`,
        ['admin', 'superadmin'],
      ],
    ];
    for (const [document, allowed] of documents) {
      const answered: Who[] = [];
      for (const who of everybody) {
        const { errors } = await open.ask(who, document);
        if (errors === null) answered.push(who);
        else expect(errors[0]?.message).toContain('None of your roles');
      }
      expect({ document, answered }).toEqual({ document, answered: [...allowed] });
    }
  });
});
