/** Images and their aliases. */
import type { Topic } from '../declare.ts';

export const images: Topic = {
  searches: [
    ['images', 'adminImagesV2', 'superadmin', 'images'],
    ['images/aliases', 'adminImageAliases', 'superadmin', 'aliases of images'],
  ],
};
