/** The SQL of the PostgreSQL configuration store: one table, and a notification per change. */
import type { Sql } from 'postgres';
import * as v from 'valibot';

/** The channel on which every change is announced, in commit order. */
export const CHANNEL = 'backend_config_entries';

/** PostgreSQL refuses notifications of 8000 bytes; larger values are read back by the receiver. */
const MAX_NOTIFIED_VALUE_BYTES = 4000;
const MAX_KEY_BYTES = 2000;

const announcement = v.pipe(
  v.string(),
  v.parseJson(),
  v.variant('type', [
    v.object({
      type: v.literal('put'),
      key: v.string(),
      /** null: too large to announce. */
      value: v.nullable(v.string()),
      ttlMs: v.nullable(v.number()),
    }),
    v.object({ type: v.literal('delete'), key: v.string() }),
  ]),
);
export type Announcement = v.InferOutput<typeof announcement>;

/** Parses a notification's payload; null when it is none of ours, or of another version's. */
export function parseAnnouncement(payload: string): Announcement | null {
  const parsed = v.safeParse(announcement, payload);
  return parsed.success ? parsed.output : null;
}

/** Creates the table if it is missing; safe to run from several processes at once. */
export async function createTable(sql: Sql): Promise<void> {
  // `if not exists` alone races between two sessions, so the look comes first and a lock guards it.
  const [found] = await sql<{ present: boolean }[]>`
    select to_regclass('config_entries') is not null as present`;
  if (found?.present) return;
  await sql.begin(async (tx) => {
    await tx`select pg_advisory_xact_lock(hashtext(${CHANNEL}))`;
    await tx`
      create table if not exists config_entries (
        key text primary key check (octet_length(key) <= ${tx.unsafe(String(MAX_KEY_BYTES))}),
        value text not null,
        expires_at timestamptz,
        owner text
      )`;
  });
}

const alive = (sql: Sql) => sql`(expires_at is null or expires_at > clock_timestamp())`;

/** `prefix` itself and what lies below it. */
function below(sql: Sql, prefix: string) {
  if (prefix === '') return sql`true`;
  const start = prefix.endsWith('/') ? prefix : `${prefix}/`;
  return sql`(key = ${prefix} or starts_with(key, ${start}))`;
}

export async function readValue(sql: Sql, key: string): Promise<string | null> {
  const [row] = await sql<{ value: string }[]>`
    select value from config_entries where key = ${key} and ${alive(sql)}`;
  return row?.value ?? null;
}

/** @param options.lasting without the entries that go by themselves. */
export async function readBelow(
  sql: Sql,
  prefix: string,
  options: { readonly lasting?: boolean } = {},
): Promise<Map<string, string>> {
  const wanted = options.lasting ? sql`expires_at is null` : alive(sql);
  const rows = await sql<{ key: string; value: string }[]>`
    select key, value from config_entries
    where ${below(sql, prefix)} and ${wanted}
    order by key collate "C"`;
  return new Map(rows.map((row) => [row.key, row.value]));
}

/** The notification of rows that a data-modifying CTE named `changed` returns. */
const announcePut = (sql: Sql, ttlMs: number | null = null) => sql`
  select pg_notify(${CHANNEL}, json_build_object(
    'type', 'put', 'key', key,
    'value', case when octet_length(to_json(value)::text) <= ${MAX_NOTIFIED_VALUE_BYTES} then value end,
    'ttlMs', ${ttlMs}::int)::text)
  from changed`;
const announceDelete = (sql: Sql) => sql`
  select pg_notify(${CHANNEL}, json_build_object('type', 'delete', 'key', key)::text)
  from changed`;

/** Writes all entries in one statement, hence all or none. */
export async function writeEntries(sql: Sql, entries: ReadonlyMap<string, string>): Promise<void> {
  if (entries.size === 0) return;
  await sql`
    with changed as (
      insert into config_entries (key, value)
      select * from unnest(${[...entries.keys()]}::text[], ${[...entries.values()]}::text[])
      on conflict (key) do update set value = excluded.value, expires_at = null, owner = null
      returning key, value
    ) ${announcePut(sql)}`;
}

