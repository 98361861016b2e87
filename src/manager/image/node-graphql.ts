/** GraphQL fields about images as nodes. */
import { isUuid } from '../../common/ids.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import { batched } from '../graphql/loaders.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { commonImageFields } from './graphql.ts';
import { normalizeArchitecture } from './reference.ts';
import { findImagesById, findImagesByName, type Image } from './service.ts';

const byId = batched<string, Image>(async (ids, { ctx, caller }) => {
  const images = await findImagesById(ctx.sql, caller, ids);
  return new Map(images.map((image) => [image.id, image]));
});

const byName = batched<string, Image[]>(async (names, { ctx, caller }) =>
  Map.groupBy(await findImagesByName(ctx.sql, caller, names), ({ canonical }) => canonical),
);

/** The image as a node; null when there is none that the caller may see. */
const loadImageNode = (context: GraphqlContext, id: string) =>
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

export const imageNodeGraphql: GraphqlModule = {
  typeDefs: /* GraphQL */ `
    enum ImageType {
      COMPUTE
      SYSTEM
      SERVICE
    }

    type ImageNode implements Node {
      id: ID!
      row_id: UUID
      name: String @deprecated
      namespace: String
      base_image_name: String
      project: String
      humanized_name: String
      tag: String
      tags: [KVPair]
      version: String
      registry: String
      architecture: String
      is_local: Boolean
      digest: String
      labels: [KVPair]
      size_bytes: BigInt
      status: String
      resource_limits: [ResourceLimit]
      supported_accelerators: [String]
      aliases: [String]
      installed: Boolean
      type: ImageType
    }
  `,
  nodes: { ImageNode: loadImageNode },
  resolvers: {
    ImageNode: {
      ...commonImageFields,
      id: ({ id }) => globalId('ImageNode', id),
      row_id: ({ id }) => id,
    },
  },
};
