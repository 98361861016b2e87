/**
 * What the storage proxy answers when it refuses: upstream's documents. Managers tell cases apart by
 * status and by the first part of `error_code`, so both are a foreign contract.
 */
import { errorCode, errorMessage } from '../common/errors.ts';

interface Problem {
  readonly status: number;
  readonly slug: string;
  readonly title: string;
  readonly code: string;
}

const problem = (status: number, slug: string, title: string, code: string): Problem => ({
  ...{ status, slug, title, code },
});

const problems = {
  ArtifactStorageNotFound: problem(
    404,
    'not-found',
    'Storage Not Found',
    'object-storage_read_not-found',
  ),
  BucketNotFound: problem(
    404,
    'bucket/object-not-found',
    'Storage Bucket Not Found',
    'object-storage_read_not-found',
  ),
  Busy: problem(503, 'busy', 'Too Busy', 'storage-proxy_request_unavailable'),
  FileNotFound: problem(404, 'file-not-found', 'File not found', 'vfolder_read_not-found'),
  Forbidden: problem(403, 'forbidden', 'Forbidden', 'storage-proxy_auth_forbidden'),
  InternalError: problem(
    500,
    'generic',
    'Storage Proxy Error',
    'storage-proxy_generic_internal-error',
  ),
  InvalidParameters: problem(
    400,
    'invalid-api-params',
    'Invalid API parameters',
    'storage-proxy_request_invalid-parameters',
  ),
  InvalidQuota: problem(
    400,
    'quota/config/invalid',
    'Invalid Quota Config',
    'quota-scope_update_invalid-parameters',
  ),
  InvalidSubpath: problem(
    400,
    'subpath/invalid',
    'Invalid Subpath',
    'vfolder_access_invalid-parameters',
  ),
  InvalidVolume: problem(
    400,
    'volume/invalid',
    'Invalid Volume',
    'storage_access_invalid-parameters',
  ),
  NotEnoughSpace: problem(
    507,
    'not-enough-space',
    'Not enough space',
    'storage-proxy_update_not-enough-space',
  ),
  NotFound: problem(404, 'not-found', 'Not Found', 'storage-proxy_request_not-found'),
  MethodNotAllowed: problem(
    405,
    'method-not-allowed',
    'Method Not Allowed',
    'storage-proxy_request_method-not-allowed',
  ),
  ObjectNotFound: problem(
    404,
    'bucket/file/object-not-found',
    'Storage Bucket File Not Found',
    'object-storage_read_not-found',
  ),
  ObjectStorageFailed: problem(
    500,
    'object-info-fetch-failed',
    'Object Storage Failed',
    'object-storage_request_unreachable',
  ),
  OffsetMismatch: problem(
    409,
    'upload-offset-mismatch',
    'Upload Offset Mismatch',
    'storage-proxy_update_conflict',
  ),
  QuotaCommandFailed: problem(
    500,
    'quota/command-failed',
    'Quota Command Failed',
    'quota-scope_execute_internal-error',
  ),
  QuotaScopeExists: problem(
    409,
    'quota/scope/already-exists',
    'Quota Scope Already Exists',
    'quota-scope_create_already-exists',
  ),
  QuotaScopeNotFound: problem(
    404,
    'quota/scope/not-found',
    'Quota Scope Not Found',
    'quota-scope_read_not-found',
  ),
  TaskNotFound: problem(404, 'task-not-found', 'No such task', 'bgtask_read_not-found'),
  TooLarge: problem(
    413,
    'upload-too-large',
    'Upload Too Large',
    'storage-proxy_update_invalid-parameters',
  ),
  TusLeaseLost: problem(
    409,
    'tus-lease-lost',
    'Upload Taken Over',
    'storage-proxy_update_conflict',
  ),
  TusSessionNotFound: problem(
    404,
    'tus-session-not-found',
    'Upload Session Not Found',
    'storage-proxy_read_not-found',
  ),
  UnsupportedFileType: problem(
    400,
    'unsupported-file-type',
    'Unsupported File Type',
    'vfs-storage_read_invalid-parameters',
  ),
  UnsupportedOperation: problem(
    400,
    'unsupported-operation',
    'Unsupported Operation',
    'storage-proxy_request_not-implemented',
  ),
  VFolderExists: problem(
    409,
    'vfolder/already-exists',
    'VFolder Already Exists',
    'vfolder_create_already-exists',
  ),
  VFolderNotFound: problem(404, 'vfolder/not-found', 'VFolder Not Found', 'vfolder_read_not-found'),
} as const;
export type ProblemName = keyof typeof problems;

export const isProblemName = (name: unknown): boolean =>
  typeof name === 'string' && Object.hasOwn(problems, name);

/** A refusal with a known meaning. `message` says what was attempted and what to do. */
export class StorageError extends Error {
  readonly problem: ProblemName;
  readonly data: unknown;

  constructor(problem: ProblemName, message?: string, data?: unknown) {
    super(message ?? problems[problem].title);
    this.name = problem;
    this.problem = problem;
    this.data = data;
  }

  get status(): number {
    return problems[this.problem].status;
  }

  toDocument(): Record<string, unknown> {
    const { slug, title, code } = problems[this.problem];
    return {
      type: `https://api.backend.ai/probs/storage/${slug}`,
      title,
      error_code: code,
      ...(this.message === title ? {} : { msg: this.message }),
      ...(this.data === undefined ? {} : { data: this.data }),
    };
  }
}

const SPACE = new Set(['ENOSPC', 'EDQUOT']);

/** Whether the disk is full, or the quota of whoever owns the file. */
export const isOutOfSpace = (error: unknown): boolean => SPACE.has(errorCode(error));

/** The failed system call in words, without the paths of this machine. */
export function systemFailure(error: unknown): string {
  if (isOutOfSpace(error)) {
    return `No space is left on the volume, or in the quota of whoever owns the folder (${errorCode(error)}). Delete something and try again.`;
  }
  return errorMessage(error).replace(/,? *'?\/proc\/self\/fd\/\d+[^']*'?( -> '[^']*')?$/, '');
}
