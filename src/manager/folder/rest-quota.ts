/** Operations on how much folders hold and may hold. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { storableText } from '../auth/text.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { aliased, lenientInteger } from '../http/parameters.ts';
import type { Caller, Route } from '../http/route.ts';
import { folderUsage, folderUsedBytes } from '../storage/client.ts';
import { folderQuota, setScopeQuota } from './quota.ts';
import { byOf, changing, folderIdField, MAX_TEXT, reading } from './rest-shape.ts';
import { type FolderRecord, findManagedFolder, placeOf } from './service.ts';

const target = v.object({ folder_host: storableText(MAX_TEXT), id: folderIdField });
const aliases = { folder_host: ['folderHost'] };
const targetQuery = aliased(aliases, target);
const quotaBody = aliased(
  aliases,
  v.object({
    ...target.entries,
    input: v.object({ size_bytes: v.pipe(lenientInteger, v.minValue(1), v.safeInteger()) }),
  }),
);

/** The folder named by id and host; the host must be its own. */
async function findTarget(
  ctx: ManagerContext,
  caller: Caller,
  { folder_host: host, id }: v.InferOutput<typeof target>,
): Promise<FolderRecord> {
  const folder = await findManagedFolder(ctx.sql, caller, id, 'read_attribute');
  if (folder.host === host) return folder;
  throw new BackendError('VFolderNotFound', `Folder ${id} is not on '${host}'.`, { data: id });
}

export function folderQuotaRoutes(ctx: ManagerContext): Route[] {
  /** An operation that tells something about the folder that the query names. */
  const telling = (
    [path, summary]: readonly [string, string],
    auth: 'user' | 'superadmin',
    tell: (folder: FolderRecord) => Promise<unknown>,
  ) =>
    route(
      { ...reading('GET', path, summary), auth, takes: { query: targetQuery } },
      async ({ caller }, { query }) => ({
        json: { data: await tell(await findTarget(ctx, caller, query)) },
      }),
    );
  return [
    telling(['/_/quota', "Tell the quota of a folder's owner."], 'user', (folder) =>
      folderQuota(ctx, folder),
    ),
    telling(['/_/usage', 'Count what a folder holds.'], 'superadmin', (folder) =>
      folderUsage(ctx, placeOf(folder)),
    ),
    telling(['/_/used-bytes', 'Tell how much space a folder takes.'], 'superadmin', (folder) =>
      folderUsedBytes(ctx, placeOf(folder)),
    ),
    route(
      {
        ...changing('POST', '/_/quota', "Limit what the folders of a folder's owner may hold."),
        takes: { body: quotaBody },
      },
      async (request, { body }) => {
        const folder = await findTarget(ctx, request.caller, body);
        const { size_bytes: bytes } = body.input;
        await setScopeQuota(byOf(ctx, request), folder.host, folder.quota_scope_id, bytes);
        return { json: { size_bytes: bytes } };
      },
    ),
  ];
}
