/** GraphQL fields about resource presets (the legacy type). */
import { BackendError } from '../../common/errors.ts';
import { parseSize } from '../../common/sizes.ts';
import { slotsInput } from '../graphql/inputs.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, mutate } from '../graphql/mutation.ts';
import type { ModifyResourcePresetInput } from '../graphql/resolvers.generated.ts';
import { typeDefs } from './schema.ts';
import {
  createPreset,
  deletePreset,
  findPreset,
  listPresets,
  modifyPreset,
  type PresetReference,
  type PresetWishes,
} from './service.ts';

/** Bytes of a size such as `1g`; absent and null stay so. */
function sizeInput(text: string | null | undefined): number | null | undefined {
  if (text === null || text === undefined) return text;
  const bytes = parseSize(text);
  if (bytes !== null && bytes <= Number.MAX_SAFE_INTEGER) return Number(bytes);
  throw new BackendError('InvalidAPIParameters', `shared_memory: '${text}' is no size.`);
}

/** @throws BackendError InvalidAPIParameters when neither is given. */
function referenceOf(args: { id?: string | null; name?: string | null }): PresetReference {
  if (args.id != null) return { id: args.id };
  if (args.name != null) return { name: args.name };
  throw new BackendError('InvalidAPIParameters', 'Name the preset by id or by name.');
}

const wishesOf = (props: ModifyResourcePresetInput): PresetWishes => ({
  name: kept(props.name),
  slots:
    props.resource_slots == null ? undefined : slotsInput('resource_slots', props.resource_slots),
  sharedMemory: sizeInput(props.shared_memory),
  groupName: props.scaling_group_name,
});

export const resourcePresetGraphql: GraphqlModule = {
  typeDefs,
  resolvers: {
    Query: {
      resource_preset: (_root, { name }, { ctx }) => findPreset(ctx.sql, referenceOf({ name })),
      resource_preset_by_id: (_root, { id }, { ctx }) => findPreset(ctx.sql, referenceOf({ id })),
      resource_presets: (_root, { filter, order }, { ctx }) => listPresets(ctx.sql, filter, order),
    },
    Mutation: {
      create_resource_preset: (_root, { name, props }, context, info) =>
        mutate(context, info.path.key, 'superadmin', { resource_preset: null }, async () => {
          const slots = slotsInput('resource_slots', props.resource_slots);
          const id = await createPreset(context, name, { ...wishesOf(props), slots });
          return { resource_preset: await findPreset(context.ctx.sql, { id }) };
        }),
      modify_resource_preset: (_root, { props, ...args }, context, info) =>
        mutate(context, info.path.key, 'superadmin', {}, async () => {
          await modifyPreset(context, referenceOf(args), wishesOf(props));
          return {};
        }),
      delete_resource_preset: (_root, args, context, info) =>
        mutate(context, info.path.key, 'superadmin', {}, async () => {
          await deletePreset(context, referenceOf(args));
          return {};
        }),
    },
  },
};
