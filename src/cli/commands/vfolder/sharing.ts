/** `vfolder invite|invitations|share|unshare`: folders and other people. */
import { type Command, defineCommand, restArguments } from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { printStatus } from '../../../common/glyphs.ts';
import { connect } from '../../connect.ts';
import { askLine, LineReader } from '../../framework/prompt.ts';
import { itemsDocument, printJson } from '../../output/json.ts';
import { formatTable } from '../../output/table.ts';
import { nameArgument, permissionOption } from '../../vfolder/shared.ts';

const emails = restArguments('EMAILS', 'E-mail addresses of users.');

function requireEmails(list: readonly string[]): void {
  if (list.length === 0) throw new UserError('Name at least one user.', { exitCode: 4 });
}

type Api = Awaited<ReturnType<typeof connect>>['folder'];

const sharing = (
  run: (api: Api, id: string, who: readonly string[], permission: string) => Promise<string[]>,
  done: string,
): Command =>
  defineCommand({
    positionals: { name: nameArgument, emails },
    options: { permission: permissionOption },
    async run({ options, args, io, globals }) {
      requireEmails(args.emails);
      const client = await connect({ io, globals });
      const id = await client.folder.idOf(args.name);
      const people = await run(client.folder, id, args.emails, options.permission);
      if (globals.output === 'json') printJson(io, { ok: true, emails: people });
      else if (people.length === 0) printStatus(io.stderr, 'info', 'Nobody new.');
      else printStatus(io.stderr, 'done', `${done}\n${people.join('\n')}`);
      return 0;
    },
  });

export const invite = sharing(
  (api, id, who, permission) => api.invite(id, who, permission),
  'Invitations are sent to:',
);
export const share = sharing(
  (api, id, who, permission) => api.share(id, who, permission),
  'Shared with:',
);

export const unshare = defineCommand({
  positionals: { name: nameArgument, emails },
  async run({ args, io, globals }) {
    requireEmails(args.emails);
    const client = await connect({ io, globals });
    const people = await client.folder.unshare(await client.folder.idOf(args.name), args.emails);
    if (globals.output === 'json') printJson(io, { ok: true, emails: people });
    else printStatus(io.stderr, 'done', `No longer shared with:\n${people.join('\n')}`);
    return 0;
  },
});

export const invitations = defineCommand({
  help: 'Show invitations to folders and answer them.',
  async run({ io, globals }) {
    const client = await connect({ io, globals });
    const pending = await client.folder.invitations();
    if (globals.output === 'json') {
      printJson(io, itemsDocument(pending, pending.length));
      return 0;
    }
    if (pending.length === 0) {
      io.stdout.write('No invitations.\n');
      return 0;
    }
    const rows = pending.map((one, index) => [
      String(index + 1),
      one.vfolder_name,
      one.inviter,
      one.perm,
    ]);
    io.stdout.write(formatTable(['No', 'Folder', 'From', 'Permission'], rows));
    const lines = new LineReader(io.input);
    const choice = await askLine(io, lines, 'Choose invitation number to manage: ');
    const chosen = pending[Number(choice) - 1];
    if (chosen === undefined) {
      printStatus(io.stderr, 'info', 'Nothing is answered.');
      return 0;
    }
    const answer = (await askLine(io, lines, '(a)ccept, (r)eject or (c)ancel? '))
      .trim()
      .toLowerCase();
    if (answer === 'a' || answer === 'accept') {
      await client.folder.acceptInvitation(chosen.id);
      printStatus(io.stderr, 'done', `You can now use folder '${chosen.vfolder_name}'.`);
    } else if (answer === 'r' || answer === 'reject') {
      await client.folder.rejectInvitation(chosen.id);
      printStatus(io.stderr, 'done', `The invitation to '${chosen.vfolder_name}' is rejected.`);
    } else printStatus(io.stderr, 'info', 'Nothing is answered.');
    return 0;
  },
});
