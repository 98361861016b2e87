/** What several commands of `admin` share: option sets, and the confirmation before a removal. */
import {
  argument,
  type CommandContext,
  flag,
  type OptionSpec,
  option,
} from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { printStatus } from '../../common/glyphs.ts';
import { confirm, LineReader } from '../framework/prompt.ts';
import { idText, jsonObjectText } from '../framework/values.ts';

const INVALID_ARGUMENT_EXIT_CODE = 4;

const HOST_PERMISSION_FLAGS = [
  '--vfolder-host-perms',
  '--vfolder-host-permissions',
  '--vfhost-perms',
  '--allowed-vfolder-hosts',
] as const;

/** What is allowed on which folder host, as JSON text. */
export const hostPermissions: OptionSpec<string | undefined> = option(
  HOST_PERMISSION_FLAGS,
  'JSON',
  'Folder hosts and what is allowed on them, e.g. \'{"local:volume1": ["create-vfolder"]}\'.',
  jsonObjectText,
);

/** The id of a project. */
export const projectId = argument(
  'GROUP_ID',
  'Id of the project.',
  idText('See `backend.ai admin group list`.'),
);

export const yes = flag(['-y', '--yes'], 'Do not ask.');

/**
 * Asks before something is lost.
 * @returns whether to go on; the user has been told when not.
 */
export async function confirmed(
  { io }: Pick<CommandContext, 'io'>,
  isSure: boolean,
): Promise<boolean> {
  if (isSure || (await confirm(io, new LineReader(io.input)))) return true;
  printStatus(io.stderr, 'info', 'Cancelled.');
  return false;
}

/** The given properties. @throws UserError when there is none to change. */
export function changesOf<T extends object>(props: T): T {
  if (Object.values(props).every((value) => value === undefined)) {
    throw new UserError('Nothing is to be changed.', {
      hint: 'Give at least one option; --help lists them.',
      exitCode: INVALID_ARGUMENT_EXIT_CODE,
    });
  }
  return props;
}
