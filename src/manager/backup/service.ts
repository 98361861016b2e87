/**
 * Backs up what a cluster knows, and restores it into an empty one: the database, the configuration
 * store and the manager's key. Files of folders are their storage's, and what Redis holds is made anew.
 */
import { once } from 'node:events';
import { finished } from 'node:stream/promises';
import type { Sql, TransactionSql } from 'postgres';
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';
import { UserError } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { keysFromPem, type NodeKeys } from '../../common/rpc/keys.ts';
import { VERSION } from '../../common/version.ts';
import type { ConfigStore } from '../../stores/config/port.ts';
import { appliedVersions } from '../../stores/sql/migrate.ts';
import { migrate } from '../db/migrate.ts';
import { migrations } from '../db/migrations/index.ts';
import { type BackupTable, configPart, MANAGER_KEY, type Manifest, tablePart } from './manifest.ts';
import { checkBackup, readEntries } from './read.ts';
import * as store from './store.ts';
import { type ArchiveWriter, writeBackup } from './write.ts';

/** etcd writes so many entries at once. */
const CONFIG_BATCH = 100;

/** The parts of a cluster that are backed up. */
export interface Cluster {
  readonly sql: Sql;
  readonly config: ConfigStore;
  /** In which the configuration store's entries lie; told, not restored. */
  readonly namespace: string;
  readonly managerId: string;
  readonly clock: Clock;
  readonly log: Logger;
}

async function addTables(
  tx: TransactionSql,
  tables: ReadonlyMap<string, string[]>,
  writer: ArchiveWriter,
  log: Logger,
): Promise<BackupTable[]> {
  const written: BackupTable[] = [];
  for (const [name, columns] of tables) {
    const rows = await store.copyOut(tx, name, columns);
    const { parts, lines } = await writer.addParts((part) => tablePart(name, part), rows);
    written.push({ name, columns, rows: lines, parts });
    if (lines > 0) log.info('backed up a table', { table: name, rows: lines });
  }
  return written;
}

async function* lines(entries: ReadonlyMap<string, string>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  for (const entry of entries) yield encoder.encode(`${JSON.stringify(entry)}\n`);
}

/**
 * Writes a backup to `file`. Managers may run: the database is read as it is at one moment, the
 * configuration store at one a little before.
 * @throws UserError when the file cannot be written; what the stores throw when they fail.
 */
export function backup(cluster: Cluster, keys: NodeKeys, file: string): Promise<Manifest> {
  const { sql, config, namespace, managerId, clock, log } = cluster;
  const now = clock.now();
  return writeBackup(file, now, async (writer) => {
    await writer.add(MANAGER_KEY, keys.toPem());
    const entries = await config.listLasting('');
    const { parts } = await writer.addParts(configPart, lines(entries));
    const applied = [...(await appliedVersions(sql, migrations))].toSorted(
      (one, other) => one - other,
    );
    const tables = await store.inSnapshot(sql, async (tx) =>
      addTables(tx, await store.selectTables(sql), writer, log),
    );
    return {
      format: 1,
      createdAt: now.toISOString(),
      version: VERSION,
      managerId,
      migrations: applied,
      tables,
      config: { namespace, entries: entries.size, parts },
    };
  });
}

/** Which entry counts where the configuration store has another value than the backup. */
export type Preference = 'backup' | 'present';

export interface Restoration {
  readonly prefer: Preference | null;
  /** Whether a database with accounts is replaced, too; by default it is refused. */
  readonly replaces?: boolean;
  /** Puts the manager's key in its place; called before the database is written. */
  readonly saveKeys: (keys: NodeKeys) => Promise<void>;
}

const configLine = v.tuple([v.string(), v.string()]);

/** The small entries of a backup: its configuration and the manager's key. */
async function readSmallParts(file: string, manifest: Manifest) {
  const wanted = new Set(
    Array.from({ length: manifest.config.parts }, (_, part) => configPart(part)),
  );
  const entries = new Map<string, string>();
  let pem = '';
  await readEntries(file, async (name, content) => {
    if (name === MANAGER_KEY) pem = content.toString();
    if (!wanted.has(name)) return;
    for (const line of content
      .toString()
      .split('\n')
      .filter((text) => text !== '')) {
      const [key, value] = v.parse(configLine, JSON.parse(line));
      entries.set(key, value);
    }
  });
  return { entries, keys: keysFromPem(pem) };
}

