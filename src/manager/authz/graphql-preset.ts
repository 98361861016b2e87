/** GraphQL fields about role presets. For superadmins. */
import { BackendError } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import type { RolePermissionPresetRow } from '../db/rows.generated.ts';
import { globalId, rawIdOf } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { v2Mutation } from '../graphql/mutation.ts';
import type {
  RolePermissionPresetEntryInput,
  RolePresetpermissionPresetsArgs,
} from '../graphql/resolvers.generated.ts';
import { nestedV2List, v2ListField } from '../graphql/v2-list.ts';
import { elementWords, operationWords } from './elements.ts';
import * as lists from './lists.ts';
import * as presets from './presets.ts';
import { presetTypeDefs } from './schema-preset.ts';

const idOf = ({ id }: { readonly id: string }): string => id;

/** The id in either form. @throws BackendError InvalidGraphQLParameters for one that is none. */
function presetId(text: string): string {
  const id = rawIdOf(text).toLowerCase();
  if (isUuid(id)) return id;
  throw new BackendError('InvalidGraphQLParameters', `'${text.slice(0, 100)}' is no id.`);
}

const toPermission = (entry: RolePermissionPresetEntryInput): presets.PresetPermission => ({
  entityType: elementWords.stored(entry.entityType),
  operation: operationWords.stored(entry.operation),
});

const permissionsOf = nestedV2List<RolePermissionPresetRow, RolePresetpermissionPresetsArgs>({
  idOf,
  load: ({ ctx }, ids, args, wish) => lists.permissionsOfPresets(ctx.sql, ids, args, wish),
});

const toPresets = ({ items, failed }: Awaited<ReturnType<typeof presets.purgePresets>>) => ({
  items,
  failed: failed.map(({ id, message }) => ({ rolePresetId: id, message })),
});

export const rolePresetsGraphql: GraphqlModule = {
  typeDefs: presetTypeDefs,
  resolvers: {
    Query: {
      adminRolePreset: (_root, { id }, context) => lists.getPreset(context, presetId(id)),
      adminRolePresets: (_root, args, context, info) =>
        v2ListField(args, info, { idOf, load: (wish) => lists.listPresets(context, args, wish) }),
    },
    Mutation: {
      adminCreateRolePreset: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () => ({
          rolePreset: await presets.createPreset(context, {
            name: input.name,
            scopeType: elementWords.stored(input.scopeType),
            autoAssign: input.autoAssign ?? false,
            permissions: input.permissions.map(toPermission),
          }),
        })),
      adminUpdateRolePreset: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () => ({
          rolePreset: await presets.updatePreset(context, presetId(input.rolePresetId), {
            ...(input.name != null && { name: input.name }),
            ...(input.autoAssign != null && { autoAssign: input.autoAssign }),
          }),
        })),
      adminDeleteRolePresets: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () => {
          const ids = input.rolePresetIds.map(presetId);
          return toPresets(await presets.setPresetsDeleted(context, ids, true));
        }),
      adminRestoreRolePresets: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () => {
          const ids = input.rolePresetIds.map(presetId);
          return toPresets(await presets.setPresetsDeleted(context, ids, false));
        }),
      adminPurgeRolePresets: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () =>
          toPresets(await presets.purgePresets(context, input.rolePresetIds.map(presetId))),
        ),
      adminBulkAddRolePresetPermissions: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () => {
          const wanted = input.permissions.map(toPermission);
          const id = presetId(input.rolePresetId);
          const { added, failed } = await presets.addPresetPermissions(context, id, wanted);
          return {
            items: added,
            failed: failed.map(({ entityType, operation }) => ({
              entityType: elementWords.member(entityType),
              operation: operationWords.member(operation),
              message: 'The preset has this permission already.',
            })),
          };
        }),
      adminBulkRemoveRolePresetPermissions: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () => {
          const ids = input.permissionPresetIds.map(presetId);
          const { items, failed } = await presets.removePresetPermissions(context, ids);
          return {
            items,
            failed: failed.map(({ id, message }) => ({ permissionPresetId: id, message })),
          };
        }),
    },
    RolePreset: {
      id: ({ id }) => globalId('RolePreset', id),
      scopeType: (row) => elementWords.member(row.scope_type),
      autoAssign: (row) => row.auto_assign,
      createdAt: (row) => row.created_at,
      updatedAt: (row) => row.updated_at,
      permissionPresets: ({ id }, args, context, info) => permissionsOf(context, id, args, info),
    },
    RolePermissionPreset: {
      id: ({ id }) => globalId('RolePermissionPreset', id),
      rolePresetId: (row) => row.role_preset_id,
      entityType: (row) => elementWords.member(row.entity_type),
      operation: (row) => operationWords.member(row.operation),
      createdAt: (row) => row.created_at,
    },
  },
};
