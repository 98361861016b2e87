/** Opens the connection pool to PostgreSQL, with the conversions that all SQL here relies on. */
import type { Duplex } from 'node:stream';
import postgres, { type Sql } from 'postgres';
import * as v from 'valibot';
import { errorMessage, UserError } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { PrimaryFinder, type ServerPlace } from './primary.ts';

/** What queries run on: the pool or a transaction. */
// biome-ignore lint/complexity/noBannedTypes: the type that the package itself uses for "no custom types".
export type Db = postgres.ISql<{}>;

interface PoolOptions {
  /** Largest number of connections; 16 by default. */
  readonly maxConnections?: number;
  /** Shown in pg_stat_activity. */
  readonly applicationName?: string;
  /** The file whose `[db]` section names the database, for error messages; manager.toml by default. */
  readonly configFile?: string;
  /** Longest wait for a connection. Seconds; 5 by default. */
  readonly connectTimeoutSec?: number;
}

export type DatabaseAddress =
  | {
      /** `postgres://user:password@host:port/database`. */
      readonly url: string;
    }
  | {
      /** Host name, or the folder of a Unix socket. */
      readonly host: string;
      readonly port: number;
      /** More servers of the same data; the one that takes writes is used. */
      readonly others?: readonly ServerPlace[];
      readonly database: string;
      readonly user: string;
      readonly password?: string;
    };

export type DatabaseOptions = DatabaseAddress & PoolOptions;

const CONNECT_TIMEOUT_SEC = 5;
/** Longest run of one statement; what takes longer is broken off with an error. Milliseconds. */
const STATEMENT_TIMEOUT_MS = 60_000;
/** A transaction that does nothing for so long was forgotten; its locks are taken away. Milliseconds. */
const IDLE_IN_TRANSACTION_MS = 120_000;
const DEFAULT_MAX_CONNECTIONS = 16;
const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'EAI_AGAIN',
  'CONNECT_TIMEOUT',
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
]);

/** The conversions that differ from the driver's own; tests use them too. */
export const databaseTypes = {
  /** OID 20. Counts and byte sizes; beyond 2^53 the nearest double, as JSON has nothing better. */
  bigint: {
    to: 20,
    from: [20],
    serialize: (value: unknown) => String(value),
    parse: Number,
  },
};

/** Where a database is, for people: no password in it. */
export function describeAddress(options: DatabaseAddress): string {
  if (!('url' in options)) {
    const places = [options, ...(options.others ?? [])].map(({ host, port }) => `${host}:${port}`);
    return `${places.join(',')}/${options.database}`;
  }
  try {
    const { host, pathname } = new URL(options.url);
    return `${host}${pathname}`;
  } catch {
    return 'the given URL';
  }
}

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return String(error.code);
}

function connectError(error: unknown, where: string, file: string): UserError {
  const code = codeOf(error);
  const because = (hint: string) =>
    new UserError(`Cannot use the database at ${where}: ${errorMessage(error)}`, {
      hint,
      cause: error,
    });
  if (UNREACHABLE.has(code)) {
    return because(`Start PostgreSQL, or correct the address in the [db] section of ${file}.`);
  }
  if (code.startsWith('28')) {
    return because(`Correct user and password in the [db] section of ${file}.`);
  }
  if (code === '3D000') {
    return because(`Create the database, or correct its name in the [db] section of ${file}.`);
  }
  return because(`Check the [db] section of ${file} and the log of PostgreSQL.`);
}

/**
 * Opens a pool and checks that the database answers.
 *
 * numeric comes as a string, bigint as a number, timestamptz as a Date,
 * json and jsonb parsed, bytea as a Buffer, uuid as a lower-case string.
 * @throws UserError naming the address and what to do when the database cannot be used.
 */
