/** `app-proxy-coordinator schema`: the tables of its database. */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { type CommandIo, defineCommand, option } from '../../../common/command.ts';
import { commandLogger } from '../../../logging/options.ts';
import { loadCoordinatorConfig } from '../config-file.ts';
import { migrateCoordinator, schemaVersions } from '../schema.ts';
import { openCoordinatorDatabase } from './database.ts';

const options = {
  config: option(
    ['-f', '--config-path', '--config'],
    'FILE',
    'Configuration of the coordinator. [default: app-proxy-coordinator.toml, looked for in the usual places]',
  ),
};

async function open(io: CommandIo, configPath: string | undefined) {
  const config = loadCoordinatorConfig({
    explicitPath: configPath === undefined ? undefined : resolve(io.cwd, configPath),
    places: { cwd: io.cwd, home: io.env.HOME || homedir() },
    env: io.env,
  });
  return await openCoordinatorDatabase(
    config,
    commandLogger('app-proxy-coordinator', io, 'WARNING'),
  );
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
  options,
  async run({ options: given, io }) {
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
