/** The tables of each kind of owner, and the columns that name one. */
import type { Fragment } from 'postgres';
import type { Db } from '../db/connect.ts';
import type { Level } from './levels.ts';

/** Columns that name an owner, in the order of the unique constraints. */
const OWNER_COLUMNS = {
  domain: ['domain_name'],
  project: ['project_id'],
  user: ['user_uuid', 'project_id'],
} as const;

/** Every column about the owner. */
const COLUMNS = {
  domain: ['domain_name'],
  project: ['project_id', 'domain_name'],
  user: ['user_uuid', 'project_id', 'domain_name'],
} as const;

export const bucketTable = (sql: Db, level: Level) => sql(`${level}_usage_buckets`);
export const shareTable = (sql: Db, level: Level) => sql(`${level}_fair_shares`);

const listed = (sql: Db, names: readonly string[]): Fragment =>
  names.map((name) => sql`${sql(name)}`).reduce((left, right) => sql`${left}, ${right}`);

export const ownerColumns = (sql: Db, level: Level): Fragment => listed(sql, OWNER_COLUMNS[level]);
export const allColumns = (sql: Db, level: Level): Fragment => listed(sql, COLUMNS[level]);
