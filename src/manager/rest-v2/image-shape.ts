/** Images as the newer HTTP operations tell them: flat, unlike the schema. */

import { parseTag } from '../image/graphql.ts';
import type { Image } from '../image/service.ts';

export const toImageNode = (image: Image) => ({
  id: image.id,
  name: image.canonical,
  image: image.image,
  registry: image.registry,
  registry_id: image.registryId,
  project: image.project,
  tag: image.tag,
  architecture: image.architecture,
  size_bytes: image.sizeBytes,
  type: image.type.toLowerCase(),
  status: image.status,
  labels: Object.entries(image.labels).map(([key, value]) => ({ key, value })),
  tags: parseTag(image.tag).tags,
  resource_limits: Object.entries(image.resources).map(([key, { min, max }]) => ({
    key,
    min: min ?? '0',
    max,
  })),
  accelerators: image.accelerators?.join(',') ?? null,
  config_digest: image.digest,
  is_local: image.isLocal,
  created_at: image.createdAt,
  last_used_at: image.lastUsedAt,
});
