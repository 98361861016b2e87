/** GraphQL fields about folders (the older types): lists, nodes and host permissions. */
import { BackendError } from '../../common/errors.ts';
import { HOST_PERMISSIONS } from '../db/json.ts';
import { connectionField, toConnection } from '../graphql/connection.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId, rawIdOf } from '../graphql/global-id.ts';
import { batched } from '../graphql/loaders.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import type { Queryvfolder_listArgs } from '../graphql/resolvers.generated.ts';
import { wordScalar } from '../graphql/scalars.ts';
import { checkOwnScope, pageOf } from '../graphql/scope.ts';
import { folderIdsOf } from '../session/node.ts';
import type { FolderSelection } from './list-store.ts';
import { FOLDER_POWERS } from './rules.ts';
import { typeDefs } from './schema.ts';
import {
  effectivePermission,
  type FolderRecord,
  folderPowers,
  listFolderNodes,
  listFolderPage,
  loadFolder,
  readFolders,
} from './service.ts';
import { listGrantPage } from './sharing.ts';

const TYPE = 'VirtualFolderNode';
const idOf = ({ id }: FolderRecord): string => id;

/** One of the older lists: what of the caller's folders it holds. */
async function listed(
  args: Omit<Queryvfolder_listArgs, 'group_id'> & { readonly group_id?: string | null },
  { ctx, caller }: GraphqlContext,
  selection: FolderSelection['kind'],
) {
  checkOwnScope(caller, caller.accessKey, { domain_name: args.domain_name, key: args.access_key });
  const everything = caller.isSuperadmin || caller.role === 'admin';
  const accessKey = args.access_key ?? null;
  const own = { kind: 'owned', accessKey } as const;
  const chosen: FolderSelection =
    selection === 'owned' || (selection === 'all' && (!everything || accessKey !== null))
      ? own
      : selection === 'invited' || selection === 'projects'
        ? { kind: selection }
        : { kind: 'all' };
  const { rows, total } = await listFolderPage(
    ctx.sql,
    caller,
    {
      reach: 'all',
      selection: chosen,
      domainName: args.domain_name ?? null,
      projectId: args.group_id ?? null,
    },
    { ...pageOf(args), filter: args.filter, order: args.order },
  );
  return { items: rows, total_count: total };
}

/** The folder; null when there is none that the caller may see. */
export const loadFolderNode = batched<string, FolderRecord>(async (ids, { ctx, caller }) => {
  const found = await readFolders(ctx.sql, caller, { ids });
  return new Map(found.map((folder) => [folder.id, folder]));
});

/** The fields that both older types answer from a row in the same way. */
const shared = {
  permission: effectivePermission,
  // Nobody counts the files of a folder for a list.
  num_files: () => 0,
};

export const folderGraphql: GraphqlModule = {
  typeDefs,
  nodes: {
    VirtualFolderNode: ({ ctx, caller }, id) => loadFolder(ctx.sql, caller, id),
  },
  resolvers: {
    VFolderPermissionValueField: wordScalar('VFolderPermissionValueField', FOLDER_POWERS),
    Query: {
      vfolder: (_root, { id }, { ctx, caller }) =>
        id == null ? null : loadFolder(ctx.sql, caller, id),
      vfolder_list: (_root, args, context) => listed(args, context, 'all'),
      vfolder_own_list: (_root, args, context) => listed(args, context, 'owned'),
      vfolder_invited_list: (_root, args, context) => listed(args, context, 'invited'),
      vfolder_project_list: (_root, args, context) => listed(args, context, 'projects'),
      async vfolder_node(_root, { id }, { ctx, caller }) {
        const folder = await loadFolder(ctx.sql, caller, rawIdOf(id));
        if (folder) return folder;
        throw new BackendError('VFolderNotFound', undefined, { data: id });
      },
      vfolder_nodes(_root, args, context, info) {
        const { ctx, caller } = context;
        const project =
          args.project_id == null
            ? ({ kind: 'system' } as const)
            : ({ kind: 'project', projectId: args.project_id } as const);
        const query = {
          filter: args.filter,
          order: args.order,
          scope: args.scope_id ?? project,
          power: args.permission ?? ('read_attribute' as const),
        };
        return connectionField(args, context, info, {
          typeName: TYPE,
          idOf,
          load: (wish) => listFolderNodes(ctx.sql, caller, query, wish),
        });
      },
      async vfolder_permission_list(_root, args, { ctx, caller }) {
        const page = { ...pageOf(args), filter: args.filter, order: args.order };
        const { rows, total } = await listGrantPage(ctx.sql, caller, page);
        return { items: rows, total_count: total };
      },
      vfolder_host_permissions: () => ({
        vfolder_host_permission_list: [...HOST_PERMISSIONS],
      }),
    },
    VirtualFolder: shared,
    VirtualFolderNode: {
      ...shared,
      id: ({ id }) => globalId(TYPE, id),
      row_id: ({ id }) => id,
      permissions: (folder, _args, { caller }) => folderPowers(caller, folder),
    },
    ComputeSessionNode: {
      // As upstream's, all of them, whatever page is asked for.
      async vfolder_nodes(session, _args, context) {
        const ids = folderIdsOf(session);
        const found = await Promise.all(ids.map((id) => loadFolderNode(context, id)));
        const rows = found.filter((folder) => folder !== null);
        const page = { rows, total: rows.length, hasNext: false, hasPrevious: false };
        return toConnection(page, (row) => globalId(TYPE, idOf(row)));
      },
    },
  },
};
