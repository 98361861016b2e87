/** Images that people make of their sessions: theirs alone, at most so many, each under its name. */
import { BackendError } from '../../common/errors.ts';
import { CUSTOMIZED_OWNER_LABEL, LABEL_PREFIX } from '../../common/images/labels.ts';
import type { ManagerContext } from '../context.ts';
import type { Caller } from '../http/route.ts';
import type { ImageKeeper } from '../registry/service.ts';
import { selectCustomizedLimit, selectCustomizedOf } from './customized-store.ts';
import { LOCAL_REGISTRY } from './reference.ts';

export interface CustomizedImage {
  readonly canonical: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** The tag of an image without what an earlier customization added. */
const plainTag = (tag: string): string => tag.replace(/-customized_[0-9a-f]+$/, '');

/**
 * Names a new image of `caller`, or a new version of the one with that name.
 * @param base canonical name of the image that the session runs.
 * @param keeper the registry that is to keep it; null: it stays on its agent.
 * @throws BackendError QuotaExceeded with `data {limit, current}`.
 */
export async function nameCustomizedImage(
  ctx: ManagerContext,
  caller: Caller,
  name: string,
  base: string,
  keeper: Pick<ImageKeeper, 'registryName' | 'project'> | null,
): Promise<CustomizedImage> {
  const [own, limit] = await Promise.all([
    selectCustomizedOf(ctx.sql, caller.userId),
    selectCustomizedLimit(ctx.sql, caller.userId),
  ]);
  const existing = own.find((image) => image.name === name);
  if (existing === undefined && own.length >= (limit ?? 0)) {
    throw new BackendError(
      'QuotaExceeded',
      `You have reached your customized image count quota (current: ${own.length}, limit: ${limit ?? 0}). Forget one of them first.`,
      { data: { limit: limit ?? 0, current: own.length } },
    );
  }
  const id = existing?.id ?? ctx.random.uuid().replaceAll('-', '');
  const [last = '', tag = 'latest'] = base.slice(base.lastIndexOf('/') + 1).split(':');
  const place = keeper === null ? LOCAL_REGISTRY : `${keeper.registryName}/${keeper.project}`;
  return {
    canonical: `${place}/${last}:${plainTag(tag)}-customized_${id}`,
    labels: {
      [CUSTOMIZED_OWNER_LABEL]: `user:${caller.userId}`,
      [`${LABEL_PREFIX}customized-image.name`]: name,
      [`${LABEL_PREFIX}customized-image.id`]: id,
      [`${LABEL_PREFIX}customized-image.user.email`]: caller.email,
    },
  };
}
