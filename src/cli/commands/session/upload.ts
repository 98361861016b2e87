/** `session upload`: copies files into a session's home. */
import { argument, defineCommand, option, restArguments } from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { printStatus, WaitingLine } from '../../../common/glyphs.ts';
import { connect } from '../../connect.ts';
import { printJson } from '../../output/json.ts';
import { localFiles, uploadFiles } from '../../session/transfer.ts';

const INVALID_ARGUMENT_EXIT_CODE = 4;

export default defineCommand({
  positionals: {
    session: argument('SESSION_ID', 'Id or name.'),
    files: restArguments('FILES', 'Files inside the base directory.'),
  },
  options: {
    basedir: option(
      ['-b', '--basedir', '--base-dir'],
      'PATH',
      "Folder whose inside becomes the session's home; the current one when absent.",
    ),
  },
  async run({ options, args, io, globals }) {
    if (args.files.length === 0) {
      throw new UserError('Name at least one file.', { exitCode: INVALID_ARGUMENT_EXIT_CODE });
    }
    const files = await localFiles(args.files, options.basedir ?? '.', io.cwd);
    const client = await connect({ io, globals });
    const line = new WaitingLine(io.stderr);
    try {
      await uploadFiles(client, args.session, files, (sent) => {
        line.show(`Uploading files (${sent}/${files.length})...`);
      });
    } finally {
      line.clear();
    }
    if (globals.output === 'json') printJson(io, { uploaded: files.map((file) => file.path) });
    else printStatus(io.stderr, 'done', 'Uploaded.');
    return 0;
  },
});
