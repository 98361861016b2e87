/** `session download`: copies files out of a session's home. */
import { resolve } from 'node:path';
import {
  argument,
  defineCommand,
  optionWithDefault,
  restArguments,
} from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { printStatus, WaitingLine } from '../../../common/glyphs.ts';
import { connect } from '../../connect.ts';
import { printJson } from '../../output/json.ts';
import { downloadFiles } from '../../session/transfer.ts';

const INVALID_ARGUMENT_EXIT_CODE = 4;

export default defineCommand({
  positionals: {
    session: argument('SESSION_ID', 'Id or name.'),
    files: restArguments('FILES', "Paths relative to the session's home."),
  },
  options: {
    dest: optionWithDefault(['--dest'], 'PATH', 'Where to put them.', '.', String),
  },
  async run({ options, args, io, globals }) {
    if (args.files.length === 0) {
      throw new UserError('Name at least one file.', { exitCode: INVALID_ARGUMENT_EXIT_CODE });
    }
    const client = await connect({ io, globals });
    const line = new WaitingLine(io.stderr);
    const folder = resolve(io.cwd, options.dest);
    let written: string[];
    try {
      written = await downloadFiles(client, args.session, args.files, folder, (received) => {
        line.show(`Downloading files (${received}/${args.files.length})...`);
      });
    } finally {
      line.clear();
    }
    if (globals.output === 'json') printJson(io, { downloaded: written });
    else printStatus(io.stderr, 'done', `Downloaded to ${folder}`);
    return 0;
  },
});