/** @throws UserError when a newer program wrote the backup. */
function knownMigrations(manifest: Manifest) {
  const known = migrations.filter(({ version }) => manifest.migrations.includes(version));
  if (known.length === manifest.migrations.length) return known;
  throw new UserError(
    `The backup is of version ${manifest.version}, whose tables this one (${VERSION}) does not know.`,
    { hint: 'Restore it with that version or a later one.' },
  );
}

/** @throws UserError when there are entries that differ and nothing says which are wanted. */
async function restoreConfig(
  { config, log }: Cluster,
  entries: ReadonlyMap<string, string>,
  prefer: Preference | null,
): Promise<void> {
  const present = await config.listLasting('');
  const differing = [...entries]
    .filter(([key, value]) => present.has(key) && present.get(key) !== value)
    .map(([key]) => key);
  if (differing.length > 0 && prefer === null) {
    throw new UserError(
      `The configuration store has other values than the backup for ${differing.slice(0, 5).join(', ')}` +
        `${differing.length > 5 ? ` and ${differing.length - 5} more` : ''}.`,
      {
        hint:
          'Say which are wanted: --prefer present keeps those (such as the address of a new Redis), ' +
          '--prefer backup replaces them. Nothing was changed.',
      },
    );
  }
  const wanted = [...entries].filter(([key, value]) =>
    present.has(key) ? prefer === 'backup' && present.get(key) !== value : true,
  );
  for (let from = 0; from < wanted.length; from += CONFIG_BATCH) {
    await config.putMany(new Map(wanted.slice(from, from + CONFIG_BATCH)));
  }
  log.info('restored the configuration', { entries: wanted.length });
}

const refusedRows = (table: string, cause: unknown): UserError =>
  new UserError(`The database refuses the rows of table '${table}'.`, {
    hint: "PostgreSQL's log tells why. Its tables are empty, as before.",
    cause,
  });

async function restoreTables(
  { sql, log }: Cluster,
  file: string,
  { tables }: Manifest,
): Promise<void> {
  const tableOf = new Map(
    tables.flatMap((table) =>
      Array.from(
        { length: table.parts },
        (_, part) => [tablePart(table.name, part), table] as const,
      ),
    ),
  );
  const names = [...(await store.selectTables(sql)).keys()];
  await store.inEmptyTables(sql, names, async (tx) => {
    let open: { readonly table: BackupTable; readonly rows: NodeJS.WritableStream } | null = null;
    let refusal: Error | null = null;
    const close = async () => {
      if (open === null) return;
      const { table, rows } = open;
      try {
        await new Promise<void>((resolve, reject) => {
          rows.write('', (error) => (error ? reject(error) : resolve()));
        });
        // With nothing left to write the end of the stream is sent at once, before the next statement.
        rows.end();
        // The driver tells nobody of rows that are refused at the end of the stream, but the transaction
        // takes no more statements then.
        await tx`SELECT 1`;
      } catch (error) {
        throw refusal ?? refusedRows(table.name, error);
      }
      await finished(rows);
      log.info('restored a table', { table: table.name, rows: table.rows });
      open = null;
    };
    await readEntries(file, async (name, content) => {
      const table = tableOf.get(name);
      if (table === undefined) return;
      if (open?.table !== table) {
        await close();
        const rows = await store.copyIn(tx, table.name, table.columns);
        // The server may refuse what it was sent at any moment.
        rows.on('error', (error) => {
          refusal ??= error;
        });
        open = { table, rows };
      }
      if (refusal !== null) throw refusal;
      if (!open.rows.write(content)) await once(open.rows, 'drain');
    });
    await close();
  });
}

/**
 * Restores a backup into a cluster that nobody uses yet, or whose present data is not wanted. The database is written in one transaction and
 * last: when something fails on the way, the same call goes on from there.
 * @throws UserError for a damaged backup, one of a newer version, and a cluster that is in use.
 */
export async function restore(
  cluster: Cluster,
  file: string,
  { prefer, replaces = false, saveKeys }: Restoration,
): Promise<Manifest> {
  const { sql, log } = cluster;
  const manifest = await checkBackup(file);
  const known = knownMigrations(manifest);
  await migrate(sql, log, known);
  const users = await store.countUsers(sql);
  if (users > 0 && !replaces) {
    throw new UserError(
      `The database has ${users} users; a backup is restored into an empty one only.`,
      { hint: 'Name an empty database in the [db] section of manager.toml. Nothing was changed.' },
    );
  }
  const { entries, keys } = await readSmallParts(file, manifest);
  await restoreConfig(cluster, entries, prefer);
  await saveKeys(keys);
  await restoreTables(cluster, file, manifest);
  await migrate(sql, log);
  return manifest;
}
