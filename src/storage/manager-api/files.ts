/** Files inside folders: listing, changing, and tokens with which clients read and write them. */
import { join } from 'node:path';
import * as v from 'valibot';
import { errorCode } from '../../common/errors.ts';
import { fitsIntoToken, keepList } from '../archives/notes.ts';
import type { StorageContext } from '../context.ts';
import { deleteFiles, listFolder, makeFolder, moveFile, renameFile } from '../files/operations.ts';
import { findPlace, openRegularFile, splitPath } from '../files/place.ts';
import { type FolderId, folderId, formatFolder } from '../ids.ts';
import { StorageError, systemFailure } from '../problems.ts';
import { beginUpload } from '../staging.ts';
import { type ManagerRoute, noContent, ok, type Reply, route } from './route.ts';

const MAX_FOLDERS = 50;
const MAX_PATHS = 10_000;
const MAX_FILENAME = 255;

const paths = (max: number) => v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(max));
const fileParams = v.object({ volume: v.string(), vfid: folderId, relpath: v.string() });
const deleteParams = v.object({
  volume: v.string(),
  vfid: folderId,
  relpaths: v.pipe(v.array(v.string()), v.maxLength(MAX_PATHS)),
  recursive: v.optional(v.boolean(), false),
});

/** What an archive is called in the client's folder of downloads. */
const archiveName = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxLength(MAX_FILENAME),
  v.check(
    (name) => name !== '.' && name !== '..' && !/[/\\\u0000-\u001f\u007f]/.test(name),
    'expected a file name without slashes and control characters',
  ),
);

/** Ours beyond upstream: `after`, the `next` of the page before, and `limit`. 0 is without limit. */
const listParams = v.object({
  ...fileParams.entries,
  after: v.nullish(v.string(), null),
  limit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 0),
});

/** Makes several folders; one that cannot be made does not stop the others. */
async function makeFolders(
  { volumes }: StorageContext,
  params: {
    volume: string;
    vfid: FolderId;
    relpath: string | string[];
    parents: boolean;
    exist_ok: boolean;
  },
): Promise<Reply> {
  const root = await volumes.require(params.volume).requireFolder(params.vfid);
  const success: { msg: null; item: string }[] = [];
  const failed: { msg: string; item: string }[] = [];
  for (const item of [params.relpath].flat()) {
    try {
      await makeFolder(root, item, { parents: params.parents, existOk: params.exist_ok });
      success.push({ msg: null, item });
    } catch (error) {
      const exists = errorCode(error) === 'EEXIST';
      if (!exists && !(error instanceof StorageError) && errorCode(error) === '') throw error;
      const msg = exists ? `There is a ${JSON.stringify(item)} already.` : systemFailure(error);
      failed.push({ msg, item });
    }
  }
  const status = failed.length === 0 ? 200 : success.length === 0 ? 422 : 207;
  return { status, json: { results: { success, failed } } };
}

function changeRoutes(context: StorageContext): ManagerRoute[] {
  const { volumes, settings, tasks } = context;
  const rootOf = (volume: string, vfid: FolderId) => volumes.require(volume).requireFolder(vfid);
  return [
    route(
      'POST',
      '/folder/file/mkdir',
      v.object({
        ...fileParams.entries,
        relpath: v.union([v.string(), paths(MAX_FOLDERS)]),
        parents: v.optional(v.boolean(), true),
        exist_ok: v.optional(v.boolean(), false),
      }),
      (params) => makeFolders(context, params),
    ),
    route('POST', '/folder/file/list', listParams, async (params) => {
      const { volume, vfid, relpath, after, limit } = params;
      const cap = settings.scandirLimit;
      const page = { after, limit: cap === 0 ? limit : Math.min(limit || cap, cap) };
      return ok(await listFolder(await rootOf(volume, vfid), relpath, page));
    }),
    route(
      'POST',
      '/folder/file/rename',
      v.object({ ...fileParams.entries, new_name: v.string() }),
      async ({ volume, vfid, relpath, new_name }) => {
        await renameFile(await rootOf(volume, vfid), relpath, new_name);
        return noContent;
      },
    ),
    route(
      'POST',
      '/folder/file/move',
      v.object({
        volume: v.string(),
        vfid: folderId,
        src_relpath: v.string(),
        dst_relpath: v.string(),
      }),
      async ({ volume, vfid, src_relpath, dst_relpath }) => {
        await moveFile(await rootOf(volume, vfid), src_relpath, dst_relpath);
        return noContent;
      },
    ),
    route('POST', '/folder/file/delete', deleteParams, async (params) => {
      const volume = volumes.require(params.volume);
      const root = await volume.requireFolder(params.vfid);
      const trash = volume.trashPath(params.vfid.scope);
      const attic = join(trash, `files-${context.random.uuid()}`);
      await deleteFiles(root, params.relpaths, { attic, recursive: params.recursive });
      return ok({ status: 'ok' });
    }),
    route('POST', '/folder/file/delete-async', deleteParams, async (params) => {
      const task = await tasks.begin(volumes.require(params.volume), {
        name: 'delete_files',
        folder: formatFolder(params.vfid),
        paths: params.relpaths,
        recursive: params.recursive,
      });
      return { status: 202, json: { bgtask_id: task.id } };
    }),
  ];
}

