/** The SQL of images that people made of their sessions. */
import * as v from 'valibot';
import { CUSTOMIZED_OWNER_LABEL, LABEL_PREFIX } from '../../common/images/labels.ts';
import type { Db } from '../db/connect.ts';

const row = v.object({ id: v.string(), name: v.nullable(v.string()) });

/** The ids and names, as their labels tell, of a user's own images. */
export async function selectCustomizedOf(sql: Db, userId: string) {
  const rows = await sql`
    SELECT DISTINCT labels->>${`${LABEL_PREFIX}customized-image.id`} AS id,
      labels->>${`${LABEL_PREFIX}customized-image.name`} AS name
    FROM images
    WHERE status = 'ALIVE' AND labels->>${CUSTOMIZED_OWNER_LABEL} = ${`user:${userId}`}
      AND labels->>${`${LABEL_PREFIX}customized-image.id`} IS NOT NULL`;
  return v.parse(v.array(row), [...rows]);
}

/** How many a user may have; null: the user is gone. */
export async function selectCustomizedLimit(sql: Db, userId: string): Promise<number | null> {
  const [found] = await sql`
    SELECT p.max_customized_image_count AS most FROM users u
    JOIN user_resource_policies p ON p.name = u.resource_policy WHERE u.uuid = ${userId}`;
  return found ? v.parse(v.object({ most: v.number() }), found).most : null;
}
