/** Folders and the files in them. */
import * as v from 'valibot';
import { uuidText } from '../../http/parameters.ts';
import { type Change, name, optional, type Topic, user } from '../declare.ts';

const path = v.pipe(v.string(), v.maxLength(4096));
const ids = v.pipe(v.array(uuidText), v.minLength(1), v.maxLength(1000));

/** Changes of a folder, or in it: what is sent, which the mutation takes as its input. */
const inFolder = (
  action: string,
  mutation: string,
  what: string,
  body: NonNullable<Change['body']>,
): Change => ({
  ...{ ...user, method: 'POST', path: `vfolders/:vfolder_id/${action}`, mutation, what, body },
  given: ({ vfolder_id: vfolderId }, input) => ({ vfolderId, input }),
});

const FILES: readonly Change[] = [
  inFolder('files/list', 'vfolderListFilesV2', 'List files.', v.object({ path })),
  inFolder(
    'files/mkdir',
    'vfolderMkdirV2',
    'Make directories.',
    v.looseObject({ path: v.union([path, v.array(path)]) }),
  ),
  inFolder(
    'files/move',
    'vfolderMoveFileV2',
    'Move or rename a file.',
    v.object({ src: path, dst: path }),
  ),
  inFolder(
    'files/delete',
    'vfolderDeleteFilesV2',
    'Delete files.',
    v.looseObject({ files: v.array(path) }),
  ),
  inFolder(
    'download-session',
    'vfolderCreateDownloadSessionV2',
    'Prepare to download a file.',
    v.looseObject({ path }),
  ),
  inFolder(
    'upload-session',
    'vfolderCreateUploadSessionV2',
    'Prepare to upload a file.',
    v.object({ path, size: v.pipe(v.number(), v.integer(), v.minValue(0)) }),
  ),
];

const FOLDERS: readonly Change[] = [
  {
    ...{ ...user, method: 'POST', path: 'vfolders/projects/:project_id/create' },
    mutation: 'createVFolderInProject',
    what: 'Make a folder of a project.',
    body: v.looseObject({ name, host: optional }),
    given: ({ project_id: projectId }, input) => ({ projectId, input }),
  },
  inFolder('clone', 'cloneVfolderV2', 'Copy a folder.', v.looseObject({ name, host: optional })),
  {
    ...{ ...user, method: 'DELETE', path: 'vfolders/:vfolder_id', mutation: 'deleteVfolderV2' },
    what: 'Put a folder into the trash bin.',
    given: ({ vfolder_id: vfolderId }) => ({ vfolderId }),
  },
  {
    ...{ ...user, method: 'POST', path: 'vfolders/:vfolder_id/restore' },
    mutation: 'restoreVFolder',
    what: 'Take a folder out of the trash bin.',
    given: ({ vfolder_id: vfolderId }) => ({ vfolderId }),
  },
  {
    ...{ ...user, method: 'POST', path: 'vfolders/:vfolder_id/purge', mutation: 'purgeVfolderV2' },
    what: 'Delete a folder for good.',
    given: ({ vfolder_id: vfolderId }) => ({ vfolderId }),
  },
  {
    ...{ ...user, method: 'POST', path: 'vfolders/delete', mutation: 'bulkDeleteVfoldersV2' },
    what: 'Put folders into the trash bin.',
    body: v.object({ ids }),
  },
  {
    ...{ ...user, method: 'POST', path: 'vfolders/purge', mutation: 'bulkPurgeVfoldersV2' },
    what: 'Delete folders for good.',
    body: v.looseObject({ ids }),
  },
];

export const folders: Topic = {
  searches: [
    ['vfolders', 'adminVfoldersV2', 'superadmin', 'folders'],
    ['vfolders/my', 'myVfolders', 'user', 'folders of yours'],
  ],
  scoped: [
    {
      path: 'vfolders/projects/:project_id',
      field: 'projectVfolders',
      place: ({ project_id }) => ({ projectId: project_id }),
      what: 'folders of a project',
    },
  ],
  ones: [
    {
      path: 'vfolders/:vfolder_id',
      field: 'vfolderV2',
      auth: 'user',
      place: ({ vfolder_id }) => ({ vfolderId: vfolder_id }),
      what: 'a folder',
    },
    {
      path: 'storage-hosts/my/permissions',
      field: 'myStorageHostPermissions',
      auth: 'user',
      place: () => ({}),
      what: 'what you may do on which storage hosts',
    },
  ],
  changes: [
    {
      ...{ auth: 'user', method: 'POST', path: 'vfolders', mutation: 'createVfolderV2' },
      what: 'Make a folder.',
      body: v.looseObject({ name, host: optional }),
    },
    ...FOLDERS,
    ...FILES,
  ],
};
