/** GraphQL fields about folders (the newer types). */
import { BackendError, errorMessage } from '../../common/errors.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import { batched } from '../graphql/loaders.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { refuseWhenFrozen } from '../graphql/mutation.ts';
import type { QuerymyVfoldersArgs } from '../graphql/resolvers.generated.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { v2ListField } from '../graphql/v2-list.ts';
import { listProjects, type ProjectRecord } from '../project/service.ts';
import { loadUserV2 } from '../user/v2-graphql.ts';
import { cloneFolder, deleteForever, restoreFolder, trashFolder } from './lifecycle.ts';
import { type FolderSelection, V2_STATUSES } from './list-store.ts';
import { createFolder, readBack } from './manage.ts';
import { v2TypeDefs } from './schema.ts';
import { effectivePermission, type FolderRecord, listFoldersV2, loadFolder } from './service.ts';

const TYPE = 'VFolder';
/** Most folders of one bulk mutation. */
const MAX_BULK = 1000;

const PERMISSIONS = { ro: 'READ_ONLY', rw: 'READ_WRITE', wd: 'RW_DELETE' } as const;
const USAGE_MODES = { general: 'GENERAL', model: 'MODEL', data: 'DATA' } as const;

/** The stored word for a member of an enum, or for the word itself. */
function wordOf<Word extends string>(
  what: string,
  members: Readonly<Record<Word, string>>,
  text: string,
): Word {
  for (const word of Object.keys(members) as Word[]) {
    if (word === text.toLowerCase() || members[word] === text) return word;
  }
  const known = Object.keys(members).join(', ');
  throw new BackendError('InvalidAPIParameters', `${what}: '${text}' is not one of ${known}.`);
}

/** Whose a folder is, and who made it. */
export interface FolderOwnership {
  readonly userId: string | null;
  readonly projectId: string | null;
  readonly creatorId: string | null;
  readonly creatorEmail: string | null;
}

const projectById = batched<string, ProjectRecord>(async (ids, { ctx, caller }) => {
  const projects = await listProjects(ctx.sql, caller, { ids });
  return new Map(projects.map((project) => [project.id, project]));
});

const list = (
  args: QuerymyVfoldersArgs,
  { ctx, caller }: GraphqlContext,
  info: Parameters<typeof v2ListField>[1],
  selection: FolderSelection,
) =>
  v2ListField<FolderRecord>(args, info, {
    idOf: ({ id }) => id,
    load: (wish) => listFoldersV2(ctx.sql, caller, selection, args, wish),
  });

interface CreateInput {
  readonly name: string;
  readonly host?: string | null;
  /** The schema fills in these three. */
  readonly usageMode?: string;
  readonly permission?: string;
  readonly cloneable?: boolean;
}

async function create(context: GraphqlContext, projectId: string | null, input: CreateInput) {
  await refuseWhenFrozen(context.ctx);
  const vfolder = await createFolder(context, {
    name: input.name,
    host: input.host ?? null,
    usageMode: wordOf('usageMode', USAGE_MODES, input.usageMode ?? 'general'),
    permission: wordOf('permission', PERMISSIONS, input.permission ?? 'rw'),
    projectId,
    unmanagedPath: null,
    cloneable: input.cloneable ?? false,
  });
  return { vfolder };
}

function bounded(ids: readonly string[]): readonly string[] {
  if (ids.length <= MAX_BULK) return [...new Set(ids)];
  throw new BackendError('InvalidGraphQLParameters', `At most ${MAX_BULK} folders at once.`);
}

