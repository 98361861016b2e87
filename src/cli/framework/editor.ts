/** Lets the user write a text in an editor of theirs. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandIo } from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';

const DEFAULT_EDITOR = 'vi';

/**
 * Opens `template` in $VISUAL or $EDITOR and waits until that ends.
 * @param fileName tells the editor what kind of text it is.
 * @returns the text; null when it is as it was, or empty.
 * @throws UserError when there is no such editor or it fails.
 */
export async function editText(
  io: CommandIo,
  template: string,
  fileName: string,
): Promise<string | null> {
  const editor = io.env.VISUAL || io.env.EDITOR || DEFAULT_EDITOR;
  const folder = mkdtempSync(join(tmpdir(), 'backend.ai-edit-'));
  const path = join(folder, fileName);
  try {
    writeFileSync(path, template);
    // Through a shell: the variable may hold a command with options.
    const child = Bun.spawn(['sh', '-c', `${editor} "$1"`, 'sh', path], {
      cwd: io.cwd,
      env: { ...process.env, ...io.env },
      stdin: 'inherit',
      stdout: 'inherit',
      stderr: 'inherit',
    });
    if ((await child.exited) !== 0) {
      throw new UserError(`The editor '${editor}' failed.`, {
        hint: 'Set EDITOR to one that works, or give the text as an option.',
      });
    }
    const text = readFileSync(path, 'utf8');
    return text === template || text.trim() === '' ? null : text;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
