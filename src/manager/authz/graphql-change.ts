/** GraphQL mutations of roles, of what they allow and of who has them. For superadmins. */
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, v2Mutation } from '../graphql/mutation.ts';
import type { CreatePermissionInput } from '../graphql/resolvers.generated.ts';
import { assignRole, assignRoleToMany, revokeRole, revokeRoleFromMany } from './assignments.ts';
import { elementWords, operationWords } from './elements.ts';
import * as roles from './roles.ts';
import { changeTypeDefs } from './schema-change.ts';

const toSpec = (input: CreatePermissionInput): roles.WantedPermission => ({
  roleId: input.roleId,
  scope: { type: elementWords.stored(input.scopeType), id: input.scopeId },
  entityType: elementWords.stored(input.entityType),
  operation: operationWords.stored(input.operation),
});

function toAdded({ added, failed }: roles.AddedPermissions) {
  return {
    items: added,
    failed: failed.map(({ wanted, message }) => ({
      roleId: wanted.roleId,
      scopeType: wanted.scope.type,
      scopeId: wanted.scope.id,
      entityType: wanted.entityType,
      operation: wanted.operation,
      message,
    })),
  };
}

export const roleChangesGraphql: GraphqlModule = {
  typeDefs: changeTypeDefs,
  resolvers: {
    Mutation: {
      adminCreateRole: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', () =>
          roles.createRole(context, {
            name: input.name,
            description: input.description ?? null,
            source: (input.source ?? 'CUSTOM').toLowerCase(),
            autoAssign: input.autoAssign ?? false,
            scopes: (input.scopes ?? []).map(({ scopeType, scopeId }) => ({
              type: elementWords.stored(scopeType),
              id: scopeId,
            })),
          }),
        ),
      adminUpdateRole: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', () => {
          const { id, name, description, status, autoAssign } = input;
          return roles.updateRole(context, id, {
            ...(name != null && { name }),
            ...(description !== undefined && { description }),
            ...(status != null && { status: status.toLowerCase() }),
            ...(autoAssign != null && { autoAssign }),
          });
        }),
      adminDeleteRole: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () => ({
          id: await roles.deleteRole(context, input.id),
        })),
      adminPurgeRole: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () => ({
          id: await roles.purgeRole(context, input.id),
        })),
      adminCreatePermission: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', () =>
          roles.createPermission(context, input.roleId, toSpec(input)),
        ),
      adminUpdatePermission: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', () =>
          roles.updatePermission(context, input.id, (row) =>
            toSpec({
              roleId: row.role_id,
              scopeType: kept(input.scopeType) ?? elementWords.member(row.scope_type),
              scopeId: kept(input.scopeId) ?? row.scope_id,
              entityType: kept(input.entityType) ?? elementWords.member(row.entity_type),
              operation: kept(input.operation) ?? operationWords.member(row.operation),
            }),
          ),
        ),
      adminDeletePermission: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () => ({
          id: await roles.deletePermission(context, input.id),
        })),
      adminBulkAddRolePermissions: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () =>
          toAdded(await roles.addPermissions(context, input.permissions.map(toSpec))),
        ),
      adminBulkRemoveRolePermissions: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () => {
          const { removed, missing } = await roles.removePermissions(context, input.permissionIds);
          return {
            items: removed,
            failed: missing.map((permissionId) => ({
              permissionId,
              message: `There is no permission ${permissionId}.`,
            })),
          };
        }),
      adminReplaceRolePermissions: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () => {
          const wanted = input.permissions.map(toSpec);
          return toAdded(await roles.replacePermissions(context, input.roleId, wanted));
        }),
      adminAssignRole: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', () => {
          const { roleId, projectId, userId } = input;
          return assignRole(context, { roleId, projectId: projectId ?? null }, userId);
        }),
      adminRevokeRole: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', () => revokeRole(context, input.roleId, input.userId)),
      adminBulkAssignRole: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', () => {
          const { roleId, projectId, userIds } = input;
          return assignRoleToMany(context, { roleId, projectId: projectId ?? null }, userIds);
        }),
      adminBulkRevokeRole: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', () =>
          revokeRoleFromMany(context, input.roleId, input.userIds),
        ),
    },
  },
};
