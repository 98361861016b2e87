/** `mgr dbshell`: psql with the address and password of the configuration. */
import { defineCommand, flag, option, restArguments } from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { configOptions, readConfig } from './context.ts';

/** Container name that means: no container, but this host's psql. */
const HOST = '-';

/** Of several servers, psql takes the one that takes writes. */
const WRITABLE = { PGTARGETSESSIONATTRS: 'read-write' };

export const dbshell = defineCommand({
  help: 'Open psql on the database of the manager. Unknown options and all arguments go to psql.',
  passUnknown: true,
  options: {
    ...configOptions,
    container: option(
      ['--psql-container'],
      'NAME',
      'Run psql in this Docker container instead of on the host.',
    ),
    psqlHelp: flag(['--psql-help'], "Show psql's own help."),
  },
  positionals: { rest: restArguments('PSQL_ARGS', 'Arguments for psql.') },
  async run({ options: { config, container, psqlHelp }, args: { rest }, io }) {
    const { db } = readConfig({ io, configPath: config });
    const isHost = container === undefined || container === HOST;
    const servers = [db, ...db.others];
    const address = isHost
      ? [
          ...['-h', servers.map(({ host }) => host).join(',')],
          ...['-p', servers.map(({ port }) => port).join(',')],
        ]
      : [];
    const psqlArgs = psqlHelp ? ['--help'] : [...address, '-U', db.user, '-d', db.name, ...rest];
    const tty = io.stdout.isTTY ? ['-t'] : [];
    const command = isHost
      ? ['psql', ...psqlArgs]
      : ['docker', 'exec', '-i', ...tty, '-e', 'PGPASSWORD', container, 'psql', ...psqlArgs];
    const [program = ''] = command;
    if (Bun.which(program, { PATH: io.env.PATH }) === null) {
      throw new UserError(`There is no ${program} on this host.`, {
        hint: isHost
          ? 'Install the PostgreSQL client, or name the container of the database with --psql-container.'
          : 'Install Docker, or leave --psql-container out.',
      });
    }
    // The password travels in the environment: other users could read it from the command line.
    const child = Bun.spawn(command, {
      cwd: io.cwd,
      env: { ...io.env, PGPASSWORD: db.password ?? '', ...(db.others.length > 0 && WRITABLE) },
      stdin: 'inherit',
      stdout: 'inherit',
      stderr: 'inherit',
    });
    // Ctrl-C is for psql, which ends a query with it.
    const ignore = () => {};
    process.on('SIGINT', ignore);
    try {
      return await child.exited;
    } finally {
      process.off('SIGINT', ignore);
    }
  },
});
