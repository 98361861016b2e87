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

/**
 * Versions of the applied migrations; none for an empty database.
 * @param known those of this program. What was set aside counts for programs that know it only.
 */
export async function appliedVersions(
  sql: Db,
  known: readonly Migration[],
): Promise<ReadonlySet<number>> {
  if (!(await hasHistory(sql))) return new Set();
  const rows = await sql<{ version: number }[]>`SELECT version FROM schema_migrations`;
  const isKnown = new Set(known.map(({ version }) => version));
  return new Set(
    rows
      .map(({ version }) => (isKnown.has(-version) ? -version : version))
      .filter((version) => version > 0),
  );
}

async function hasHistory(sql: Db): Promise<boolean> {
  const [table] = await sql<{ found: boolean }[]>`
    SELECT to_regclass('schema_migrations') IS NOT NULL AS found`;
  return table?.found ?? false;
}

/**
 * Hides what was applied after a version from programs of before, which refuse to run on a newer schema.
 * The tables stay as they are: what a migration makes of them still fits the version before it. A program
 * that knows these migrations takes them for applied. Their versions become negative.
 * @param newest of the migrations that stay visible.
 * @returns how many were set aside.
 */
export async function setAsideMigrations(
  sql: Sql,
  { newest, lock }: { readonly newest: number; readonly lock: number },
): Promise<number> {
  return await sql.begin(async (tx) => {
    await tx`SELECT pg_advisory_xact_lock(${lock})`;
    if (!(await hasHistory(tx))) return 0;
    const { count } = await tx`
      UPDATE schema_migrations SET version = -version WHERE version > ${newest}`;
    return count;
  });
}

/** What was set aside is visible again, as far as this program knows it. */
async function takeUpAgain(tx: Db, known: readonly Migration[]): Promise<void> {
  if (!(await hasHistory(tx))) return;
  const hidden = known.map(({ version }) => -version);
  await tx`UPDATE schema_migrations SET version = -version WHERE version = ANY(${hidden})`;
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
      await takeUpAgain(tx, migrations);
      await begin(tx);
      const done = await appliedVersions(tx, migrations);
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
