/** The newer HTTP operations that change images, which no field of the newer schema does. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { uuidText } from '../http/parameters.ts';
import type { AuthenticatedRequest, Route } from '../http/route.ts';
import {
  aliasImage,
  dealiasImage,
  forgetImageById,
  modifyImage,
  purgeImage,
} from '../image/manage.ts';
import { findImage, getAlias, type Image } from '../image/service.ts';
import { name } from './declare.ts';
import { toImageNode } from './image-shape.ts';

const ofImage = v.object({ image_id: uuidText });
const optional = v.optional(name);
const amount = v.nullish(v.pipe(v.union([v.string(), v.number()]), v.transform(String)));

const update = v.object({
  image_id: uuidText,
  name: optional,
  registry: optional,
  image: optional,
  tag: optional,
  architecture: optional,
  is_local: v.optional(v.boolean()),
  size_bytes: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  type: optional,
  config_digest: optional,
  labels: v.optional(v.record(v.string(), v.string())),
  /** Comma-separated. */
  supported_accelerators: v.optional(v.string()),
  resource_limits: v.optional(v.record(v.string(), v.object({ min: amount, max: amount }))),
});

/** @throws BackendError ImageNotFound. */
async function imageOf(
  ctx: ManagerContext,
  { caller }: AuthenticatedRequest,
  id: string,
): Promise<Image> {
  const image = await findImage(ctx.sql, caller, id);
  if (image) return image;
  throw new BackendError('ImageNotFound', `There is no image with id '${id}'.`);
}

const admin = { auth: 'superadmin', gate: 'all' } as const;

const aliasRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      ...{ ...admin, method: 'POST', path: '/v2/images/alias' },
      summary: 'Give an image another name, wherever that pointed before.',
      takes: { body: v.object({ image_id: uuidText, alias: name }) },
    },
    async (request, { body: { image_id, alias } }) => {
      const image = await imageOf(ctx, request, image_id);
      const { canonical: reference, architecture } = image;
      await aliasImage({ ...request, ctx }, alias, { reference, architecture });
      const { id } = await getAlias(ctx.sql, alias);
      return { json: { alias_id: id, alias, image_id: image.id } };
    },
  ),
  route(
    {
      ...{ ...admin, method: 'POST', path: '/v2/images/dealias' },
      summary: 'Take another name from its image.',
      takes: { body: v.object({ alias: name }) },
    },
    async (request, { body: { alias } }) => {
      const { id, image } = await getAlias(ctx.sql, alias);
      await dealiasImage({ ...request, ctx }, alias);
      return { json: { alias_id: id, alias, image_id: image } };
    },
  ),
];

export const v2ImageRoutes = (ctx: ManagerContext): Route[] => [
  ...aliasRoutes(ctx),
  route(
    {
      ...{ ...admin, method: 'POST', path: '/v2/images/forget' },
      summary: 'Mark an image as removed.',
      takes: { body: ofImage },
    },
    async (request, { body }) => {
      await forgetImageById({ ...request, ctx }, body.image_id);
      return { json: { item: toImageNode(await imageOf(ctx, request, body.image_id)) } };
    },
  ),
  route(
    {
      ...{ ...admin, method: 'POST', path: '/v2/images/purge' },
      summary: 'Remove an image from the catalogue.',
      takes: { body: ofImage },
    },
    async (request, { body }) => {
      const image = await imageOf(ctx, request, body.image_id);
      await purgeImage({ ...request, ctx }, image.id);
      return { json: { item: toImageNode(image) } };
    },
  ),
  route(
    {
      ...{ ...admin, method: 'PATCH', path: '/v2/images' },
      summary: 'Change an image.',
      takes: { body: update },
    },
    async (request, { body }) => {
      const { image_id, supported_accelerators: accelerators, resource_limits, ...rest } = body;
      const limits = Object.entries(resource_limits ?? {}).map(([key, { min, max }]) => ({
        key,
        ...(min != null && { min }),
        ...(max != null && { max }),
      }));
      const target = { id: image_id };
      await modifyImage({ ...request, ctx }, target, {
        ...rest,
        ...(accelerators !== undefined && {
          supportedAccelerators: accelerators.split(',').filter((each) => each !== ''),
        }),
        ...(limits.length > 0 && { resourceLimits: limits }),
      });
      return { json: { item: toImageNode(await imageOf(ctx, request, image_id)) } };
    },
  ),
];
