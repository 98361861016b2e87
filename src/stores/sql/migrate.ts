/** Applies numbered SQL files to a database, each once; safe to run from several processes at once. */
import type { Sql } from 'postgres';
import type { Logger } from '../../common/logger.ts';
import type { Db } from './connect.ts';

export interface Migration {
  /** Grows; the number that opens the file's name. */
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

/** The table that notes what was applied. */
export const createHistory = (sql: Db) => sql`CREATE TABLE schema_migrations (
    version integer NOT NULL CONSTRAINT pk_schema_migrations PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz DEFAULT now() NOT NULL)`;

/** Versions of the applied migrations; none for an empty database. */
export async function appliedVersions(sql: Db): Promise<ReadonlySet<number>> {
  const [table] = await sql<{ found: boolean }[]>`
    SELECT to_regclass('schema_migrations') IS NOT NULL AS found`;
  if (!table?.found) return new Set();
  const rows = await sql<{ version: number }[]>`SELECT version FROM schema_migrations`;
  return new Set(rows.map(({ version }) => version));
}

/**
 * Applies every missing migration in order, each in a transaction of its own.
 *
 * Processes that migrate the same database at once queue up; the later ones find nothing to do.
 * @param options.lock names the lock that they queue for.
 * @param options.begin looks at the database before each step and prepares an empty one.
 * @returns how many migrations were applied.
 */
export async function applyMigrations(
  sql: Sql,
  options: {
    readonly migrations: readonly Migration[];
    readonly lock: number;
    readonly begin: (tx: Db) => Promise<void>;
    readonly log?: Logger | undefined;
  },
): Promise<number> {
  const { migrations, lock, begin, log } = options;
  let applied = 0;
  // Each step takes the lock for its own transaction, so no connection has to be held across them.
  for (let step = 0; step <= migrations.length; step++) {
    const isDone = await sql.begin(async (tx) => {
      // Waiting for others, and filling a new table from a large old one, take as long as they take.
      await tx`SET LOCAL statement_timeout = 0`;
      await tx`SELECT pg_advisory_xact_lock(${lock})`;
      await begin(tx);
      const done = await appliedVersions(tx);
      const next = migrations.find(({ version }) => !done.has(version));
      if (next === undefined) return true;
      await tx.unsafe(next.sql);
      await tx`INSERT INTO schema_migrations (version, name) VALUES (${next.version}, ${next.name})`;
      applied += 1;
      log?.info('applied a migration', { version: next.version, name: next.name });
      return false;
    });
    if (isDone) break;
  }
  return applied;
}
