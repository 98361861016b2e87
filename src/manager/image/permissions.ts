/** What somebody may do with an image that they see. */
import { CUSTOMIZED_OWNER_LABEL } from '../../common/images/labels.ts';
import type { Caller } from '../http/route.ts';
import type { Image } from './service.ts';

export const IMAGE_PERMISSIONS = [
  'read_attribute',
  'update_attribute',
  'create_container',
  'forget_image',
] as const;
export type ImagePermission = (typeof IMAGE_PERMISSIONS)[number];

/** Superadmins may all, and whoever made the image for himself may take it away again. */
export function permissionsOn(
  { labels }: Pick<Image, 'labels'>,
  caller: Pick<Caller, 'isSuperadmin' | 'role' | 'userId'>,
): readonly ImagePermission[] {
  if (caller.isSuperadmin) return IMAGE_PERMISSIONS;
  if (caller.role === 'monitor') return ['read_attribute'];
  const isOwn = labels[CUSTOMIZED_OWNER_LABEL] === `user:${caller.userId}`;
  return isOwn
    ? ['read_attribute', 'create_container', 'forget_image']
    : ['read_attribute', 'create_container'];
}
