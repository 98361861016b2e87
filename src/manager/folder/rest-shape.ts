/** How folders look to clients of the HTTP operations, and what their requests share. */
import * as v from 'valibot';
import { storableText } from '../auth/text.ts';
import type { ManagerContext } from '../context.ts';
import { aliased, lenientBoolean } from '../http/parameters.ts';
import type { AuthenticatedRequest, Route } from '../http/route.ts';
import type { FolderChange } from './manage.ts';
import { effectivePermission, type FolderRecord, ownsFolder, type Viewer } from './service.ts';

export const MAX_TEXT = 1024;
export const MAX_PATH = 4096;

export const permissionField = v.picklist(['ro', 'rw', 'wd']);
export const usageModeField = v.picklist(['general', 'model', 'data']);
/** With dashes or without. */
export const folderIdField = v.pipe(
  v.string(),
  v.regex(/^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$/, 'not the id of a folder'),
);
export const flag = (fallback: boolean) => v.optional(lenientBoolean, fallback);
export const pathField = storableText(MAX_PATH);

/** A body that names a folder by its id. */
export const folderIdBody = aliased(
  { vfolder_id: ['vfolderId', 'id'] },
  v.object({ vfolder_id: folderIdField }),
);

/** The id as the older clients know it: without dashes. */
export const hexId = (id: string): string => id.replaceAll('-', '');

/** Empty when nobody knows: clients expect text. */
export const timeText = (time: Date | null): string => time?.toISOString() ?? '';

/** One entry of a list of folders. */
export function folderItem(viewer: Viewer, folder: FolderRecord) {
  return {
    name: folder.name,
    id: hexId(folder.id),
    quota_scope_id: folder.quota_scope_id,
    host: folder.host,
    usage_mode: folder.usage_mode,
    created_at: timeText(folder.created_at),
    permission: effectivePermission(folder),
    max_size: folder.max_size ?? 0,
    creator: folder.creator ?? '',
    ownership_type: folder.ownership_type,
    user: folder.user,
    group: folder.group,
    cloneable: folder.cloneable,
    status: folder.status,
    is_owner: ownsFolder(viewer, folder),
    user_email: folder.user_email ?? '',
    group_name: folder.group_name ?? '',
    type: folder.ownership_type,
    max_files: folder.max_files ?? 0,
    cur_size: folder.cur_size ?? 0,
  };
}

/** Who changes something, for the audit log. */
export const byOf = (
  ctx: ManagerContext,
  { caller, requestId, clientAddress }: AuthenticatedRequest,
): FolderChange => ({ ctx, caller, requestId, clientAddress });

const operation =
  (gate: 'read' | 'all') => (method: Route['method'], path: string, summary: string) =>
    ({ method, path: `/folders${path}`, gate, auth: 'user', summary }) as const;

/** The common part of an operation that only reads, and is served while the cluster is frozen. */
export const reading = operation('read');
/** The common part of an operation that changes something. */
export const changing = operation('all');

/** The path parameter of operations on one folder: its name, or its id. */
export const ofFolder = { params: v.object({ name: v.string() }) };

export const MSG_DONE = { json: { msg: '' } };
