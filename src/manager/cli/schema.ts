/** `mgr schema`: creates the tables and tells which schema there is. */
import { argument, type CommandIo, defineCommand, integer, option } from '../../common/command.ts';
import { provideSystemRoles } from '../authz/system-roles.ts';
import { migrate, schemaState, setAside } from '../db/migrate.ts';
import { type Invocation, withDatabase } from './context.ts';

export const options = {
  config: option(
    ['-f', '--config-path', '--config', '--alembic-config'],
    'FILE',
    "Configuration of the manager; upstream's alembic.ini is accepted and has no effect.",
  ),
};

/** Scripts for upstream name alembic.ini, which says nothing about where the database is. */
export function invocationOf(io: CommandIo, config: string | undefined): Invocation {
  return { io, configPath: config?.endsWith('.ini') ? undefined : config };
}

export const oneshot = defineCommand({
  options,
  async run({ options: { config }, io }) {
    await withDatabase(invocationOf(io, config), async (sql, log) => {
      const before = await schemaState(sql);
      if (before.version === 0) log.info('Detected a fresh new database. Creating tables...');
      const applied = await migrate(sql, log);
      // An older manager that still ran made users and projects without their roles.
      await sql.begin((tx) => provideSystemRoles(tx));
      const { version } = await schemaState(sql);
      io.stdout.write(
        applied === 0
          ? `The schema is up to date: ${version}.\n`
          : `The schema is now ${version}; ${applied} ${applied === 1 ? 'step' : 'steps'} applied.\n`,
      );
    });
    return 0;
  },
});

export const show = defineCommand({
  options,
  async run({ options: { config }, io }) {
    await withDatabase(invocationOf(io, config), async (sql) => {
      const { version, latest, upstreamRevision } = await schemaState(sql);
      const current = version === 0 && upstreamRevision !== null ? upstreamRevision : version;
      io.stdout.write(
        `Current database revision: ${current}\n` +
          `The head revision of available migrations: ${latest}\n`,
      );
    });
    return 0;
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
  async run({ options: { config }, args: { version }, io }) {
    await withDatabase(invocationOf(io, config), async (sql) => {
      const count = await setAside(sql, version);
      io.stdout.write(`The schema is shown as ${version}; ${count} newer steps are set aside.\n`);
    });
    return 0;
  },
});
