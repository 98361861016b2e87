/** Resource presets in the newer GraphQL type, for superadmins. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { parseSize } from '../../common/sizes.ts';
import { slotMapColumn } from '../db/json.ts';
import type { ResourcePresetRow } from '../db/rows.generated.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import { slotsInput } from '../graphql/inputs.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, v2Mutation } from '../graphql/mutation.ts';
import type { UpdateResourcePresetV2Input } from '../graphql/resolvers.generated.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { v2ListField } from '../graphql/v2-list.ts';
import { binarySize, slotEntries } from '../graphql/v2-shapes.ts';
import { createPreset, deletePreset, findPreset, listPresetsV2, modifyPreset } from './service.ts';
import { v2TypeDefs } from './v2-schema.ts';

const TYPE = 'ResourcePresetV2';

type Entries = NonNullable<UpdateResourcePresetV2Input['resourceSlots']>;

const slotsOf = (entries: Entries) =>
  slotsInput(
    'resource_slots',
    Object.fromEntries(entries.map(({ resourceType, quantity }) => [resourceType, quantity])),
  );

/** Bytes. @throws BackendError InvalidAPIParameters for text that is no size. */
function bytesOf({ expr }: { readonly expr: string }): number {
  const bytes = parseSize(expr);
  if (bytes !== null && bytes <= Number.MAX_SAFE_INTEGER) return Number(bytes);
  throw new BackendError('InvalidAPIParameters', `shared_memory: '${expr}' is no size.`);
}

/** @throws BackendError ResourcePresetNotFound. */
async function present({ ctx }: GraphqlContext, id: string): Promise<ResourcePresetRow> {
  const preset = await findPreset(ctx.sql, { id });
  if (preset) return preset;
  throw new BackendError('ResourcePresetNotFound');
}

export const resourcePresetV2Graphql: GraphqlModule = {
  typeDefs: v2TypeDefs,
  resolvers: {
    Query: {
      adminResourcePresetV2: (_root, { id }, context) => {
        requireAdministrator(context.caller);
        return present(context, id);
      },
      adminResourcePresetsV2: (_root, args, { ctx, caller }, info) => {
        requireAdministrator(caller);
        return v2ListField<ResourcePresetRow>(args, info, {
          idOf: ({ id }) => id,
          load: (wish) => listPresetsV2(ctx.sql, args, wish),
        });
      },
    },
    Mutation: {
      adminCreateResourcePresetV2: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () => {
          const id = await createPreset(context, input.name, {
            slots: slotsOf(input.resourceSlots),
            sharedMemory: input.sharedMemory ? bytesOf(input.sharedMemory) : null,
            groupName: input.resourceGroupName ?? null,
          });
          return { resourcePreset: await present(context, id) };
        }),
      adminUpdateResourcePresetV2: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () => {
          const { id, resourceSlots, sharedMemory } = input;
          await modifyPreset(
            context,
            { id },
            {
              name: kept(input.name),
              slots: resourceSlots ? slotsOf(resourceSlots) : undefined,
              sharedMemory: sharedMemory ? bytesOf(sharedMemory) : undefined,
              groupName: kept(input.resourceGroupName),
            },
          );
          return { resourcePreset: await present(context, id) };
        }),
      adminDeleteResourcePresetV2: (_root, { id }, context) =>
        v2Mutation(context, 'superadmin', async () => {
          await deletePreset(context, { id });
          return { id };
        }),
    },
    ResourcePresetV2: {
      id: ({ id }) => globalId(TYPE, id),
      resourceSlots: (preset) => slotEntries(v.parse(slotMapColumn, preset.resource_slots)),
      sharedMemory: (preset) =>
        preset.shared_memory === null ? null : binarySize(preset.shared_memory),
      resourceGroupName: (preset) => preset.scaling_group_name,
    },
  },
};
