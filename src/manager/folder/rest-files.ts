/** Operations on the files of a folder, and tickets for uploads and downloads. */
import * as v from 'valibot';
import { storableText } from '../auth/text.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { aliased, lenientInteger } from '../http/parameters.ts';
import type { Route } from '../http/route.ts';
import * as files from './files.ts';
import { changing, flag, MSG_DONE, ofFolder, pathField, reading } from './rest-shape.ts';

/** Most paths in one request. */
const MAX_PATHS = 10_000;
const MAX_NEW_DIRECTORIES = 50;

const paths = v.pipe(v.array(pathField), v.minLength(1), v.maxLength(MAX_PATHS));

const mkdirBody = v.object({
  path: v.union([
    pathField,
    v.pipe(v.array(pathField), v.minLength(1), v.maxLength(MAX_NEW_DIRECTORIES)),
  ]),
  parents: v.nullish(flag(true), true),
  exist_ok: v.nullish(flag(false), false),
});
const uploadBody = v.object({
  path: pathField,
  size: v.pipe(lenientInteger, v.minValue(0), v.safeInteger()),
  /** Ours beyond upstream: the file is a tar, and what is in it goes below `path`. */
  unpack: v.optional(flag(false), false),
});
const downloadBody = aliased(
  { path: ['file'] },
  v.object({ path: pathField, archive: v.nullish(flag(false), false) }),
);
const archiveBody = v.object({ files: paths, filename: v.nullish(storableText(255)) });
const renameBody = aliased(
  { target_path: ['targetPath'], new_name: ['newName'] },
  v.object({
    target_path: pathField,
    new_name: storableText(255),
    is_dir: v.nullish(flag(false), false),
  }),
);
const moveBody = v.object({ src: pathField, dst: pathField });
const deleteBody = v.object({ files: paths, recursive: v.nullish(flag(false), false) });
const MAX_PAGE = 100_000;
/** Ours beyond upstream: `limit`, and `after`, the `next` of the page before. */
const listQuery = v.object({
  path: v.optional(pathField, ''),
  after: v.optional(v.string()),
  limit: v.optional(
    v.pipe(v.string(), v.digits(), v.transform(Number), v.minValue(1), v.maxValue(MAX_PAGE)),
  ),
});

function ticketRoutes(ctx: ManagerContext): Route[] {
  return [
    route(
      {
        ...changing('POST', '/:name/request-upload', 'Get a ticket for the upload of a file.'),
        takes: { ...ofFolder, body: uploadBody },
      },
      async ({ caller }, { params, body: { path: relpath, size, unpack } }) => ({
        json: await files.requestUpload(ctx, caller, params.name, {
          ...{ relpath, size },
          ...(unpack && { unpack }),
        }),
      }),
    ),
    route(
      {
        ...reading('POST', '/:name/request-download', 'Get a ticket for the download of a file.'),
        takes: { ...ofFolder, body: downloadBody },
      },
      async ({ caller }, { params, body: { path: relpath, archive } }) => ({
        json: await files.requestDownload(ctx, caller, params.name, { relpath, archive }),
      }),
    ),
    route(
      {
        ...reading(
          'POST',
          '/:name/request-download-archive',
          'Get a ticket for the download of several files as one archive.',
        ),
        takes: { ...ofFolder, body: archiveBody },
      },
      async ({ caller }, { params, body: { files: chosen, filename } }) => {
        const wanted = { files: chosen, ...(filename && { filename }) };
        return { json: await files.requestArchive(ctx, caller, params.name, wanted) };
      },
    ),
  ];
}

function changeRoutes(ctx: ManagerContext): Route[] {
  const rename = (path: string) =>
    route(
      {
        ...changing('POST', path, 'Rename a file of a folder.'),
        takes: { ...ofFolder, body: renameBody },
      },
      async ({ caller }, { params, body: { target_path: relpath, new_name, is_dir } }) => {
        await files.renameFile(ctx, caller, params.name, { relpath, new_name, is_dir });
        return MSG_DONE;
      },
    );
  const remove = (method: 'POST' | 'DELETE', path: string) =>
    route(
      {
        ...changing(method, path, 'Delete files of a folder.'),
        takes: { ...ofFolder, body: deleteBody },
      },
      async ({ caller }, { params, body: { files: relpaths, recursive } }) => {
        await files.deleteFiles(ctx, caller, params.name, { relpaths, recursive });
        return MSG_DONE;
      },
    );
  return [
    rename('/:name/rename-file'),
    rename('/:name/rename_file'),
    remove('POST', '/:name/delete-files'),
    remove('DELETE', '/:name/delete-files'),
    remove('DELETE', '/:name/delete_files'),
    route(
      {
        ...changing('POST', '/:name/delete-files-async', 'Delete files in the background.'),
        takes: { ...ofFolder, body: deleteBody },
      },
      async ({ caller }, { params, body: { files: relpaths, recursive } }) => {
        const wanted = { relpaths, recursive };
        const id = await files.deleteFilesLater(ctx, caller, params.name, wanted);
        return { status: 202, json: { bgtask_id: id } };
      },
    ),
    route(
      {
        ...changing('POST', '/:name/move-file', 'Move a file within a folder.'),
        takes: { ...ofFolder, body: moveBody },
      },
      async ({ caller }, { params, body: { src, dst } }) => {
        const wanted = { src_relpath: src, dst_relpath: dst };
        await files.moveFile(ctx, caller, params.name, wanted);
        return MSG_DONE;
      },
    ),
  ];
}

export const folderFileRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      ...reading('GET', '/:name/files', 'List a directory of a folder.'),
      takes: { ...ofFolder, query: listQuery },
    },
    async ({ caller }, { params, query }) => ({
      json: await files.listFiles(ctx, caller, params.name, query),
    }),
  ),
  route(
    {
      ...changing('POST', '/:name/mkdir', 'Make directories in a folder.'),
      takes: { ...ofFolder, body: mkdirBody },
    },
    async ({ caller }, { params, body: { path: relpath, parents, exist_ok } }) => {
      const wanted = { relpath, parents, exist_ok };
      const made = await files.makeDirectories(ctx, caller, params.name, wanted);
      return { status: made.status, json: { results: made.results } };
    },
  ),
  ...ticketRoutes(ctx),
  ...changeRoutes(ctx),
];
