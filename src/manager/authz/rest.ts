/** HTTP operations on roles, who has them, and scopes. For superadmins. */
import * as v from 'valibot';
import { isoTime } from '../../common/time.ts';
import type { ManagerContext } from '../context.ts';
import type { RoleRow } from '../db/rows.generated.ts';
import { route } from '../http/declare.ts';
import { uuidText } from '../http/parameters.ts';
import type { AuthenticatedRequest, Operation, Route } from '../http/route.ts';
import {
  ordered,
  searchPage as page,
  textFilter,
  toFilter,
  toOrder,
  toPagination,
  toWish,
} from '../http/search.ts';
import { assignRole, revokeRole } from './assignments.ts';
import { elements, elementWords } from './elements.ts';
import * as lists from './lists.ts';
import * as roles from './roles.ts';

const text = v.pipe(v.string(), v.maxLength(1024));
const source = v.picklist(['system', 'custom']);
const status = v.picklist(['active', 'inactive', 'deleted']);
const roleReference = v.object({ role_id: uuidText });
const holder = v.object({ user_id: uuidText, role_id: uuidText });

const toRole = (row: RoleRow) => ({
  id: row.id,
  name: row.name,
  source: row.source,
  status: row.status,
  created_at: isoTime(row.created_at),
  updated_at: isoTime(row.updated_at),
  deleted_at: row.deleted_at && isoTime(row.deleted_at),
  description: row.description,
});

/** Elements that cannot be scopes of permissions, or cannot be entities, in upstream's lists. */
const NO_SCOPES = new Set([
  ...['network', 'kernel', 'routing', 'session_template', 'app_config', 'model_card'],
  ...['resource_preset', 'user_resource_policy', 'project_resource_policy', 'audit_log'],
  ...['event_log', 'project_admin_page', 'domain_admin_page', 'notification_rule'],
  ...['deployment:token', 'deployment:policy', 'deployment:revision', 'image:alias'],
  ...['vfolder:data', 'session:app_service', 'user:email'],
]);
const NO_ENTITIES = new Set([
  ...['storage_host', 'user_resource_policy', 'keypair_resource_policy'],
  ...['project_resource_policy', 'event_log'],
]);

const base = '/admin/rbac';
const reads = { gate: 'any', auth: 'superadmin' } as const;
const changes = { gate: 'all', auth: 'superadmin' } as const;

/** Who reads. */
type ReaderOf = (request: AuthenticatedRequest) => lists.Reader;

function roleRoutes(by: ReaderOf): Route[] {
  return [
    route(
      {
        ...reads,
        method: 'GET',
        path: `${base}/roles/:role_id`,
        summary: 'Tell about a role.',
        takes: { params: roleReference },
      },
      async (request, { params }) => ({
        json: { role: toRole(await lists.getRole(by(request), params.role_id)) },
      }),
    ),
    route(
      {
        ...reads,
        method: 'POST',
        path: `${base}/roles/search`,
        summary: 'List roles.',
        takes: {
          body: v.object({
            filter: v.nullish(
              v.object({
                name: textFilter,
                sources: v.nullish(v.array(source)),
                statuses: v.nullish(v.array(status)),
              }),
            ),
            order: ordered(['name', 'created_at', 'updated_at']),
            ...page,
          }),
        },
      },
      async (request, { body }) => {
        const { name, sources, statuses } = body.filter ?? {};
        const query = {
          filter: {
            name: toFilter(name),
            ...(sources && { source: { in: sources } }),
            ...(statuses && { status: { in: statuses } }),
          },
          orderBy: toOrder(body.order),
        };
        const { rows, total } = await lists.listRoles(by(request), query, toWish(body));
        return { json: { roles: rows.map(toRole), pagination: toPagination(total, body) } };
      },
    ),
    route(
      {
        ...reads,
        method: 'POST',
        path: `${base}/roles/:role_id/assigned-users/search`,
        summary: 'List who has a role.',
        takes: {
          params: roleReference,
          body: v.object({
            filter: v.nullish(
              v.object({
                username: textFilter,
                email: textFilter,
                granted_by: v.nullish(uuidText),
              }),
            ),
            order: ordered(['username', 'email', 'granted_at']),
            ...page,
          }),
        },
      },
      async (request, { params, body }) => {
        const { username, email, granted_by } = body.filter ?? {};
        const query = {
          filter: {
            roleId: { equals: params.role_id },
            username: toFilter(username),
            email: toFilter(email),
            ...(granted_by != null && { grantedBy: { equals: granted_by } }),
          },
          orderBy: toOrder(body.order),
        };
        const { rows, total } = await lists.listAssignments(by(request), query, toWish(body));
        const users = rows.map((row) => ({
          user_id: row.user_id,
          granted_by: row.granted_by,
          granted_at: isoTime(row.granted_at),
        }));
        return { json: { users, pagination: toPagination(total, body) } };
      },
    ),
  ];
}

