/** `session ls`: files in a session's home. */
import { argument, defineCommand, optionalArgument } from '../../../common/command.ts';
import { printStatus } from '../../../common/glyphs.ts';
import { connect } from '../../connect.ts';
import { itemsDocument, printJson } from '../../output/json.ts';
import { formatTable } from '../../output/table.ts';

const HOME = '/home/work';

/** `Nov 21 2026 07:39:00`, UTC. */
export function formatModified(seconds: number): string {
  const date = new Date(seconds * 1000);
  const month = date.toLocaleString('en-US', { month: 'short', timeZone: 'UTC' });
  const day = String(date.getUTCDate()).padStart(2, '0');
  return `${month} ${day} ${date.getUTCFullYear()} ${date.toISOString().slice(11, 19)}`;
}

export default defineCommand({
  positionals: {
    session: argument('SESSION_ID', 'Id or name.'),
    path: optionalArgument('PATH', `Folder; ${HOME} when absent.`),
  },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    const { files, errors } = await client.session.files(args.session, args.path ?? HOME);
    if (globals.output === 'json') printJson(io, itemsDocument(files, files.length));
    else if (files.length > 0) {
      const rows = files.map((file) => [
        file.filename,
        String(file.size),
        formatModified(file.mtime),
        file.mode,
      ]);
      io.stdout.write(formatTable(['File name', 'Size', 'Modified', 'Mode'], rows));
    }
    if (errors === '') return 0;
    printStatus(io.stderr, 'fail', errors);
    return 1;
  },
});
