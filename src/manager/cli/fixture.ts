/** `mgr fixture`: fills tables from files. */
import { resolve } from 'node:path';
import { argument, type CommandIo, defineCommand, option } from '../../common/command.ts';
import { writeEnvironmentFiles } from '../../common/environment-files.ts';
import { fixtureAccounts } from '../fixture/accounts.ts';
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
