/** The statements about the embedded server itself, outside any database of ours. */
import type { Logger } from '../../common/logger.ts';
import { connectDatabase } from '../../manager/db/connect.ts';

/** Makes the database unless it exists. */
export async function createDatabase(serverUrl: string, name: string, log: Logger): Promise<void> {
  const sql = await connectDatabase({ url: serverUrl, maxConnections: 1 }, log);
  try {
    const [existing] = await sql`select 1 from pg_database where datname = ${name}`;
    if (!existing) await sql`create database ${sql(name)}`;
  } finally {
    await sql.end({ timeout: 5 });
  }
}