export const folderV2Graphql: GraphqlModule = {
  typeDefs: v2TypeDefs,
  nodes: { VFolder: ({ ctx, caller }, id) => loadFolder(ctx.sql, caller, id) },
  resolvers: {
    Query: {
      async vfolderV2(_root, { vfolderId }, { ctx, caller }) {
        const folder = await loadFolder(ctx.sql, caller, vfolderId);
        if (folder) return folder;
        throw new BackendError('VFolderNotFound', undefined, { data: vfolderId });
      },
      myVfolders: (_root, args, context, info) =>
        list(args, context, info, { kind: 'owned', accessKey: null }),
      projectVfolders: (_root, args, context, info) =>
        list(args, context, info, { kind: 'project', projectId: args.projectId }),
      adminVfoldersV2(_root, args, context, info) {
        requireAdministrator(context.caller);
        return list(args, context, info, { kind: 'all' });
      },
    },
    Mutation: {
      createVfolderV2: (_root, { input }, context) =>
        create(context, input.projectId ?? null, input),
      createVFolderInProject: (_root, { projectId, input }, context) =>
        create(context, projectId, input),
      async deleteVfolderV2(_root, { vfolderId }, context) {
        await refuseWhenFrozen(context.ctx);
        await trashFolder(context, vfolderId);
        return { id: vfolderId };
      },
      async restoreVFolder(_root, { vfolderId }, context) {
        await refuseWhenFrozen(context.ctx);
        await restoreFolder(context, vfolderId);
        return { id: vfolderId };
      },
      async bulkDeleteVfoldersV2(_root, { input }, context) {
        await refuseWhenFrozen(context.ctx);
        const ids = bounded(input.ids);
        for (const id of ids) await trashFolder(context, id);
        return { deletedCount: ids.length };
      },
      async bulkPurgeVfoldersV2(_root, { input }, context) {
        await refuseWhenFrozen(context.ctx);
        const failed: { vfolderId: string; message: string }[] = [];
        const ids = bounded(input.ids);
        for (const vfolderId of ids) {
          try {
            await deleteForever(context, vfolderId, { force: false });
          } catch (error) {
            if (!(error instanceof BackendError)) throw error;
            failed.push({ vfolderId, message: errorMessage(error) });
          }
        }
        return { purgedCount: ids.length - failed.length, failed };
      },
      async purgeVfolderV2(_root, { vfolderId }, context) {
        await refuseWhenFrozen(context.ctx);
        await deleteForever(context, vfolderId, { force: false });
        return { id: vfolderId };
      },
      async cloneVfolderV2(_root, { vfolderId, input }, context) {
        await refuseWhenFrozen(context.ctx);
        const { copy, taskId } = await cloneFolder(context, vfolderId, {
          name: input.name,
          host: input.host ?? null,
          projectId: input.projectId ?? null,
          usageMode: null,
          permission: 'rw',
          cloneable: false,
        });
        return { vfolder: await readBack(context, copy.id), bgtaskId: taskId };
      },
    },
    VFolder: {
      id: ({ id }) => globalId(TYPE, id),
      status: ({ status }) => V2_STATUSES[status],
      metadata: (folder) => ({
        name: folder.name,
        usageMode: USAGE_MODES[folder.usage_mode],
        quotaScopeId: folder.quota_scope_id,
        createdAt: folder.created_at ?? folder.updated_at,
        lastUsed: folder.last_used,
        cloneable: folder.cloneable,
      }),
      accessControl: (folder) => ({
        permission: PERMISSIONS[effectivePermission(folder)],
        ownershipType: folder.ownership_type === 'user' ? 'USER' : 'GROUP',
      }),
      ownership: (folder): FolderOwnership => ({
        userId: folder.user,
        projectId: folder.group,
        creatorId: folder.creator_id,
        creatorEmail: folder.creator,
      }),
      unmanagedPath: ({ unmanaged_path }) => unmanaged_path,
    },
    // Null for whom or what the caller may not see.
    VFolderOwnershipInfo: {
      user: ({ userId }, _args, context) => (userId === null ? null : loadUserV2(context, userId)),
      creator: ({ creatorId }, _args, context) =>
        creatorId === null ? null : loadUserV2(context, creatorId),
      project: ({ projectId }, _args, context) =>
        projectId === null ? null : projectById(context, projectId),
    },
  },
};
