/** GraphQL fields about the files in folders (the newer types), and on which storage hosts one may do what. */
import { BackendError } from '../../common/errors.ts';
import { HOST_PERMISSIONS } from '../db/json.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { v2Mutation } from '../graphql/mutation.ts';
import { hostPermissionEntries } from '../graphql/v2-shapes.ts';
import * as files from './files.ts';
import { allowedHosts } from './hosts.ts';
import { v2FileTypeDefs } from './schema.ts';

/** Most paths in one request. */
const MAX_PATHS = 10_000;
const MAX_NEW_DIRECTORIES = 50;
/** Longest path. Characters, as of the system. */
const MAX_PATH_LENGTH = 4096;

/** @throws BackendError InvalidAPIParameters for a path that no system could take. */
function checkPaths(paths: readonly string[], most = MAX_PATHS): void {
  if (paths.length === 0 || paths.length > most) {
    throw new BackendError('InvalidAPIParameters', `Name 1 to ${most} paths at once.`);
  }
  if (paths.every((path) => path.length <= MAX_PATH_LENGTH && !path.includes('\0'))) return;
  throw new BackendError(
    'InvalidAPIParameters',
    `A path has at most ${MAX_PATH_LENGTH} characters, and no NUL.`,
  );
}

/** @throws BackendError VFolderOperationFailed naming what could not be made. */
async function makeDirectories(
  { ctx, caller }: GraphqlContext,
  folderId: string,
  wanted: Parameters<typeof files.makeDirectories>[3] & { readonly relpath: readonly string[] },
): Promise<string[]> {
  const { results } = await files.makeDirectories(ctx, caller, folderId, wanted);
  const [first] = results.failed;
  if (first === undefined) return [...wanted.relpath];
  throw new BackendError(
    'VFolderOperationFailed',
    `'${first.item}' could not be made: ${first.msg ?? 'the storage refused it'}` +
      ` (${results.failed.length} of ${wanted.relpath.length} failed).`,
  );
}

export const folderFilesV2Graphql: GraphqlModule = {
  typeDefs: v2FileTypeDefs,
  resolvers: {
    Query: {
      async myStorageHostPermissions(_root, _args, { ctx, caller }) {
        const held = await allowedHosts(ctx.sql, caller);
        const hosts = [...held].sort(([left], [right]) => left.localeCompare(right));
        const known = hosts.map(([host, permissions]) => [
          host,
          HOST_PERMISSIONS.filter((permission) => permissions.has(permission)),
        ]);
        return { items: hostPermissionEntries(Object.fromEntries(known)) };
      },
    },
    // Upstream has the fields that only read among the mutations too.
    Mutation: {
      async vfolderListFilesV2(_root, { vfolderId, input: { path } }, { ctx, caller }) {
        if (path !== '') checkPaths([path]);
        const { items } = await files.listFiles(ctx, caller, vfolderId, { path });
        return {
          items: items.map(({ name, type, size, mode, created, modified }) => ({
            name,
            type,
            size,
            mode,
            createdAt: created,
            updatedAt: modified,
          })),
        };
      },
      async vfolderCreateDownloadSessionV2(_root, { vfolderId, input }, { ctx, caller }) {
        const { path: relpath, archive = false } = input;
        checkPaths([relpath]);
        return files.requestDownload(ctx, caller, vfolderId, { relpath, archive });
      },
      vfolderCreateUploadSessionV2: (_root, { vfolderId, input }, context) =>
        v2Mutation(context, 'anybody', async () => {
          const { path: relpath, size } = input;
          checkPaths([relpath]);
          if (size < 0) throw new BackendError('InvalidAPIParameters', 'size cannot be below 0.');
          return files.requestUpload(context.ctx, context.caller, vfolderId, { relpath, size });
        }),
      vfolderMkdirV2: (_root, { vfolderId, input }, context) =>
        v2Mutation(context, 'anybody', async () => {
          const { path: relpath, parents = true, existOk: exist_ok = false } = input;
          checkPaths(relpath, MAX_NEW_DIRECTORIES);
          const wanted = { relpath, parents, exist_ok };
          return { results: await makeDirectories(context, vfolderId, wanted) };
        }),
      vfolderMoveFileV2: (_root, { vfolderId, input: { src, dst } }, context) =>
        v2Mutation(context, 'anybody', async () => {
          checkPaths([src, dst]);
          const wanted = { src_relpath: src, dst_relpath: dst };
          await files.moveFile(context.ctx, context.caller, vfolderId, wanted);
          return { src, dst };
        }),
      vfolderDeleteFilesV2: (_root, { vfolderId, input }, context) =>
        v2Mutation(context, 'anybody', async () => {
          const { files: relpaths, recursive = false } = input;
          checkPaths(relpaths);
          const wanted = { relpaths, recursive };
          const id = await files.deleteFilesLater(context.ctx, context.caller, vfolderId, wanted);
          return { bgtaskId: id };
        }),
    },
  },
};
