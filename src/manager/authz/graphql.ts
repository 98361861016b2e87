/** GraphQL fields about roles, what they allow, where they lie and who has them. */
import { BackendError } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import type {
  AssociationScopeEntityRow,
  PermissionRow,
  RoleRow,
  UserRoleRow,
} from '../db/rows.generated.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import { batched } from '../graphql/loaders.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import type {
  RolepermissionsArgs,
  RolescopesArgs,
  RoleusersArgs,
} from '../graphql/resolvers.generated.ts';
import { nestedV2List, v2ListField } from '../graphql/v2-list.ts';
import { loadUserV2 } from '../user/v2-graphql.ts';
import { type Action, entityActions, permissionMatrix, scopeContents } from './actions.ts';
import { elementWords, operationWords } from './elements.ts';
import { loadEntity } from './entities.ts';
import * as lists from './lists.ts';
import { typeDefs } from './schema.ts';

const idOf = ({ id }: { readonly id: string }): string => id;

/** The role that a row refers to. */
export const loadRole = batched((ids: readonly string[], context) => lists.rolesById(context, ids));

const permissionsOf = nestedV2List<PermissionRow, RolepermissionsArgs>({
  idOf,
  load: ({ ctx }, ids, args, wish) => lists.permissionsOfRoles(ctx.sql, ids, args, wish),
});
const placesOf = nestedV2List<AssociationScopeEntityRow, RolescopesArgs>({
  idOf,
  load: ({ ctx }, ids, args, wish) => lists.placesOfRoles(ctx.sql, ids, args, wish),
});
const holdersOf = nestedV2List<UserRoleRow, RoleusersArgs>({ idOf, load: lists.holdersOfRoles });
const hiddenBecause = batched((ids: readonly string[], context) =>
  lists.hiddenHolders(context, ids),
);

const SOURCES: Readonly<Record<string, 'SYSTEM' | 'CUSTOM'>> = {
  system: 'SYSTEM',
  custom: 'CUSTOM',
};
const STATUSES: Readonly<Record<string, 'ACTIVE' | 'INACTIVE' | 'DELETED'>> = {
  active: 'ACTIVE',
  inactive: 'INACTIVE',
  deleted: 'DELETED',
};

function known<T>(value: T | undefined, stored: string): T {
  if (value === undefined) throw new Error(`a role has the unknown word '${stored}'`);
  return value;
}

const toAction = ({ name, description, operation }: Action) => ({
  operation: name,
  description,
  requiredPermission: operationWords.member(operation),
});

/** Superadmins find any role by its id, others those they have. */
async function findRole(context: GraphqlContext, id: string): Promise<RoleRow | null> {
  if (!isUuid(id)) return null;
  if (context.caller.isSuperadmin) return loadRole(context, id);
  const own = await lists.listOwnAssignments(
    context,
    { filter: { roleId: { equals: id } } },
    { page: { mode: 'offset', limit: 1, offset: 0 }, rows: true, count: false },
  );
  return own.rows.length > 0 ? loadRole(context, id) : null;
}

export const rolesGraphql: GraphqlModule = {
  typeDefs,
  nodes: { Role: findRole },
  resolvers: {
    Query: {
      adminRole: (_root, { id }, context) => lists.getRole(context, id),
      adminRoles: (_root, args, context, info) =>
        v2ListField(args, info, { idOf, load: (wish) => lists.listRoles(context, args, wish) }),
      adminPermissions: (_root, args, context, info) =>
        v2ListField(args, info, {
          idOf,
          load: (wish) => lists.listPermissions(context, args, wish),
        }),
      adminRoleAssignments: (_root, args, context, info) =>
        v2ListField(args, info, {
          idOf,
          load: (wish) => lists.listAssignments(context, args, wish),
        }),
      myRoles: (_root, args, context, info) =>
        v2ListField(args, info, {
          idOf,
          load: (wish) => lists.listOwnAssignments(context, args, wish),
        }),
      projectRoles: (_root, args, context, info) =>
        v2ListField(args, info, {
          idOf,
          load: (wish) => lists.listRolesOfProject(context, args.projectId, args, wish),
        }),
      rbacScopeEntityCombinations: () =>
        Object.entries(scopeContents).map(([scope, contents]) => ({
          scopeType: elementWords.member(scope),
          validEntityTypes: contents.map(elementWords.member).sort(),
        })),
      rbacEntityOperationCombinations: () =>
        entityActions.map(({ entity, actions }) => ({
          entityType: elementWords.member(entity),
          operations: actions.map(toAction),
        })),
      rbacPermissionMatrix: () =>
        permissionMatrix.map(({ scope, entities }) => ({
          scopeType: elementWords.member(scope),
          entities: entities.map(({ entity, actions }) => ({
            entityType: elementWords.member(entity),
            actions: actions.map(toAction),
          })),
        })),
    },
    Role: {
      id: ({ id }) => globalId('Role', id),
      source: ({ source }) => known(SOURCES[source], source),
      status: ({ status }) => known(STATUSES[status], status),
      createdAt: (role) => role.created_at,
      updatedAt: (role) => role.updated_at,
      deletedAt: (role) => role.deleted_at,
      autoAssign: (role) => role.auto_assign,
      permissions: ({ id }, args, context, info) => permissionsOf(context, id, args, info),
      scopes: ({ id }, args, context, info) => placesOf(context, id, args, info),
      async users({ id }, args, context, info) {
        const reason = await hiddenBecause(context, id);
        if (reason !== null) throw new BackendError('NotEnoughPermission', reason);
        return holdersOf(context, id, args, info);
      },
    },
    Permission: {
      id: ({ id }) => globalId('Permission', id),
      roleId: (row) => row.role_id,
      scopeType: (row) => elementWords.member(row.scope_type),
      scopeId: (row) => row.scope_id,
      entityType: (row) => elementWords.member(row.entity_type),
      operation: (row) => operationWords.member(row.operation),
      createdAt: (row) => row.created_at,
      role: (row, _args, context) => loadRole(context, row.role_id),
      scope: (row, _args, context) => loadEntity(context, row.scope_type, row.scope_id),
    },
    RoleAssignment: {
      id: ({ id }) => globalId('RoleAssignment', id),
      userId: (row) => row.user_id,
      roleId: (row) => row.role_id,
      grantedBy: (row) => row.granted_by,
      grantedAt: (row) => row.granted_at,
      role: (row, _args, context) => loadRole(context, row.role_id),
      user: (row, _args, context) => loadUserV2(context, row.user_id),
      grantedByUser: (row, _args, context) =>
        row.granted_by === null ? null : loadUserV2(context, row.granted_by),
    },
    EntityRef: {
      id: ({ id }) => globalId('EntityRef', id),
      scopeType: (row) => elementWords.member(row.scope_type),
      scopeId: (row) => row.scope_id,
      entityType: (row) => elementWords.member(row.entity_type),
      entityId: (row) => row.entity_id,
      registeredAt: (row) => row.registered_at,
      entity: (row, _args, context) => loadEntity(context, row.entity_type, row.entity_id),
      scope: (row, _args, context) => loadEntity(context, row.scope_type, row.scope_id),
    },
    ContainerRegistryV2: {
      id: ({ id }) => globalId('ContainerRegistryV2', id),
      registryName: (row) => row.registry_name,
    },
  },
};
