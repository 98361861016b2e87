/** Brings a database to the newest schema; safe to run from several managers at once. */
import type { Sql } from 'postgres';
import { UserError } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import {
  appliedVersions,
  applyMigrations,
  createHistory,
  type Migration,
  setAsideMigrations,
} from '../../stores/sql/migrate.ts';
import type { Db } from './connect.ts';
import { migrations } from './migrations/index.ts';

/** Any fixed number: names the lock that migrating processes queue for. */
const MIGRATION_LOCK = 7_120_260_404;
/** The last revision of upstream's schema that ours corresponds to. */
export const UPSTREAM_REVISION = '26.4.4';

export interface SchemaState {
  /** Version of the newest applied migration; 0 for an empty database. */
  readonly version: number;
  /** Version of the newest migration this program knows. */
  readonly latest: number;
  /** Versions of the migrations that this program knows and the database lacks, in order. */
  readonly missing: readonly number[];
  /** Content of upstream's `alembic_version`; null when there is none. */
  readonly upstreamRevision: string | null;
}

async function tableExists(sql: Db, name: string): Promise<boolean> {
  const [row] = await sql<{ found: boolean }[]>`SELECT to_regclass(${name}) IS NOT NULL AS found`;
  return row?.found ?? false;
}

/** Which schema the database has now. Changes nothing. */
export async function schemaState(
  sql: Db,
  known: readonly Migration[] = migrations,
): Promise<SchemaState> {
  const applied = await appliedVersions(sql, known);
  let upstreamRevision: string | null = null;
  if (await tableExists(sql, 'alembic_version')) {
    const [row] = await sql<{ version_num: string }[]>`SELECT version_num FROM alembic_version`;
    upstreamRevision = row?.version_num ?? null;
  }
  return {
    version: Math.max(0, ...applied),
    latest: known.at(-1)?.version ?? 0,
    missing: known.map(({ version }) => version).filter((version) => !applied.has(version)),
    upstreamRevision,
  };
}

/** @throws UserError when a newer program wrote the schema, or migrations have to be applied first. */
export function assertCurrent({ version, latest, missing }: SchemaState): void {
  if (version > latest) {
    throw new UserError(
      `The database has schema ${version}; this version of backend.ai knows ${latest}.`,
      { hint: 'Run a newer version of backend.ai, the one that wrote the database or later.' },
    );
  }
  if (missing.length > 0) {
    throw new UserError(
      version < latest
        ? `The database has schema ${version}; this version needs ${latest}.`
        : `The database has schema ${version} without ${missing.join(', ')}, which belong to it.`,
      { hint: 'Run `backend.ai mgr schema oneshot` first.' },
    );
  }
}

function assertOurs(state: SchemaState): void {
  if (state.version > state.latest) {
    throw new UserError(
      `The database has schema ${state.version}, newer than ${state.latest}, which this version knows.`,
      { hint: 'Run the version of backend.ai that wrote it, or a later one.' },
    );
  }
  if (state.version === 0 && state.upstreamRevision !== null) {
    throw new UserError(
      `The database already holds a schema of another origin (alembic revision ${state.upstreamRevision}).`,
      { hint: 'Name an empty database in the [db] section of manager.toml.' },
    );
  }
}

async function prepare(sql: Db): Promise<void> {
  // A trusted extension: the owner of the database may create it.
  await sql`CREATE EXTENSION IF NOT EXISTS "uuid-ossp"`;
  await sql`CREATE TABLE alembic_version (
    version_num varchar(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)`;
  await sql`INSERT INTO alembic_version VALUES (${UPSTREAM_REVISION})`;
  await createHistory(sql);
}

/**
 * Applies every missing migration in order, each in a transaction of its own.
 *
 * Processes that migrate the same database at once queue up; the later ones find nothing to do.
 * @param known those of this program, in order.
 * @returns how many migrations were applied.
 * @throws UserError when the schema is newer than this program or not ours.
 */
export async function migrate(
  sql: Sql,
  log?: Logger,
  known: readonly Migration[] = migrations,
): Promise<number> {
  return await applyMigrations(sql, {
    migrations: known,
    lock: MIGRATION_LOCK,
    async begin(tx) {
      const state = await schemaState(tx, known);
      assertOurs(state);
      if (state.version === 0) await prepare(tx);
    },
    log,
  });
}

/**
 * Lets a program of before run on this schema, as `setAsideMigrations` tells.
 * @param newest version of the schema that it knows.
 */
export const setAside = (sql: Sql, newest: number): Promise<number> =>
  setAsideMigrations(sql, { newest, lock: MIGRATION_LOCK });