function scopeRoutes(by: ReaderOf): Route[] {
  return [
    route(
      {
        ...reads,
        method: 'GET',
        path: `${base}/scope-types`,
        summary: 'List the types of scopes.',
        takes: {},
      },
      async () => ({ json: { items: Object.values(elements).filter((t) => !NO_SCOPES.has(t)) } }),
    ),
    route(
      {
        ...reads,
        method: 'GET',
        path: `${base}/entity-types`,
        summary: 'List the types of entities.',
        takes: {},
      },
      async () => ({ json: { items: Object.values(elements).filter((t) => !NO_ENTITIES.has(t)) } }),
    ),
    route(
      {
        ...reads,
        method: 'POST',
        path: `${base}/scopes/:scope_type/search`,
        summary: 'List domains, projects or users as scopes.',
        takes: {
          params: v.object({ scope_type: v.picklist(['domain', 'project', 'user']) }),
          body: v.object({
            filter: v.nullish(v.object({ name: textFilter })),
            order: ordered(['name', 'created_at']),
            ...page,
          }),
        },
      },
      async (request, { params: { scope_type }, body }) => {
        const query = {
          filter: { name: toFilter(body.filter?.name) },
          orderBy: toOrder(body.order),
        };
        const wish = toWish(body);
        const { rows, total } = await lists.listScopes(by(request), scope_type, query, wish);
        const items = rows.map(({ id, name }) => ({ scope_type, scope_id: id, name }));
        return { json: { items, pagination: toPagination(total, body) } };
      },
    ),
    route(
      {
        ...reads,
        method: 'POST',
        path: `${base}/scopes/:scope_type/:scope_id/entities/:entity_type/search`,
        summary: 'List what lies in a scope.',
        takes: {
          params: v.object({
            scope_type: v.pipe(v.string(), v.check(elementWords.isStored, 'no type of scope')),
            scope_id: v.pipe(v.string(), v.maxLength(64)),
            entity_type: v.pipe(v.string(), v.check(elementWords.isStored, 'no type of entity')),
          }),
          body: v.object(page),
        },
      },
      async (request, { params, body }) => {
        const scope = { type: params.scope_type, id: params.scope_id };
        const { entity_type } = params;
        const wish = toWish(body);
        const { rows, total } = await lists.listContents(by(request), scope, entity_type, wish);
        const items = rows.map(({ id }) => ({ entity_type, entity_id: id }));
        return { json: { items, pagination: toPagination(total, body) } };
      },
    ),
  ];
}

function changeRoutes(ctx: ManagerContext): Route[] {
  const by = (request: AuthenticatedRequest) => ({
    ctx,
    caller: request.caller,
    requestId: request.requestId,
    clientAddress: request.clientAddress,
  });
  const removing = (verb: 'delete' | 'purge'): Omit<Operation, 'takes'> & typeof changes => ({
    ...changes,
    method: 'POST',
    path: `${base}/roles/${verb}`,
    summary: verb === 'delete' ? 'Switch a role off.' : 'Remove a role for good.',
  });
  return [
    route(
      {
        ...changes,
        method: 'POST',
        path: `${base}/roles`,
        summary: 'Make a role.',
        takes: {
          body: v.object({
            name: text,
            source: v.optional(source, 'custom'),
            status: v.optional(status, 'active'),
            description: v.nullish(text, null),
          }),
        },
      },
      async (request, { body }) => {
        const wishes = { ...body, autoAssign: false, scopes: [] };
        return { status: 201, json: { role: toRole(await roles.createRole(by(request), wishes)) } };
      },
    ),
    route(
      {
        ...changes,
        method: 'PATCH',
        path: `${base}/roles/:role_id`,
        summary: 'Change a role.',
        takes: {
          params: roleReference,
          body: v.object({
            name: v.nullish(text),
            source: v.nullish(source),
            status: v.nullish(status),
            description: v.optional(v.nullable(text)),
          }),
        },
      },
      async (request, { params, body }) => {
        const role = await roles.updateRole(by(request), params.role_id, {
          ...(body.name != null && { name: body.name }),
          ...(body.source != null && { source: body.source }),
          ...(body.status != null && { status: body.status }),
          ...(body.description !== undefined && { description: body.description }),
        });
        return { json: { role: toRole(role) } };
      },
    ),
    route({ ...removing('delete'), takes: { body: roleReference } }, async (request, { body }) => {
      await roles.deleteRole(by(request), body.role_id);
      return { json: { deleted: true } };
    }),
    route({ ...removing('purge'), takes: { body: roleReference } }, async (request, { body }) => {
      await roles.purgeRole(by(request), body.role_id);
      return { json: { deleted: true } };
    }),
    route(
      {
        ...changes,
        method: 'POST',
        path: `${base}/roles/assign`,
        summary: 'Give a role to a user.',
        // Whoever asks is noted as the giver, whatever a client says.
        takes: { body: v.object({ ...holder.entries, granted_by: v.nullish(uuidText) }) },
      },
      async (request, { body: { role_id: roleId, user_id: userId } }) => {
        const row = await assignRole(by(request), { roleId, projectId: null }, userId);
        const { user_id, role_id, granted_by } = row;
        return { status: 201, json: { user_id, role_id, granted_by } };
      },
    ),
    route(
      {
        ...changes,
        method: 'POST',
        path: `${base}/roles/revoke`,
        summary: 'Take a role from a user.',
        takes: { body: holder },
      },
      async (request, { body }) => {
        const { user_id, role_id } = await revokeRole(by(request), body.role_id, body.user_id);
        return { json: { user_id, role_id } };
      },
    ),
  ];
}

export function rbacRoutes(ctx: ManagerContext): Route[] {
  const by: ReaderOf = ({ caller }) => ({ ctx, caller });
  return [...roleRoutes(by), ...scopeRoutes(by), ...changeRoutes(ctx)];
}
