/** Reads the keypair behind a request together with its owner. */
import type { Sql } from 'postgres';
import * as v from 'valibot';

const activeKeypair = v.object({
  accessKey: v.string(),
  secretKey: v.string(),
  isAdmin: v.boolean(),
  resourcePolicy: v.string(),
  /** Requests per 15 minutes; null means unlimited. */
  rateLimit: v.nullable(v.number()),
  userId: v.string(),
  email: v.string(),
  username: v.string(),
  role: v.picklist(['superadmin', 'admin', 'user', 'monitor']),
  domainName: v.string(),
  /** CIDR blocks the user may come from; null means anywhere. */
  allowedClientIp: v.nullable(v.array(v.string())),
});
export type ActiveKeypair = v.InferOutput<typeof activeKeypair>;

/** The keypair if it exists and is active, else null. One indexed query. */
export async function selectActiveKeypair(
  sql: Sql,
  accessKey: string,
): Promise<ActiveKeypair | null> {
  const rows = await sql`
    SELECT k.access_key AS "accessKey",
           k.secret_key AS "secretKey",
           coalesce(k.is_admin, false) AS "isAdmin",
           k.resource_policy AS "resourcePolicy",
           k.rate_limit AS "rateLimit",
           u.uuid AS "userId",
           u.email,
           coalesce(u.username, u.email) AS username,
           coalesce(u.role, 'user') AS role,
           coalesce(u.domain_name, 'default') AS "domainName",
           u.allowed_client_ip::text[] AS "allowedClientIp"
      FROM keypairs k
      JOIN users u ON u.uuid = k."user"
     WHERE k.access_key = ${accessKey} AND k.is_active AND k.secret_key IS NOT NULL`;
  const row = rows[0];
  return row ? v.parse(activeKeypair, row) : null;
}
