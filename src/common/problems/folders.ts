/** Problems with folders and the storage they lie on. */
import { problem } from './problem.ts';

export const foldersProblems = {
  InsufficientStoragePermission: problem(
    400,
    'storage-permission-not-allowed',
    'The specified storage permission is not allowed.',
    'storage_access_forbidden',
  ),
  QuotaScopeNotFound: problem(
    404,
    'object-not-found',
    'No such quota scope.',
    'quota-scope_read_not-found',
  ),
  StorageProxyConnectionError: problem(
    503,
    'storage-proxy-connection-error',
    'Failed to connect to storage proxy.',
    'storage-proxy_request_unavailable',
  ),
  StorageProxyNotFound: problem(
    404,
    'storage-proxy-not-found',
    'Storage proxy not found.',
    'storage-proxy_read_not-found',
  ),
  StorageProxyTimeout: problem(
    504,
    'storage-proxy-timeout',
    'Request to storage proxy timed out.',
    'storage-proxy_request_timeout',
  ),
  TooManyVFoldersFound: problem(
    404,
    'too-many-vfolders',
    'Multiple vfolders found for the operation for a single vfolder.',
    'vfolder_read_conflict',
  ),
  UnexpectedStorageProxyResponse: problem(
    500,
    'unexpected-storage-proxy-response',
    'Unexpected response from storage proxy.',
    'storage-proxy_request_unreachable',
  ),
  VFolderAlreadyExists: problem(
    409,
    'vfolder-already-exists',
    'The virtual folder already exists with the same name.',
    'vfolder_create_already-exists',
  ),
  VFolderBadRequest: problem(
    400,
    'vfolder-operation-failed',
    'Virtual folder operation has failed due to bad request.',
    'vfolder_generic_bad-request',
  ),
  VFolderCreationFailure: problem(
    400,
    'vfolder-creation-failed',
    'Virtual folder creation failed.',
    'vfolder_create_internal-error',
  ),
  VFolderDeletionNotAllowed: problem(
    400,
    'vfolder-deletion-not-allowed',
    'Virtual folder deletion is not allowed.',
    'vfolder_soft-delete_bad-request',
  ),
  VFolderFilterStatusFailed: problem(
    400,
    'vfolder-filter-status-failed',
    'Virtual folder status filtering has failed.',
    'vfolder_read_bad-request',
  ),
  VFolderGone: problem(410, 'vfolder-gone', 'The virtual folder is gone.', 'vfolder_read_gone'),
  VFolderGrantAlreadyExists: problem(
    409,
    'vfolder-grant-already-exists',
    'Virtual folder grant already exists.',
    'vfolder_grant_already-exists',
  ),
  VFolderInvalidParameter: problem(
    400,
    'vfolder-invalid-parameter',
    'Invalid parameter for virtual folder operation.',
    'vfolder_access_invalid-parameters',
  ),
  VFolderInvitationNotFound: problem(
    404,
    'vfolder-invitation-not-found',
    'Virtual folder invitation not found.',
    'vfolder-invitation_read_not-found',
  ),
  VFolderNotFound: problem(
    404,
    'object-not-found',
    'No such virtual folder.',
    'vfolder_read_not-found',
  ),
  VFolderOperationFailed: problem(
    400,
    'vfolder-operation-failed',
    'Virtual folder operation has failed.',
    'vfolder_generic_internal-error',
  ),
  VFolderPermissionError: problem(
    400,
    'vfolder-permission-error',
    'The virtual folder does not permit the specified permission.',
    'vfolder_access_forbidden',
  ),
} as const;
