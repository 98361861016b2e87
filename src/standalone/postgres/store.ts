/** The statements about a server itself, outside any database of ours. */
import type { Logger } from '../../common/logger.ts';
import { connectDatabase, type DatabaseAddress } from '../../stores/sql/connect.ts';

/** Makes the database unless it exists. @param server any database of it. */
export async function createDatabase(
  server: DatabaseAddress,
  name: string,
  log: Logger,
): Promise<void> {
  const sql = await connectDatabase({ ...server, maxConnections: 1 }, log);
  try {
    const [existing] = await sql`select 1 from pg_database where datname = ${name}`;
    if (!existing) await sql`create database ${sql(name)}`;
  } finally {
    await sql.end({ timeout: 5 });
  }
}
