/** GraphQL fields about images as nodes, and what may be changed about them. */
import { BackendError } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import type { ManagerContext } from '../context.ts';
import { connectionField } from '../graphql/connection.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId, rawIdOf } from '../graphql/global-id.ts';
import { listInput } from '../graphql/inputs.ts';
import { batched } from '../graphql/loaders.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, mutate, v2Mutation } from '../graphql/mutation.ts';
import type { ModifyImageInput } from '../graphql/resolvers.generated.ts';
import { wordScalar } from '../graphql/scalars.ts';
import type { Caller } from '../http/route.ts';
import { commonImageFields } from './graphql.ts';
import {
  aliasImage,
  clearCustomLimits,
  clearImages,
  dealiasImage,
  forgetImage,
  forgetImageById,
  type ImageWishes,
  modifyImage,
  purgeImage,
  untagImage,
} from './manage.ts';
import { nodeTypeDefs } from './node-schema.ts';
import { IMAGE_PERMISSIONS, permissionsOn } from './permissions.ts';
import { normalizeArchitecture } from './reference.ts';
import { rescan } from './rescan.ts';
import {
  findImage,
  findImagesById,
  findImagesByName,
  type Image,
  listCustomizedImages,
  listImageNodes,
} from './service.ts';

const TYPE = 'ImageNode';
/** Problems of a scan that are told at its end. */
const MAX_TOLD = 5;

const byId = batched<string, Image>(async (ids, { ctx, caller }) => {
  const images = await findImagesById(ctx.sql, caller, ids);
  return new Map(images.map((image) => [image.id, image]));
});

const byName = batched<string, Image[]>(async (names, { ctx, caller }) =>
  Map.groupBy(await findImagesByName(ctx.sql, caller, names), ({ canonical }) => canonical),
);

/** The image as a node; null when there is none that the caller may see. */
const loadImageNode = (context: GraphqlContext, id: string): Promise<Image | null> =>
  isUuid(id) ? byId(context, id.toLowerCase()) : Promise.resolve(null);

/** The image that something runs, by its complete name. */
export async function imageNodeByName(
  context: GraphqlContext,
  canonical: string,
  architecture: string,
): Promise<Image | null> {
  const wanted = normalizeArchitecture(architecture);
  const images = (await byName(context, canonical)) ?? [];
  return images.find((image) => normalizeArchitecture(image.architecture) === wanted) ?? null;
}

/** The image as it is after a change: what was loaded before would be told again. */
const loadImage = ({ ctx, caller }: GraphqlContext, id: string): Promise<Image | null> =>
  findImage(ctx.sql, caller, id);

const targetOf = (reference: string, architecture: string | null | undefined) => ({
  reference,
  architecture: architecture ?? null,
});

/** Pairs without those that have no key; a missing value is empty. */
const toLabels = (pairs: ModifyImageInput['labels']): ImageWishes['labels'] =>
  pairs == null
    ? undefined
    : Object.fromEntries(
        pairs.flatMap((pair) => (pair?.key == null ? [] : [[pair.key, pair.value ?? '']])),
      );

const wishesOf = (props: ModifyImageInput): ImageWishes => ({
  name: kept(props.name),
  registry: kept(props.registry),
  image: kept(props.image),
  tag: kept(props.tag),
  architecture: kept(props.architecture),
  is_local: kept(props.is_local),
  size_bytes: kept(props.size_bytes),
  type: kept(props.type),
  config_digest: kept(props.digest),
  labels: toLabels(props.labels),
  supportedAccelerators: kept(listInput(props.supported_accelerators)),
  resourceLimits: kept(listInput(props.resource_limits))?.map(({ key, min, max }) => {
    if (key == null || key === '') {
      throw new BackendError('InvalidAPIParameters', 'resource_limits: every limit needs its key.');
    }
    return { key, min: kept(min), max: kept(max) };
  }),
});

/** Begins a scan in the background. @returns its task. */
function startRescan(
  ctx: ManagerContext,
  caller: Caller,
  request: { registry: string | null; project: string | null },
): Promise<string> {
  const what = request.registry ?? 'all registries';
  return ctx.tasks.start(caller, `Scanning ${what}`, async (report, signal) => {
    const { found, written, problems } = await rescan(ctx, request, report, signal);
    const told = problems.slice(0, MAX_TOLD).join(' ');
    const more = problems.length > MAX_TOLD ? ` (${problems.length - MAX_TOLD} more problems)` : '';
    const summary = `Found ${found.length} images, ${written} new or changed.`;
    if (found.length === 0 && problems.length > 0) throw new Error(`${told}${more}`);
    return problems.length === 0 ? summary : `${summary} Problems: ${told}${more}`;
  });
}

