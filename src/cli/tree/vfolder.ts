/** `vfolder`: folders of users and projects. */
import type { CommandRecord } from '../../common/command.ts';
import { leaf } from './leaf.ts';

const files = () => import('../commands/vfolder/files.ts');
const list = () => import('../commands/vfolder/list.ts');
const manage = () => import('../commands/vfolder/manage.ts');
const sharing = () => import('../commands/vfolder/sharing.ts');

export const folderCommands: CommandRecord = {
  clone: leaf('Copy a folder.', async () => (await manage()).clone),
  cp: leaf('Copy files into or out of a folder.', async () => (await files()).copy),
  create: leaf('Make a folder.', async () => (await manage()).create),
  delete: leaf('Move a folder to the trash.', async () => (await manage()).trash),
  'delete-trash': leaf(
    'Delete a folder of the trash for good.',
    async () => (await manage()).deleteTrash,
  ),
  download: leaf('Copy files out of a folder.', async () => (await files()).download),
  info: leaf('Show the details of a folder.', async () => (await manage()).info),
  invitations: leaf('Answer invitations.', async () => (await sharing()).invitations),
  invite: leaf('Invite users to a folder.', async () => (await sharing()).invite),
  leave: leaf('Give up a folder that is shared with you.', async () => (await manage()).leave),
  list: leaf('List folders.', async () => (await list()).list),
  'list-allowed-types': leaf(
    'Show whose folders can be made.',
    async () => (await manage()).listAllowedTypes,
  ),
  'list-hosts': leaf('List the storage hosts.', async () => (await manage()).listHosts),
  'list-invited': leaf('List folders shared with you.', async () => (await list()).listInvited),
  'list-own': leaf('List your own folders.', async () => (await list()).listOwn),
  'list-project': leaf("List your projects' folders.", async () => (await list()).listProject),
  ls: leaf('List the files of a folder.', async () => (await files()).ls),
  mkdir: leaf('Make directories in a folder.', async () => (await files()).makeDirectory),
  mv: leaf('Move a file within a folder.', async () => (await files()).move),
  purge: leaf('Forget a deleted folder.', async () => (await manage()).purge),
  recover: leaf('Take a folder out of the trash.', async () => (await manage()).restore),
  rename: leaf('Rename a folder.', async () => (await manage()).rename),
  'rename-file': leaf('Rename a file of a folder.', async () => (await files()).renameFile),
  'request-download': leaf(
    'Print an address to download a file from.',
    async () => (await files()).requestDownload,
  ),
  restore: leaf('Take a folder out of the trash.', async () => (await manage()).restore),
  rm: leaf('Delete files of a folder.', async () => (await files()).remove, ['delete-file']),
  share: leaf(
    "Give members permissions on a project's folder.",
    async () => (await sharing()).share,
  ),
  sync: {
    description: 'Make a directory and a folder the same.',
    load: () => import('../commands/vfolder/sync.ts'),
  },
  unshare: leaf("Take away members' own permissions.", async () => (await sharing()).unshare),
  'update-options': leaf(
    'Change what a folder allows.',
    async () => (await manage()).updateOptions,
  ),
  upload: leaf('Copy files into a folder.', async () => (await files()).upload),
};
