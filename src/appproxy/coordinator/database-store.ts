/** Makes the coordinator's database, for those who have no administrator to do it. */
import type { Sql } from 'postgres';

/** @returns false when it is there already. */
export async function createDatabase(maintenance: Sql, name: string): Promise<boolean> {
  const [found] = await maintenance`SELECT 1 FROM pg_database WHERE datname = ${name}`;
  if (found !== undefined) return false;
  await maintenance`CREATE DATABASE ${maintenance(name)} ENCODING 'UTF8' TEMPLATE template0`;
  return true;
}