export async function connectDatabase(options: DatabaseOptions, log: Logger): Promise<Sql> {
  const settings = {
    max: options.maxConnections ?? DEFAULT_MAX_CONNECTIONS,
    connect_timeout: options.connectTimeoutSec ?? CONNECT_TIMEOUT_SEC,
    connection: {
      application_name: options.applicationName ?? 'backend.ai-manager',
      statement_timeout: STATEMENT_TIMEOUT_MS,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    },
    onnotice: (notice: postgres.Notice) => log.debug('notice of the database', notice),
    types: databaseTypes,
  };
  const where = describeAddress(options);
  let sql: Sql | undefined;
  try {
    sql =
      'url' in options
        ? postgres(options.url, settings)
        : postgres({
            ...settings,
            host: options.host,
            port: options.port,
            database: options.database,
            username: options.user,
            password: options.password,
            ...primarySocket(options),
          });
    await sql`SELECT 1`;
    return sql;
  } catch (error) {
    await sql?.end({ timeout: 0 });
    throw connectError(error, where, options.configFile ?? 'manager.toml');
  }
}

/** How connections are opened when there are several servers; the driver does it for one. */
function primarySocket(options: Exclude<DatabaseAddress, { url: string }>) {
  const { others = [], host, port, database, user, password } = options;
  if (others.length === 0) return {};
  const servers = [{ host, port }, ...others];
  const finder = new PrimaryFinder({ servers, database, user, password });
  return { socket: () => finder.socket() };
}

/** The driver's own record of where a pool connects to. */
const poolAddress = v.object({
  host: v.tuple([v.string()]),
  port: v.tuple([v.number()]),
  path: v.nullish(v.union([v.string(), v.literal(false)])),
  database: v.string(),
  user: v.string(),
  pass: v.nullish(v.string()),
  socket: v.nullish(
    v.custom<() => Promise<Duplex>>((value) => typeof value === 'function', 'expected a function'),
  ),
});

function samePlace(sql: Sql) {
  const { host, port, path, database, user, pass, socket } = v.parse(poolAddress, sql.options);
  const { connect_timeout, connection, onnotice } = sql.options;
  return {
    ...{ host: host[0], port: port[0], path: path || undefined, database, username: user },
    ...{ password: pass ?? undefined, connect_timeout, connection, onnotice },
    ...(socket ? { socket } : {}),
  };
}

/**
 * A pool of one connection to the same database, for what belongs to a connection, such as an
 * advisory lock. It connects anew when the connection is lost. The caller ends it.
 */
export const singleConnection = (sql: Sql): Sql =>
  postgres({ ...samePlace(sql), max: 1, max_lifetime: null, fetch_types: false });

/** Enough that one slow statement never holds up all others. */
const LOOKUP_CONNECTIONS = 2;
/** Milliseconds. */
const LOOKUP_TIMEOUT_MS = 5_000;

/**
 * Two more connections to the same database, over which many statements follow each other without
 * waiting for each other's answers. A request then costs a third of what a connection of its own
 * costs both sides, but a statement waits for all before it: nothing may run here but finding rows
 * by a key. The caller ends it.
 */
export function lookupConnections(sql: Sql): Sql {
  const { connection, ...place } = samePlace(sql);
  return postgres({
    ...place,
    connection: { ...connection, statement_timeout: LOOKUP_TIMEOUT_MS },
    max: LOOKUP_CONNECTIONS,
    types: databaseTypes,
  });
}

/** One for each of what the leader does at the same time, and some for the snapshot of its scheduler. */
const KEYED_CONNECTIONS = 6;

/**
 * Connections to the same database for transactions of which each statement goes by keys. Their plans
 * are kept as long as the connection, and those made while a table is new would read all of it for
 * ever after: here they always use the indexes. The caller ends it.
 */
export async function keyedConnections(sql: Sql): Promise<Sql> {
  const { connection, ...place } = samePlace(sql);
  const keyed = postgres({
    ...place,
    connection: {
      ...connection,
      // As words: the driver leaves out what is false.
      enable_seqscan: 'off',
      enable_hashjoin: 'off',
      enable_mergejoin: 'off',
      // Only a plain scan notes which entries of an index are dead, so that the next one passes them by.
      enable_bitmapscan: 'off',
      enable_material: 'off',
    },
    max: KEYED_CONNECTIONS,
    types: databaseTypes,
  });
  // What the driver must know of arrays it learns with its first connection.
  await keyed`SELECT 1`;
  return keyed;
}
