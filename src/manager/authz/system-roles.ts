/**
 * The roles that every user, project and domain has: what an owner, an administrator and a member may
 * do. Features call this within the change that makes, moves or removes one of them, so that roles
 * and who has them are right at any instant.
 */
import type { Db } from '../db/connect.ts';
import { type ElementType, type Operation, operationBits } from './elements.ts';
import * as store from './system-roles-store.ts';

const ALL: readonly Operation[] = ['create', 'read', 'update', 'soft-delete', 'hard-delete'];
const READ: readonly Operation[] = ['read'];

type Template = Partial<Record<ElementType, readonly Operation[]>>;

/** What people make and use. */
const resources: Template = {
  session: ALL,
  vfolder: ALL,
  model_deployment: ALL,
  image: ALL,
  artifact: ALL,
  artifact_registry: ALL,
  app_config: ALL,
  model_card: ALL,
  notification_channel: ALL,
  notification_rule: ALL,
};

/** Administrators may see that folders and sessions exist, not what is in them. */
const administered: Template = {
  ...resources,
  user: ALL,
  network: ALL,
  role: READ,
  'role:assignment': ALL,
  resource_group: READ,
  container_registry: READ,
};

/**
 * Members use a project together; their sessions stay their own. A domain's members get next to
 * nothing from it, since its scope reaches down to what every user of it owns.
 */
const templates = {
  // What is one's own is allowed without a permission; these are for what somebody adds.
  'user-owner': {},
  'project-admin': { ...administered, project: ['read', 'update'], project_admin_page: READ },
  'project-member': {
    project: READ,
    user: READ,
    session: ['create'],
    vfolder: ['create', 'read'],
    model_deployment: ['create', 'read'],
    image: READ,
    artifact: READ,
    model_card: READ,
    resource_group: READ,
    container_registry: READ,
  },
  'domain-admin': {
    ...administered,
    domain: ['read', 'update'],
    project: ALL,
    domain_admin_page: READ,
  },
  'domain-member': { domain: READ },
} as const satisfies Record<store.SystemRole, Template>;

const rolesOf: Readonly<Record<store.SystemScope, readonly store.SystemRole[]>> = {
  user: ['user-owner'],
  project: ['project-admin', 'project-member'],
  domain: ['domain-admin', 'domain-member'],
};

function permissionsOf(role: store.SystemRole): store.TemplatePermission[] {
  return Object.entries<readonly Operation[] | undefined>(templates[role]).flatMap(
    ([entityType, operations]) =>
      (operations ?? []).map((operation) => ({
        entityType,
        operation,
        bit: operationBits[operation],
      })),
  );
}

async function makeRoles(
  sql: Db,
  scopeType: store.SystemScope,
  ids: readonly string[] | null,
): Promise<void> {
  for (const role of rolesOf[scopeType]) {
    await store.insertSystemRoles(sql, { role, scopeType, ids, permissions: permissionsOf(role) });
  }
}

/** Gives a new domain, project or user its roles, and those that presets provide for such scopes. */
export async function giveRoles(sql: Db, scopeType: store.SystemScope, id: string): Promise<void> {
  await makeRoles(sql, scopeType, [id]);
  await store.insertPresetRoles(sql, scopeType, id);
}

/**
 * Brings the users' memberships in line with their domains and projects: who comes gets the scope's
 * roles that are assigned to all, who leaves loses all of its roles.
 */
export async function followMemberships(sql: Db, userIds: readonly string[]): Promise<void> {
  await store.deleteFormerMemberships(sql, userIds);
  await store.insertNewMemberships(sql, userIds);
}

/** Gives or takes the role of a domain's administrator after a user's account became one or ceased. */
export const followDomainRole = store.setDomainAdmin;

/** Brings everything in line, for rows that were written past the services. */
export async function provideSystemRoles(sql: Db): Promise<void> {
  await makeRoles(sql, 'domain', null);
  await makeRoles(sql, 'project', null);
  await makeRoles(sql, 'user', null);
  await followAllMemberships(sql);
}

async function followAllMemberships(sql: Db): Promise<void> {
  await store.deleteFormerMemberships(sql, null);
  await store.insertNewMemberships(sql, null);
}

/** Removes what is known of an element that is gone, with the roles that existed only for it. */
export const forgetElement = store.deleteElement;

/** Roles and permissions follow a domain that has another name. */
export async function followDomainName(sql: Db, before: string, after: string): Promise<void> {
  if (before === after) return;
  await makeRoles(sql, 'domain', [after]);
  await store.moveDomain(sql, before, after);
}
