/** GraphQL fields about images (the newer type). */
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId, rawIdOf } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { v2ListField } from '../graphql/v2-list.ts';
import { parseTag } from './graphql.ts';
import { v2TypeDefs } from './node-schema.ts';
import { permissionsOn } from './permissions.ts';
import { findImage, type Image, listImagesV2 } from './service.ts';

const TYPE = 'ImageV2';

const loadImage = ({ ctx, caller }: GraphqlContext, id: string): Promise<Image | null> =>
  findImage(ctx.sql, caller, id);

const MEMBERS = {
  read_attribute: 'READ_ATTRIBUTE',
  update_attribute: 'UPDATE_ATTRIBUTE',
  create_container: 'CREATE_CONTAINER',
  forget_image: 'FORGET_IMAGE',
} as const;

export const imageV2Graphql: GraphqlModule = {
  typeDefs: v2TypeDefs,
  nodes: { ImageV2: loadImage },
  resolvers: {
    Query: {
      imageV2: (_root, { id }, context) => loadImage(context, rawIdOf(id)),
      adminImagesV2: (_root, args, { ctx, caller }, info) => {
        requireAdministrator(caller);
        return v2ListField<Image>(args, info, {
          idOf: ({ id }) => id,
          defaultRows: 50,
          load: (wish) => listImagesV2(ctx.sql, caller, args, wish),
        });
      },
    },
    ImageV2: {
      id: ({ id }) => globalId(TYPE, id),
      identity: ({ canonical, image, architecture }) => ({
        canonicalName: canonical,
        namespace: image,
        architecture,
      }),
      metadata: (image) => ({
        digest: image.digest === '' ? null : image.digest,
        sizeBytes: image.sizeBytes,
        createdAt: image.createdAt,
        lastUsedAt: image.lastUsedAt,
        tags: parseTag(image.tag).tags,
        labels: Object.entries(image.labels).map(([key, value]) => ({ key, value })),
        status: image.status === 'ALIVE' ? 'ALIVE' : 'DELETED',
      }),
      requirements: ({ accelerators, resources }) => ({
        supportedAccelerators: accelerators ?? ['*'],
        resourceLimits: Object.entries(resources).map(([key, { min, max }]) => ({
          key,
          min: min ?? '0',
          max: max ?? 'Infinity',
        })),
      }),
      permission: (image, _args, { caller }) => ({
        permissions: permissionsOn(image, caller).map((permission) => MEMBERS[permission]),
      }),
      lastUsed: ({ lastUsedAt }) => lastUsedAt,
    },
  },
};
