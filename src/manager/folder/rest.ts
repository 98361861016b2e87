/** Operations on folders as a whole: listing, making, describing, changing them, and their hosts. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { storableText } from '../auth/text.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { aliased, lenientBoolean, uuidText } from '../http/parameters.ts';
import type { Caller, Route } from '../http/route.ts';
import { performanceMetric } from '../storage/client.ts';
import { readVolumeSettings } from '../storage/settings.ts';
import { everyHost, usableHosts } from './hosts.ts';
import * as manage from './manage.ts';
import { folderFileRoutes } from './rest-files.ts';
import { folderLifecycleRoutes } from './rest-lifecycle.ts';
import { folderMountRoutes } from './rest-mounts.ts';
import { folderQuotaRoutes } from './rest-quota.ts';
import {
  byOf,
  changing,
  flag,
  folderItem,
  hexId,
  MAX_TEXT,
  MSG_DONE,
  ofFolder,
  permissionField,
  reading,
  timeText,
  usageModeField,
} from './rest-shape.ts';
import { folderSharingRoutes } from './rest-sharing.ts';
import * as service from './service.ts';

const text = storableText(MAX_TEXT);
const optionalUuid = v.nullish(v.union([v.literal(''), uuidText]), null);

const createBody = aliased(
  {
    folder_host: ['host'],
    unmanaged_path: ['unmanagedPath'],
    group_id: ['group', 'groupId'],
    usage_mode: ['usageMode'],
  },
  v.object({
    name: text,
    folder_host: v.nullish(text, null),
    usage_mode: v.nullish(usageModeField, 'general'),
    permission: v.nullish(permissionField, 'rw'),
    unmanaged_path: v.nullish(storableText(512), null),
    group_id: optionalUuid,
    cloneable: flag(false),
  }),
);

const listQuery = aliased(
  { group_id: ['groupId'], owner_user_email: ['ownerUserEmail'] },
  v.object({ group_id: optionalUuid, owner_user_email: v.nullish(text, null) }),
);
const hostsQuery = aliased({ group_id: ['groupId'] }, v.object({ group_id: optionalUuid }));
const metricQuery = aliased({ folder_host: ['folderHost'] }, v.object({ folder_host: text }));
const nameField = aliased(
  { name: ['vfolder_name', 'vfolderName'] },
  v.object({ name: v.pipe(text, v.minLength(1)) }),
);
const renameBody = aliased({ new_name: ['newName'] }, v.object({ new_name: text }));
const optionsBody = v.object({
  cloneable: v.nullish(lenientBoolean),
  permission: v.nullish(permissionField),
});
const ownershipBody = aliased(
  { user_email: ['userEmail'], vfolder: ['vfolder_id', 'vfolderId'] },
  v.object({ vfolder: uuidText, user_email: text }),
);

async function describe(ctx: ManagerContext, caller: Caller, name: string) {
  const folder = await service.findFolder(ctx.sql, caller, name, 'read_attribute');
  const usage = await service.usageOf(ctx, folder);
  return {
    name: folder.name,
    id: hexId(folder.id),
    quota_scope_id: folder.quota_scope_id,
    host: folder.host,
    status: folder.status,
    numFiles: usage.file_count,
    num_files: usage.file_count,
    used_bytes: usage.used_bytes,
    created_at: timeText(folder.created_at),
    last_used: folder.last_used === null ? null : timeText(folder.last_used),
    user: folder.user,
    group: folder.group,
    type: folder.ownership_type,
    is_owner: service.ownsFolder(caller, folder),
    permission: service.effectivePermission(folder),
    usage_mode: folder.usage_mode,
    cloneable: folder.cloneable,
  };
}

function hostRoutes(ctx: ManagerContext): Route[] {
  const allHosts = async () => ({ json: await everyHost(ctx) });
  const allowedTypes = async () => ({ json: (await readVolumeSettings(ctx.config)).types });
  const forAll = 'Tell all storage hosts.';
  const types = 'Tell whose folders may be made: of users, of projects.';
  const superadmin = { auth: 'superadmin', takes: {} } as const;
  return [
    route(
      {
        ...reading('GET', '/_/hosts', 'Tell the storage hosts one may use, and how full they are.'),
        takes: { query: hostsQuery },
      },
      async ({ caller }, { query: { group_id: projectId } }) => ({
        json: await usableHosts(ctx, caller, projectId || null),
      }),
    ),
    route({ ...reading('GET', '/_/all-hosts', forAll), ...superadmin }, allHosts),
    route({ ...reading('GET', '/_/all_hosts', forAll), ...superadmin }, allHosts),
    route({ ...reading('GET', '/_/allowed-types', types), takes: {} }, allowedTypes),
    route({ ...reading('GET', '/_/allowed_types', types), takes: {} }, allowedTypes),
    route(
      {
        ...reading('GET', '/_/perf-metric', 'Tell how busy a storage host is.'),
        auth: 'superadmin',
        takes: { query: metricQuery },
      },
      async (_, { query: { folder_host: host } }) => ({
        json: { data: await performanceMetric(ctx, host) },
      }),
    ),
  ];
}

function readRoutes(ctx: ManagerContext): Route[] {
  return [
    route(
      { ...reading('GET', '', 'List folders.'), takes: { query: listQuery } },
      async ({ caller }, { query: { group_id, owner_user_email } }) => {
        const options = { projectId: group_id || null, ownerEmail: owner_user_email || null };
        const folders = await service.listFolders(ctx.sql, caller, options);
        return { json: folders.map((folder) => folderItem(caller, folder)) };
      },
    ),
    route(
      // Upstream's clients send the name in the body of the GET.
      { ...reading('GET', '/_/id', "Tell a folder's id."), takes: { fields: nameField } },
      async ({ caller }, { fields: { name } }) => {
        const folder = await service.findFolder(ctx.sql, caller, name, 'read_attribute');
        return { json: { id: folder.id, name: folder.name } };
      },
    ),
    route(
      { ...reading('GET', '/:name', 'Describe a folder.'), takes: ofFolder },
      async ({ caller }, { params: { name } }) => {
        // Operations on no folder in particular have this in place of a name; this is none of them.
        if (name === '_') throw new BackendError('URLNotFound');
        return { json: await describe(ctx, caller, name) };
      },
    ),
  ];
}

function changeRoutes(ctx: ManagerContext): Route[] {
  return [
    route(
      { ...changing('POST', '', 'Make a folder.'), takes: { body: createBody } },
      async (request, { body: given }) => {
        const folder = await manage.createFolder(byOf(ctx, request), {
          name: given.name,
          host: given.folder_host,
          usageMode: given.usage_mode,
          permission: given.permission,
          projectId: given.group_id || null,
          unmanagedPath: given.unmanaged_path || null,
          cloneable: given.cloneable,
        });
        return { status: 201, json: folderItem(request.caller, folder) };
      },
    ),
    route(
      {
        ...changing('POST', '/:name/rename', 'Rename a folder.'),
        takes: { ...ofFolder, body: renameBody },
      },
      async (request, { params, body: { new_name: name } }) => {
        await manage.modifyFolder(byOf(ctx, request), params.name, { name });
        return MSG_DONE;
      },
    ),
    route(
      {
        ...changing('POST', '/:name/update-options', 'Change what a folder allows.'),
        takes: { ...ofFolder, body: optionsBody },
      },
      async (request, { params, body: { cloneable, permission } }) => {
        await manage.modifyFolder(byOf(ctx, request), params.name, {
          ...(cloneable != null && { cloneable }),
          ...(permission != null && { permission }),
        });
        return MSG_DONE;
      },
    ),
    route(
      {
        ...changing('POST', '/_/change-ownership', 'Give a folder to another user.'),
        auth: 'superadmin',
        takes: { body: ownershipBody },
      },
      async (request, { body: { vfolder, user_email: email } }) => {
        await manage.changeOwner(byOf(ctx, request), vfolder, email);
        return MSG_DONE;
      },
    ),
  ];
}

export const folderRoutes = (ctx: ManagerContext): Route[] => [
  ...readRoutes(ctx),
  ...changeRoutes(ctx),
  ...hostRoutes(ctx),
  ...folderFileRoutes(ctx),
  ...folderLifecycleRoutes(ctx),
  ...folderSharingRoutes(ctx),
  ...folderMountRoutes(ctx),
  ...folderQuotaRoutes(ctx),
];
