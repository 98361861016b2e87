/** `completion`: turns on completion in a shell. */
import { homedir } from 'node:os';
import { basename } from 'node:path';
import { choice, defineCommand, flag, option } from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { printStatus } from '../../common/glyphs.ts';
import { evalLine, install, SHELLS } from '../completion/shells.ts';

export default defineCommand({
  help: `Turn on completion of commands and options in your shell.

    Adds a line to the start-up file of the shell; with --show it only prints the line.`,
  options: {
    shell: option(['--shell'], '[bash|zsh|fish]', 'The shell; from $SHELL.', choice(SHELLS)),
    show: flag(['--show'], 'Print the line instead of adding it.'),
  },
  async run({ options, io }) {
    const current = basename(io.env.SHELL ?? '');
    const shell = options.shell ?? SHELLS.find((candidate) => candidate === current);
    if (shell === undefined) {
      throw new UserError(`Completion is not available for '${current}'.`, {
        hint: `Name a shell with --shell: ${SHELLS.join(', ')}.`,
      });
    }
    if (options.show) {
      io.stdout.write(`${evalLine(shell)}\n`);
      return 0;
    }
    const { file, changed } = install(shell, io.env.HOME || homedir());
    const text = changed
      ? `Added completion to ${file}; it works in new shells.`
      : `${file} has it already.`;
    printStatus(io.stderr, 'done', text);
    return 0;
  },
});