async function uploadToken(
  context: StorageContext,
  params: { volume: string; vfid: FolderId; relpath: string; size: number; unpack: boolean },
): Promise<Reply> {
  const { volumes, settings, random, tokens, clock } = context;
  const { volume, vfid, relpath, size, unpack } = params;
  if (size > settings.maxUploadBytes) {
    throw new StorageError(
      'TooLarge',
      `Files of up to ${settings.maxUploadBytes} bytes can be uploaded here; this one has ${size}.`,
    );
  }
  const root = await volumes.require(volume).requireFolder(vfid);
  const target = { root, path: relpath, size, unpacks: unpack };
  const now = clock.now().getTime();
  const session = await beginUpload(target, random, now, settings.tokenLifetimeMs);
  const folder = formatFolder(vfid);
  const claims = { op: 'upload', volume, vfid: folder, relpath, size, session } as const;
  return ok({
    token: await tokens.issue({ ...claims, ...(unpack && { unpack }) }),
    ...(unpack && { unpacks: true }),
  });
}

async function archiveToken(
  { volumes, tokens, random, clock, settings }: StorageContext,
  params: {
    volume: string;
    virtual_folder_id: FolderId;
    files: string[];
    filename?: string | null;
  },
): Promise<Reply> {
  const { files, filename } = params;
  const volume = volumes.require(params.volume);
  await volume.requireFolder(params.virtual_folder_id);
  for (const file of files) splitPath(file);
  const claims = {
    operation: 'download',
    volume: params.volume,
    virtual_folder_id: formatFolder(params.virtual_folder_id),
    ...(filename ? { filename } : {}),
  } as const;
  if (fitsIntoToken(files)) return ok({ token: await tokens.issue({ ...claims, files }) });
  const list = random.uuid();
  await keepList(volume, list, files, {
    nowMs: clock.now().getTime(),
    lifetimeMs: settings.tokenLifetimeMs,
  });
  return ok({ token: await tokens.issue({ ...claims, files: [], list }) });
}

function transferRoutes(context: StorageContext): ManagerRoute[] {
  const { volumes, tokens } = context;
  return [
    route('POST', '/folder/file/fetch', fileParams, async ({ volume, vfid, relpath }) => {
      const root = await volumes.require(volume).requireFolder(vfid);
      await using place = await findPlace(root, relpath);
      const file = await openRegularFile(place.path, relpath);
      return { file, sizeBytes: (await file.stat()).size };
    }),
    route(
      'POST',
      '/folder/file/download',
      v.object({ ...fileParams.entries, archive: v.optional(v.boolean(), false) }),
      async ({ volume, vfid, relpath, archive }) => {
        await volumes.require(volume).requireFolder(vfid);
        splitPath(relpath);
        const folder = formatFolder(vfid);
        return ok({
          token: await tokens.issue({ op: 'download', volume, vfid: folder, relpath, archive }),
        });
      },
    ),
    route(
      'POST',
      '/folder/file/archive-download-token',
      v.object({
        volume: v.string(),
        virtual_folder_id: folderId,
        files: paths(MAX_PATHS),
        filename: v.nullish(archiveName),
      }),
      (params) => archiveToken(context, params),
    ),
    route(
      'POST',
      '/folder/file/upload',
      v.object({
        ...fileParams.entries,
        size: v.union([
          v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER)),
          v.pipe(v.string(), v.regex(/^\d{1,15}$/), v.transform(Number)),
        ]),
        unpack: v.optional(v.boolean(), false),
      }),
      (params) => uploadToken(context, params),
    ),
  ];
}

export const fileRoutes = (context: StorageContext): ManagerRoute[] => [
  ...changeRoutes(context),
  ...transferRoutes(context),
];
