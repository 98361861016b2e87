/** `app-proxy-coordinator schema`: the tables of its database. */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import * as v from 'valibot';
import {
  argument,
  type CommandIo,
  defineCommand,
  flag,
  integer,
  option,
} from '../../../common/command.ts';
import { errorMessage, UserError } from '../../../common/errors.ts';
import { commandLogger } from '../../../logging/options.ts';
import { loadCoordinatorConfig } from '../config-file.ts';
import { createDatabase } from '../database-store.ts';
import { migrateCoordinator, schemaVersions, setAside } from '../schema.ts';
import { openCoordinatorDatabase } from './database.ts';

const options = {
  config: option(
    ['-f', '--config-path', '--config'],
    'FILE',
    'Configuration of the coordinator. [default: app-proxy-coordinator.toml, looked for in the usual places]',
  ),
};

const load = (io: CommandIo, configPath: string | undefined) =>
  loadCoordinatorConfig({
    explicitPath: configPath === undefined ? undefined : resolve(io.cwd, configPath),
    places: { cwd: io.cwd, home: io.env.HOME || homedir() },
    env: io.env,
  });

const loggerOf = (io: CommandIo) => commandLogger('app-proxy-coordinator', io, 'WARNING');

const open = async (io: CommandIo, configPath: string | undefined) =>
  await openCoordinatorDatabase(load(io, configPath), loggerOf(io));

/** The database that every server of PostgreSQL has. */
const MAINTENANCE_DATABASE = 'postgres';

const errorOfMissing = v.object({ cause: v.object({ code: v.literal('3D000') }) });

/** @throws UserError that says what an administrator has to do when the role may not. */
async function createMissing(io: CommandIo, configPath: string | undefined): Promise<void> {
  const config = load(io, configPath);
  try {
    await (await openCoordinatorDatabase(config, loggerOf(io))).end({ timeout: 5 });
    return;
  } catch (error) {
    if (!v.is(errorOfMissing, error)) throw error;
  }
  const { database, user } = config.db;
  const there = { ...config, db: { ...config.db, database: MAINTENANCE_DATABASE } };
  const sql = await openCoordinatorDatabase(there, loggerOf(io));
  try {
    if (await createDatabase(sql, database)) io.stdout.write(`Created the database ${database}.\n`);
  } catch (error) {
    throw new UserError(`The database ${database} cannot be created: ${errorMessage(error)}`, {
      hint: `As its administrator: CREATE DATABASE "${database}" OWNER "${user}"`,
      cause: error,
    });
  } finally {
    await sql.end({ timeout: 5 });
  }
}

export const showSchema = defineCommand({
  options,
  async run({ options: given, io }) {
    const sql = await open(io, given.config);
    try {
      const { applied, latest } = await schemaVersions(sql);
      io.stdout.write(`Schema of the database: ${applied}\nNewest schema: ${latest}\n`);
      return 0;
    } finally {
      await sql.end({ timeout: 5 });
    }
  },
});

export const createSchema = defineCommand({
  options: {
    ...options,
    createDatabase: flag(
      ['--create-database'],
      'Create the database, too, if it is missing; the role has to be allowed to.',
    ),
  },
  async run({ options: given, io }) {
    if (given.createDatabase) await createMissing(io, given.config);
    const sql = await open(io, given.config);
    try {
      const applied = await migrateCoordinator(sql);
      io.stdout.write(`Migrations applied: ${applied}\n`);
      return 0;
    } finally {
      await sql.end({ timeout: 5 });
    }
  },
});

export const setAsideNewer = defineCommand({
  options,
  positionals: {
    version: argument(
      'SCHEMA',
      'Newest schema that the earlier version knows.',
      integer({ min: 0 }),
    ),
  },
  async run({ options: given, args: { version }, io }) {
    const sql = await open(io, given.config);
    try {
      const count = await setAside(sql, version);
      io.stdout.write(`The schema is shown as ${version}; ${count} newer steps are set aside.\n`);
      return 0;
    } finally {
      await sql.end({ timeout: 5 });
    }
  },
});