/** @returns how many live entries were deleted. */
export async function deleteKey(sql: Sql, key: string): Promise<number> {
  return (
    await sql`
    with changed as (
      delete from config_entries where key = ${key} and ${alive(sql)} returning key
    ) ${announceDelete(sql)}`
  ).length;
}

/** @returns how many live entries were deleted. */
export async function deleteBelow(sql: Sql, prefix: string): Promise<number> {
  return (
    await sql`
    with changed as (
      delete from config_entries where ${below(sql, prefix)} and ${alive(sql)} returning key
    ) ${announceDelete(sql)}`
  ).length;
}

/** @returns whether the entry was written. */
export async function writeIfEqual(
  sql: Sql,
  key: string,
  expected: string | null,
  value: string,
): Promise<boolean> {
  const write =
    expected === null
      ? sql`
        insert into config_entries as present (key, value) values (${key}, ${value})
        on conflict (key) do update set value = excluded.value, expires_at = null, owner = null
        where present.expires_at <= clock_timestamp()
        returning key, value`
      : sql`
        update config_entries set value = ${value}, expires_at = null, owner = null
        where key = ${key} and value = ${expected} and ${alive(sql)}
        returning key, value`;
  return (await sql`with changed as (${write}) ${announcePut(sql)}`).length > 0;
}

/** Publishes an entry of `owner` that expires unless renewed. Replaces whatever was there. */
export async function writeLease(
  sql: Sql,
  entry: { key: string; value: string; owner: string; ttlMs: number },
): Promise<void> {
  await sql`
    with changed as (
      insert into config_entries (key, value, expires_at, owner)
      values (${entry.key}, ${entry.value},
              clock_timestamp() + ${entry.ttlMs} * interval '1 millisecond', ${entry.owner})
      on conflict (key) do update
        set value = excluded.value, expires_at = excluded.expires_at, owner = excluded.owner
      returning key, value
    ) ${announcePut(sql, entry.ttlMs)}`;
}

/** Extends the life of `owner`'s entry, silently. @returns false when the entry is no longer its. */
export async function renewLease(
  sql: Sql,
  entry: { key: string; owner: string; ttlMs: number },
): Promise<boolean> {
  const renewed = await sql`
    update config_entries
    set expires_at = clock_timestamp() + ${entry.ttlMs} * interval '1 millisecond'
    where key = ${entry.key} and owner = ${entry.owner} and ${alive(sql)}
    returning key`;
  return renewed.length > 0;
}

/** Publishes `owner`'s entry again unless somebody else's is there by now. */
export async function restoreLease(
  sql: Sql,
  entry: { key: string; value: string; owner: string; ttlMs: number },
): Promise<void> {
  await sql`
    with changed as (
      insert into config_entries as present (key, value, expires_at, owner)
      values (${entry.key}, ${entry.value},
              clock_timestamp() + ${entry.ttlMs} * interval '1 millisecond', ${entry.owner})
      on conflict (key) do update
        set value = excluded.value, expires_at = excluded.expires_at, owner = excluded.owner
        where present.expires_at <= clock_timestamp()
      returning key, value
    ) ${announcePut(sql, entry.ttlMs)}`;
}

export async function deleteLease(sql: Sql, key: string, owner: string): Promise<void> {
  await sql`
    with changed as (
      delete from config_entries where key = ${key} and owner = ${owner} returning key
    ) ${announceDelete(sql)}`;
}

/** Deletes expired entries. @returns milliseconds until the next one expires, or null. */
export async function sweepExpired(sql: Sql): Promise<number | null> {
  await sql`
    with changed as (
      delete from config_entries where expires_at <= clock_timestamp() returning key
    ) ${announceDelete(sql)}`;
  const [row] = await sql<{ ms: number | null }[]>`
    select (extract(epoch from min(expires_at) - clock_timestamp()) * 1000)::float8 as ms
    from config_entries`;
  return row?.ms ?? null;
}
