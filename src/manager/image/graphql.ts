/** GraphQL fields about images. */
import { BackendError } from '../../common/errors.ts';
import { CUSTOMIZED_OWNER_LABEL } from '../../common/images/labels.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import type { QueryimagesArgs } from '../graphql/resolvers.generated.ts';
import { type ImageLocations, loadImageLocations } from './locations.ts';
import { findImage, type Image, imageScope, listImages, resolveImage } from './service.ts';

const FEATURES_LABEL = 'ai.backend.features';

const loadFilters = ['general', 'operational', 'customized', 'customized-global'] as const;
type LoadFilter = (typeof loadFilters)[number];

function readLoadFilters(names: readonly (string | null)[]): ReadonlySet<LoadFilter> {
  return new Set(
    names.map((name) => {
      const found = loadFilters.find((filter) => filter === name?.toLowerCase());
      if (found) return found;
      throw new BackendError(
        'InvalidAPIParameters',
        `Unknown image filter '${name}'; use ${loadFilters.join(', ')}.`,
      );
    }),
  );
}

/** Whether a list with these filters shows the image to this user. */
export function isListed(
  labels: Readonly<Record<string, string>>,
  filters: ReadonlySet<LoadFilter>,
  viewer: { readonly userId: string; readonly isSuperadmin: boolean },
): boolean {
  const features = labels[FEATURES_LABEL]?.split(/\s+/) ?? [];
  if (features.includes('operation') && !filters.has('operational')) return false;
  const owner = labels[CUSTOMIZED_OWNER_LABEL];
  if (owner === undefined) {
    return filters.has('general') || (features.includes('operation') && filters.has('operational'));
  }
  return (
    (filters.has('customized') && owner === `user:${viewer.userId}`) ||
    (filters.has('customized-global') && viewer.isSuperadmin)
  );
}

const toPairs = (map: Readonly<Record<string, string>>) =>
  Object.entries(map).map(([key, value]) => ({ key, value }));

/** `3.11-ubuntu22.04-cuda12` is version 3.11 with the tags ubuntu = 22.04 and cuda = 12. */
export function parseTag(tag: string): { version: string; tags: { key: string; value: string }[] } {
  const [version = '', ...parts] = tag.split('-');
  return {
    version,
    tags: parts.map((part) => {
      const [, key = part, value = ''] = /^([a-zA-Z_]+)(.*)$/.exec(part) ?? [];
      return { key, value };
    }),
  };
}

function filtersOf(args: QueryimagesArgs): ReadonlySet<LoadFilter> {
  const named = args.load_filters ?? args.image_filters;
  if (named != null) return readLoadFilters(named);
  return new Set(args.is_operation ? ['operational'] : ['general', 'customized']);
}

const locationsByRequest = new WeakMap<GraphqlContext, Promise<ImageLocations>>();

/** Loaded once per request, however many images are listed. */
function locationsOf(context: GraphqlContext): Promise<ImageLocations> {
  let locations = locationsByRequest.get(context);
  if (!locations) {
    locations = loadImageLocations(context.ctx.live, context.ctx.sql);
    locationsByRequest.set(context, locations);
  }
  return locations;
}

/** What images of both older forms say about themselves. */
export const commonImageFields = {
  name: ({ image }: Image) => image,
  namespace: ({ image }: Image) => image,
  humanized_name: ({ image }: Image) => image,
  base_image_name: ({ image }: Image) => image.slice(image.lastIndexOf('/') + 1),
  tags: ({ tag }: Image) => parseTag(tag).tags,
  version: ({ tag }: Image) => parseTag(tag).version,
  is_local: ({ isLocal }: Image) => isLocal,
  labels: ({ labels }: Image) => toPairs(labels),
  size_bytes: ({ sizeBytes }: Image) => sizeBytes,
  resource_limits: ({ resources }: Image) =>
    Object.entries(resources).map(([key, { min, max }]) => ({ key, min, max: max ?? 'Infinity' })),
  supported_accelerators: ({ accelerators }: Image) => accelerators ?? ['*'],
  installed: async (image: Image, _args: unknown, context: GraphqlContext) =>
    (await locationsOf(context))(image).length > 0,
};

export const imageGraphql: GraphqlModule = {
  typeDefs: /* GraphQL */ `
    type Query {
      image(id: String, reference: String, architecture: String = null): Image
      images(
        is_installed: Boolean
        is_operation: Boolean @deprecated
        filter_by_statuses: [ImageStatus] = [ALIVE]
        load_filters: [String] = null
        image_filters: [String] = null @deprecated
      ): [Image]
    }

    enum ImageStatus {
      ALIVE
      DELETED
    }

    type Image {
      id: UUID
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
      aliases: [String]
      size_bytes: BigInt
      status: String
      resource_limits: [ResourceLimit]
      supported_accelerators: [String]
      installed: Boolean
      installed_agents: [String]
      hash: String
    }

    type ResourceLimit {
      key: String
      min: String
      max: String @deprecated
    }
  `,
  resolvers: {
    Query: {
      async image(_parent, args, { ctx, caller }) {
        if (args.id != null) {
          const found = await findImage(ctx.sql, caller, args.id);
          if (found?.status === 'ALIVE') return found;
          throw new BackendError('ImageNotFound', `There is no image with id '${args.id}'.`);
        }
        if (args.reference == null) {
          throw new BackendError('InvalidAPIParameters', "Give the image's id or its reference.");
        }
        return resolveImage(ctx.sql, {
          reference: args.reference,
          architecture: args.architecture ?? null,
          viewer: imageScope(caller),
        });
      },
      async images(_parent, args, context) {
        const { ctx, caller } = context;
        const statuses = args.filter_by_statuses?.filter((status) => status !== null);
        const images = await listImages(ctx.sql, caller, { statuses });
        const filters = filtersOf(args);
        const listed = images.filter(({ labels }) => isListed(labels, filters, caller));
        if (args.is_installed == null) return listed;
        const locations = await locationsOf(context);
        return listed.filter((image) => locations(image).length > 0 === args.is_installed);
      },
    },
    Image: {
      ...commonImageFields,
      installed_agents: async (image, _args, context) => {
        const { ctx, caller } = context;
        if (ctx.settings.hideAgents && !caller.isSuperadmin) return null;
        const agents = (await locationsOf(context))(image);
        return agents.length > 0 ? agents : null;
      },
      hash: ({ digest }) => digest,
    },
  },
};
