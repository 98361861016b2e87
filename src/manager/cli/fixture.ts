/** `mgr fixture`: fills tables from files, or with the first accounts. */
import { existsSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { argument, type CommandIo, defineCommand, option } from '../../common/command.ts';
import { writeEnvironmentFiles } from '../../common/environment-files.ts';
import { UserError } from '../../common/errors.ts';
import { systemRandom } from '../../common/random.ts';
import { fixtureAccounts } from '../fixture/accounts.ts';
import { seedAccounts } from '../fixture/seed.ts';
import { populateFixture } from '../fixture/service.ts';
import { configOptions, readConfig, readInput, withTables } from './context.ts';

/** The manager as clients on this machine reach it. */
function localEndpoint(io: CommandIo, configPath: string | undefined): string {
  const { serviceAddr, tls } = readConfig({ io, configPath });
  const wildcard = ['0.0.0.0', '::'].includes(serviceAddr.host);
  const host = wildcard ? '127.0.0.1' : serviceAddr.host;
  return `${tls ? 'https' : 'http'}://${host}:${serviceAddr.port}`;
}

export const populate = defineCommand({
  help: 'Fill tables from a fixture file: all of it or, when anything is wrong, nothing. Rows that exist already are skipped. For accounts with keypairs in the file, env-local-<name>-api.sh files are written, to be sourced by a shell.',
  options: {
    ...configOptions,
    envDir: option(['--env-dir'], 'DIR', 'Where to write the env-local files. [default: .]'),
  },
  positionals: { path: argument('PATH', 'The file; - for standard input.') },
  async run({ options: { config, envDir }, args: { path }, io }) {
    const text = await readInput(io, path);
    await withTables({ io, configPath: config }, async (sql) => {
      for (const { table, rows, written } of await populateFixture(sql, text)) {
        const skipped = rows - written;
        const note = skipped > 0 ? ` (${skipped} existed already)` : '';
        io.stdout.write(`${table}: ${written}${note}\n`);
      }
    });
    const endpoint = localEndpoint(io, config);
    const folder = resolve(io.cwd, envDir ?? '.');
    for (const file of writeEnvironmentFiles(folder, endpoint, fixtureAccounts(text))) {
      io.stdout.write(`wrote ${file}\n`);
    }
    return 0;
  },
});

export const createAccounts = defineCommand({
  help: 'Fill a new database with what accounts need to work (domain, projects, policies, resource group, presets) and five accounts: administrators, users and a monitor. Their passwords and keys are made up and written to FILE, for its owner only; nobody else knows them. A database with accounts stays as it is.',
  options: {
    ...configOptions,
    envDir: option(['--env-dir'], 'DIR', 'Where to write the env-local files. [default: .]'),
  },
  positionals: { path: argument('FILE', 'Where to keep the secrets, as JSON.') },
  async run({ options: { config, envDir }, args, io }) {
    const path = resolve(io.cwd, args.path);
    const made = await withTables({ io, configPath: config }, (sql) =>
      seedAccounts(sql, systemRandom, async (accounts) => {
        await writeFile(`${path}.new`, `${JSON.stringify(accounts, null, 2)}\n`, { mode: 0o600 });
        await rename(`${path}.new`, path);
      }),
    );
    if (made === null) {
      if (existsSync(path)) {
        io.stdout.write(`There are accounts already; ${args.path} stays as it is.\n`);
        return 0;
      }
      throw new UserError(
        `The database holds accounts already, and their secrets are not in ${args.path}.`,
        {
          hint: 'Use an empty database, or restore the file from a backup.',
        },
      );
    }
    const endpoint = localEndpoint(io, config);
    for (const file of writeEnvironmentFiles(resolve(io.cwd, envDir ?? '.'), endpoint, made)) {
      io.stdout.write(`wrote ${file}\n`);
    }
    io.stdout.write(`wrote ${path}\n`);
    return 0;
  },
});
