/** Operations that end folders, bring them back and copy them. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { storableText } from '../auth/text.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { aliased } from '../http/parameters.ts';
import type { Caller, Route } from '../http/route.ts';
import * as lifecycle from './lifecycle.ts';
import type { FolderChange } from './manage.ts';
import {
  byOf,
  changing,
  flag,
  folderIdBody,
  folderIdField,
  hexId,
  MAX_TEXT,
  ofFolder,
  permissionField,
  usageModeField,
} from './rest-shape.ts';

const text = storableText(MAX_TEXT);
const cloneBody = aliased(
  {
    target_name: ['targetName'],
    target_host: ['targetHost', 'folder_host'],
    target_quota_scope_id: ['targetQuotaScopeId'],
    usage_mode: ['usageMode'],
  },
  v.object({
    target_name: text,
    target_host: v.nullish(text, null),
    target_quota_scope_id: v.nullish(text, null),
    cloneable: v.nullish(flag(false), false),
    usage_mode: v.nullish(usageModeField, 'general'),
    permission: v.nullish(permissionField, 'rw'),
  }),
);

const PROJECT_SCOPE = /^project:([0-9a-f-]{36})$/i;

/** The project whose a copy is to be; null: the caller's own. @throws BackendError InvalidAPIParameters. */
function projectOfScope(scope: string | null, { userId }: Caller): string | null {
  if (scope === null || scope.toLowerCase() === `user:${userId}`) return null;
  const project = PROJECT_SCOPE.exec(scope)?.[1];
  if (project !== undefined && v.is(v.pipe(v.string(), v.uuid()), project)) return project;
  throw new BackendError(
    'InvalidAPIParameters',
    `A copy is yours (user:${userId}) or a project's (project:<id>); target_quota_scope_id is '${scope}'.`,
  );
}

/** The reply to a folder's clone request. */
const cloneItem = ({ copy, taskId }: Awaited<ReturnType<typeof lifecycle.cloneFolder>>) => ({
  id: hexId(copy.id),
  name: copy.name,
  host: copy.host,
  usage_mode: copy.usage_mode,
  permission: copy.permission,
  creator: copy.creator,
  ownership_type: copy.ownership_type,
  user: copy.user,
  group: copy.group,
  cloneable: copy.cloneable,
  bgtask_id: taskId,
});

export function folderLifecycleRoutes(ctx: ManagerContext): Route[] {
  /** An operation on the folder that the body names. */
  const onNamed = (
    [method, path, summary]: Parameters<typeof changing>,
    run: (by: FolderChange, id: string) => Promise<unknown>,
  ) =>
    route(
      { ...changing(method, path, summary), takes: { body: folderIdBody } },
      async (request, { body: { vfolder_id: id } }) => {
        await run(byOf(ctx, request), id);
        return undefined;
      },
    );
  return [
    onNamed(['DELETE', '', 'Move a folder to the trash.'], lifecycle.trashFolder),
    onNamed(
      ['POST', '/restore-from-trash-bin', 'Take a folder out of the trash.'],
      lifecycle.restoreFolder,
    ),
    onNamed(
      ['POST', '/delete-from-trash-bin', 'Delete a folder of the trash for good.'],
      (by, id) => lifecycle.deleteForever(by, id, { force: false }),
    ),
    onNamed(['POST', '/purge', 'Forget a deleted folder.'], lifecycle.purgeFolder),
    route(
      { ...changing('DELETE', '/:name', 'Move a folder to the trash.'), takes: ofFolder },
      async (request, { params: { name } }) => {
        await lifecycle.trashFolder(byOf(ctx, request), name);
        return undefined;
      },
    ),
    route(
      {
        ...changing('DELETE', '/:folder_id/force', 'Delete a folder for good.'),
        takes: { params: v.object({ folder_id: folderIdField }) },
      },
      async (request, { params: { folder_id: id } }) => {
        await lifecycle.deleteForever(byOf(ctx, request), id, { force: true });
        return undefined;
      },
    ),
    route(
      {
        ...changing('POST', '/:name/clone', "Copy a folder into one's own."),
        takes: { ...ofFolder, body: cloneBody },
      },
      async (request, { params, body: given }) => {
        const cloned = await lifecycle.cloneFolder(byOf(ctx, request), params.name, {
          name: given.target_name,
          host: given.target_host,
          projectId: projectOfScope(given.target_quota_scope_id, request.caller),
          usageMode: given.usage_mode,
          permission: given.permission,
          cloneable: given.cloneable,
        });
        return { status: 201, json: cloneItem(cloned) };
      },
    ),
  ];
}
