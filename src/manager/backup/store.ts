/** Whole tables as streams: read in one snapshot, and written into an empty database in one transaction. */
import type { Sql, TransactionSql } from 'postgres';
import * as v from 'valibot';

/** What the migrations make by themselves, and the embedded configuration store, which is copied by key. */
const NOT_COPIED = ['schema_migrations', 'alembic_version', 'config_entries'];

const columns = v.array(v.object({ table: v.string(), column: v.string() }));

/** Columns by table, of all tables that are copied. */
export async function selectTables(sql: Sql): Promise<Map<string, string[]>> {
  const rows = v.parse(
    columns,
    await sql`
      SELECT c.relname AS table, a.attname AS column
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
         AND a.attgenerated = '' AND NOT c.relname = ANY(${NOT_COPIED})
       ORDER BY c.relname, a.attnum`,
  );
  const tables = new Map<string, string[]>();
  for (const { table, column } of rows) {
    const known = tables.get(table);
    if (known) known.push(column);
    else tables.set(table, [column]);
  }
  return tables;
}

/** Runs `work` in one snapshot of the database, which nothing that others do meanwhile changes. */
export function inSnapshot<T>(sql: Sql, work: (tx: TransactionSql) => Promise<T>): Promise<T> {
  return sql.begin('isolation level repeatable read read only', async (tx) => {
    await tx`SET LOCAL statement_timeout = 0`;
    await tx`SET LOCAL idle_in_transaction_session_timeout = 0`;
    return work(tx);
  }) as Promise<T>;
}

/** A table's rows in COPY's text format, a line each. */
export async function copyOut(
  tx: TransactionSql,
  table: string,
  names: readonly string[],
): Promise<AsyncIterable<Uint8Array>> {
  return tx`COPY ${tx(table)} (${tx([...names])}) TO STDOUT`.readable();
}

/** How many accounts there are: none in a database that nobody uses yet. */
export async function countUsers(sql: Sql): Promise<number> {
  const [row] = await sql<{ count: number }[]>`SELECT count(*)::int AS count FROM users`;
  return row?.count ?? 0;
}

const constraints = v.array(
  v.object({ table: v.string(), name: v.string(), definition: v.string() }),
);

/**
 * Runs `work` in a transaction in which every copied table is empty and no row has to refer to another
 * yet: rows of tables that refer to each other come one after the other. All must in the end.
 */
export function inEmptyTables<T>(
  sql: Sql,
  tables: readonly string[],
  work: (tx: TransactionSql) => Promise<T>,
): Promise<T> {
  return sql.begin(async (tx) => {
    await tx`SET LOCAL statement_timeout = 0`;
    await tx`SET LOCAL idle_in_transaction_session_timeout = 0`;
    const references = v.parse(
      constraints,
      await tx`
        SELECT conrelid::regclass::text AS table, conname AS name,
               pg_get_constraintdef(oid) AS definition
          FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace
         ORDER BY conname`,
    );
    for (const { table, name } of references) {
      await tx`ALTER TABLE ${tx(table)} DROP CONSTRAINT ${tx(name)}`;
    }
    if (tables.length > 0) await tx`TRUNCATE ${tx([...tables])}`;
    const result = await work(tx);
    await advanceSequences(tx);
    for (const { table, name, definition } of references) {
      // The text is the server's own.
      await tx`ALTER TABLE ${tx(table)} ADD CONSTRAINT ${tx(name)} ${tx.unsafe(definition)}`;
    }
    return result;
  }) as Promise<T>;
}

const sequences = v.array(
  v.object({ table: v.string(), column: v.string(), sequence: v.string() }),
);

/** Numbers that columns give themselves go on after the largest that is there. */
async function advanceSequences(tx: TransactionSql): Promise<void> {
  const owned = v.parse(
    sequences,
    await tx`
      SELECT c.relname AS table, a.attname AS column,
             pg_get_serial_sequence(quote_ident(c.relname), a.attname) AS sequence
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
         AND pg_get_serial_sequence(quote_ident(c.relname), a.attname) IS NOT NULL`,
  );
  for (const { table, column, sequence } of owned) {
    await tx`SELECT setval(${sequence}::regclass, max(${tx(column)})) FROM ${tx(table)}
              HAVING max(${tx(column)}) IS NOT NULL`;
  }
}

/** Where a table's rows go, in COPY's text format. */
export async function copyIn(
  tx: TransactionSql,
  table: string,
  names: readonly string[],
): Promise<NodeJS.WritableStream> {
  return tx`COPY ${tx(table)} (${tx([...names])}) FROM STDIN`.writable();
}
