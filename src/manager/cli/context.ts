/** What the commands of `mgr` share: the configuration file, the database, the configuration store. */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import type { Sql } from 'postgres';
import { systemClock } from '../../common/clock.ts';
import { type CommandIo, option } from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { systemRandom } from '../../common/random.ts';
import { commandLogger } from '../../logging/options.ts';
import type { ConfigStore } from '../../stores/config/port.ts';
import type { LiveStore } from '../../stores/live/port.ts';
import { readRedisAddress } from '../../stores/live/settings.ts';
import type { AdministrativeChange } from '../audit/service.ts';
import { loadManagerConfig, type ManagerConfig } from '../config-file.ts';
import { connectDatabase } from '../db/connect.ts';

export const configOptions = {
  config: option(
    ['-f', '--config-path', '--config'],
    'FILE',
    'Configuration of the manager. [default: manager.toml, looked for in the usual places]',
  ),
};

/** Connections of a command: few, because it runs beside the managers. */
const COMMAND_CONNECTIONS = 4;

export interface Invocation {
  readonly io: CommandIo;
  /** Value of `-f`. */
  readonly configPath: string | undefined;
  /** Least severe records on standard error; `INFO` when absent. */
  readonly logLevel?: string;
}

/** @throws UserError when the file is missing or wrong. */
export function readConfig({ io, configPath }: Invocation): ManagerConfig {
  return loadManagerConfig({
    explicitPath: configPath === undefined ? undefined : resolve(io.cwd, configPath),
    places: { cwd: io.cwd, home: io.env.HOME || homedir() },
    env: io.env,
  });
}

/** A log on the command's standard error, for progress. */
export const commandLog = ({ io, logLevel = 'INFO' }: Invocation): Logger =>
  commandLogger('mgr', io, logLevel);

/** Runs `work` with the database that the configuration names. */
export async function withDatabase<T>(
  invocation: Invocation,
  work: (sql: Sql, log: Logger) => Promise<T>,
): Promise<T> {
  const { db } = readConfig(invocation);
  const log = commandLog(invocation);
  const sql = await connectDatabase(
    {
      host: db.host,
      port: db.port,
      others: db.others,
      database: db.name,
      user: db.user,
      password: db.password,
      maxConnections: COMMAND_CONNECTIONS,
      applicationName: 'backend.ai-mgr',
    },
    log,
  );
  try {
    return await work(sql, log);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** As `withDatabase`, for commands that need the tables. */
export function withTables<T>(
  invocation: Invocation,
  work: (sql: Sql, log: Logger) => Promise<T>,
): Promise<T> {
  return withDatabase(invocation, async (sql, log) => {
    const { assertCurrent, schemaState } = await import('../db/migrate.ts');
    assertCurrent(await schemaState(sql));
    return work(sql, log);
  });
}

/**
 * What a command changes stands in the audit log as the operator's, who has the database itself and
 * no account. Running managers are not told: this is for what they read anew for every request.
 */
export const operatorChange = (sql: Sql): AdministrativeChange => ({
  ctx: {
    sql,
    clock: systemClock,
    random: systemRandom,
    events: { publish() {}, subscribe: () => () => {} },
  },
  caller: { userId: null, email: 'the operator', role: 'superadmin' },
  requestId: systemRandom.uuid(),
  clientAddress: null,
});

/** Runs `work` with the configuration store, which is etcd wherever a manager.toml is used. */
export async function withConfigStore<T>(
  invocation: Invocation,
  work: (store: ConfigStore) => Promise<T>,
): Promise<T> {
  const { etcd } = readConfig(invocation);
  const { openEtcdConfigStore } = await import('../../stores/config/etcd.ts');
  const store = await openEtcdConfigStore({ ...etcd, log: commandLog(invocation) });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** Under which the managers of a cluster keep their part of a Redis that clusters may share. */
export const liveKeyPrefix = (namespace: string): string => `backendai:${namespace}:`;

/** Runs `work` with the managers' Redis, which the configuration store names. */
export function withLiveStore<T>(
  invocation: Invocation,
  work: (live: LiveStore) => Promise<T>,
): Promise<T> {
  const { etcd } = readConfig(invocation);
  return withConfigStore(invocation, async (store) => {
    const address = await readRedisAddress(store);
    const { openRedisLiveStore } = await import('../../stores/live/redis.ts');
    const keyPrefix = liveKeyPrefix(etcd.namespace);
    const live = await openRedisLiveStore({ ...address, keyPrefix, log: commandLog(invocation) });
    try {
      return await work(live);
    } finally {
      await live.close();
    }
  });
}

/** The text of a file; `-` means standard input. @throws UserError when it cannot be read. */
export async function readInput(io: CommandIo, path: string): Promise<string> {
  try {
    return await (path === '-' ? Bun.stdin : Bun.file(resolve(io.cwd, path))).text();
  } catch (error) {
    throw new UserError(`Cannot read ${path === '-' ? 'standard input' : path}.`, {
      hint: 'Check that the file exists and may be read.',
      cause: error,
    });
  }
}

/** A time as a part of a file's name: `20260102-030405`, UTC. */
export const timeInName = (now: Date): string =>
  now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');

/** Columns padded with spaces, without a header or trailing blanks. */
export function plainTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, Bun.stringWidth(cell));
    });
  }
  return rows
    .map((row) => {
      const cells = row.map(
        (cell, i) => cell + ' '.repeat((widths[i] ?? 0) - Bun.stringWidth(cell)),
      );
      return `${cells.join('  ').trimEnd()}\n`;
    })
    .join('');
}