const queries: NonNullable<GraphqlModule['resolvers']['Query']> = {
  image_node: async (_root, { id, permission }, context) => {
    const image = await loadImageNode(context, id);
    const held = image && permissionsOn(image, context.caller);
    return held?.includes(permission ?? 'read_attribute') ? image : null;
  },
  image_nodes: (_root, args, context, info) => {
    const statuses = kept(listInput(args.filter_by_statuses)) ?? ['ALIVE'];
    return connectionField<Image>(args, context, info, {
      typeName: TYPE,
      idOf: ({ id }) => id,
      load: (wish) =>
        listImageNodes(
          context.ctx.sql,
          context.caller,
          { filter: args.filter, order: args.order, statuses },
          wish,
        ),
    });
  },
  customized_images: (_root, _args, { ctx, caller }) => listCustomizedImages(ctx.sql, caller),
};

const mutations: NonNullable<GraphqlModule['resolvers']['Mutation']> = {
  rescan_images: (_root, { registry, project }, context, info) =>
    mutate(context, info.path.key, 'superadmin', { task_id: null }, async () => {
      const request = { registry: registry ?? null, project: project ?? null };
      return { task_id: await startRescan(context.ctx, context.caller, request) };
    }),
  modify_image: (_root, { target, architecture, props }, context, info) =>
    mutate(context, info.path.key, 'superadmin', {}, async () => {
      await modifyImage(context, targetOf(target, architecture), wishesOf(props));
      return {};
    }),
  alias_image: (_root, { alias, target, architecture }, context, info) =>
    mutate(context, info.path.key, 'superadmin', {}, async () => {
      await aliasImage(context, alias, targetOf(target, architecture));
      return {};
    }),
  dealias_image: (_root, { alias }, context, info) =>
    mutate(context, info.path.key, 'superadmin', {}, async () => {
      await dealiasImage(context, alias);
      return {};
    }),
  clear_images: (_root, { registry }, context, info) =>
    mutate(context, info.path.key, 'superadmin', {}, async () => {
      await clearImages(context, registry ?? null);
      return {};
    }),
  forget_image: (_root, { reference, architecture }, context, info) =>
    mutate(context, info.path.key, 'superadmin', { image: null }, async () => {
      const { id } = await forgetImage(context, targetOf(reference, architecture));
      return { image: await loadImage(context, id) };
    }),
  forget_image_by_id: (_root, { image_id }, context, info) =>
    mutate(context, info.path.key, 'user', { image: null }, async () => {
      const id = rawIdOf(image_id);
      await forgetImageById(context, id);
      return { image: await loadImage(context, id) };
    }),
  untag_image_from_registry: (_root, { image_id }, context, info) =>
    mutate(context, info.path.key, 'user', { image: null }, async () => {
      const id = rawIdOf(image_id);
      await untagImage(context, id, context.signal);
      return { image: await loadImage(context, id) };
    }),
  purge_image_by_id: (_root, { image_id, options }, context) =>
    v2Mutation(context, 'anybody', async () => {
      const id = rawIdOf(image_id);
      const image = await loadImage(context, id);
      if (options?.remove_from_registry) await untagImage(context, id, context.signal);
      await purgeImage(context, id);
      return { image };
    }),
  clear_image_custom_resource_limit: (_root, { key }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      const id = await clearCustomLimits(context, targetOf(key.image_canonical, key.architecture));
      return { image_node: await loadImage(context, id) };
    }),
};

export const imageNodeGraphql: GraphqlModule = {
  typeDefs: nodeTypeDefs,
  nodes: { ImageNode: loadImageNode },
  resolvers: {
    ImagePermissionValueField: wordScalar('ImagePermissionValueField', IMAGE_PERMISSIONS),
    Query: queries,
    Mutation: mutations,
    ImageNode: {
      ...commonImageFields,
      id: ({ id }) => globalId(TYPE, id),
      row_id: ({ id }) => id,
      permissions: (image, _args, { caller }) => permissionsOn(image, caller),
    },
  },
};
