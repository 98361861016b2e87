/** `mgr fixture`: fills tables from files. */
import { argument, defineCommand } from '../../common/command.ts';
import { populateFixture } from '../fixture/service.ts';
import { configOptions, readInput, withTables } from './context.ts';

export const populate = defineCommand({
  help: 'Fill tables from a fixture file: all of it or, when anything is wrong, nothing. Rows that exist already are skipped.',
  options: configOptions,
  positionals: { path: argument('PATH', 'The file; - for standard input.') },
  async run({ options: { config }, args: { path }, io }) {
    const text = await readInput(io, path);
    await withTables({ io, configPath: config }, async (sql) => {
      for (const { table, rows, written } of await populateFixture(sql, text)) {
        const skipped = rows - written;
        const note = skipped > 0 ? ` (${skipped} existed already)` : '';
        io.stdout.write(`${table}: ${written}${note}\n`);
      }
    });
    return 0;
  },
});
