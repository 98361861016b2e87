/** GraphQL fields about sessions as nodes: lists, one, its kernels and relatives, and changing one. */
import { isUuid } from '../../common/ids.ts';
import {
  type Connection,
  type ConnectionArguments,
  connectionField,
  toConnection,
} from '../graphql/connection.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId, rawIdOf } from '../graphql/global-id.ts';
import { batched } from '../graphql/loaders.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { v2Mutation } from '../graphql/mutation.ts';
import type {
  Querycompute_session_nodesArgs,
  Querytotal_resource_slotArgs,
} from '../graphql/resolvers.generated.ts';
import { type Scope, wordScalar } from '../graphql/scalars.ts';
import { nameList, requireSuperadmin } from '../graphql/scope.ts';
import { idleReportOf } from '../idle/graphql.ts';
import { userNode } from '../user/node-graphql.ts';
import { commitStatusOf } from './commit-status.ts';
import { agentsHidden, historyTime, kernelsOf } from './graphql.ts';
import { kernelNodeConnection } from './kernel-node-graphql.ts';
import {
  folderIdsOf,
  modifySession,
  permissionsOn,
  SESSION_PERMISSIONS,
  sessionVisibility,
} from './node.ts';
import { typeDefs } from './node-schema.ts';
import {
  type Relation,
  type SessionNodeRow,
  selectNodesById,
  selectQueue,
  selectQueuePositions,
  selectRelated,
  selectSessionNodes,
  selectSlotTotals,
} from './node-store.ts';
import { sessionStatuses } from './status.ts';

const TYPE = 'ComputeSessionNode';
const idOf = ({ id }: SessionNodeRow): string => id;

const readable = batched<string, SessionNodeRow>((ids, { ctx, caller }) =>
  selectNodesById(ctx.sql, sessionVisibility(caller, 'read_attribute'), ids),
);

/** The session as a node; null when there is none that the caller may see. */
export const loadSessionNode = (context: GraphqlContext, id: string) =>
  isUuid(id) ? readable(context, id.toLowerCase()) : Promise.resolve(null);

const queuePosition = batched<string, number>((ids, { ctx }) => selectQueuePositions(ctx.sql, ids));

const related = (relation: Relation) =>
  batched<string, SessionNodeRow[]>((ids, { ctx, caller }) =>
    selectRelated(ctx.sql, sessionVisibility(caller, 'read_attribute'), relation, ids),
  );

/** A connection that is never paged: all rows at once. */
function wholeConnection(rows: readonly SessionNodeRow[]): Connection<SessionNodeRow> {
  const listed = { rows, total: rows.length, hasNext: false, hasPrevious: false };
  return toConnection(listed, (row) => globalId(TYPE, row.id));
}

function relatives(relation: Relation) {
  const load = related(relation);
  return async ({ id }: SessionNodeRow, _args: ConnectionArguments, context: GraphqlContext) =>
    wholeConnection((await load(context, id)) ?? []);
}

const scopeOf = (args: { scope_id?: Scope | null; project_id?: string | null }): Scope => {
  if (args.scope_id) return args.scope_id;
  return args.project_id ? { kind: 'project', projectId: args.project_id } : { kind: 'system' };
};

function isWithin(session: SessionNodeRow, scope: Scope): boolean {
  switch (scope.kind) {
    case 'system':
      return true;
    case 'domain':
      return session.domain_name === scope.domainName;
    case 'project':
      return session.group_id === scope.projectId;
    case 'user':
      return session.user_uuid === scope.userId;
  }
}

async function oneSession(
  context: GraphqlContext,
  id: string,
  scope: Scope,
  permission: string,
): Promise<SessionNodeRow | null> {
  const session = await loadSessionNode(context, id);
  if (!session || !isWithin(session, scope)) return null;
  return permissionsOn(context.caller, session).some((held) => held === permission)
    ? session
    : null;
}

function listSessions(
  args: Querycompute_session_nodesArgs,
  { ctx, caller, ...context }: GraphqlContext,
) {
  const visibility = sessionVisibility(caller, args.permission ?? 'read_attribute');
  const query = {
    filter: args.filter,
    order: args.order,
    within: scopeOf(args),
    hideAgents: agentsHidden({ ctx, caller, ...context }),
  };
  return (wish: Parameters<typeof selectSessionNodes>[3]) =>
    selectSessionNodes(ctx, visibility, query, wish);
}

async function totalSlots(args: Querytotal_resource_slotArgs, context: GraphqlContext) {
  requireSuperadmin(context.caller);
  const { statuses, filter, domain_name, resource_group_name } = args;
  const totals = await selectSlotTotals(context.ctx.sql, {
    statuses: nameList(statuses?.filter((status) => status !== null).join(','), sessionStatuses),
    filter,
    domainName: domain_name ?? null,
    scalingGroup: resource_group_name ?? null,
  });
  return { id: null, occupied_slots: totals.occupied, requested_slots: totals.requested };
}

export const sessionNodeGraphql: GraphqlModule = {
  typeDefs,
  nodes: { ComputeSessionNode: loadSessionNode },
  resolvers: {
    SessionPermissionValueField: wordScalar('SessionPermissionValueField', SESSION_PERMISSIONS),
    Query: {
      compute_session_node: (_root, args, context) =>
        oneSession(context, args.id, scopeOf(args), args.permission ?? 'read_attribute'),
      compute_session_nodes: (_root, args, context, info) =>
        connectionField(args, context, info, {
          typeName: TYPE,
          idOf,
          load: listSessions(args, context),
        }),
      session_pending_queue: (_root, args, context, info) => {
        requireSuperadmin(context.caller);
        const group = rawIdOf(args.resource_group_id);
        return connectionField(args, context, info, {
          typeName: TYPE,
          idOf,
          load: (wish) => selectQueue(context.ctx.sql, group, wish),
        });
      },
      total_resource_slot: (_root, args, context) => totalSlots(args, context),
    },
    Mutation: {
      modify_compute_session: (_root, { input }, context) =>
        v2Mutation(context, 'anybody', async () => {
          await modifySession(context, input.id, input);
          return {
            item: await loadSessionNode(context, input.id),
            clientMutationId: input.clientMutationId ?? null,
          };
        }),
    },
    ComputeSessionNode: {
      id: ({ id }) => globalId(TYPE, id),
      row_id: ({ id }) => id,
      type: (session) => session.session_type.toLowerCase(),
      cluster_mode: (session) => session.cluster_mode.toLowerCase().replaceAll('_', '-'),
      project_id: (session) => session.group_id,
      user_id: (session) => session.user_uuid,
      owner: (session, _args, context) => userNode(context, session.user_uuid),
      permissions: (session, _args, { caller }) => permissionsOn(caller, session),
      status_history: (session) => session.status_history ?? {},
      scheduled_at: (session) => historyTime(session.status_history, 'SCHEDULED'),
      queue_position: (session, _args, context) =>
        session.status === 'PENDING' ? queuePosition(context, session.id) : null,
      commit_status: async (session, _args, context) =>
        commitStatusOf(context, await kernelsOf(context, session.id)),
      idle_checks: (session, _args, context) => idleReportOf(context, session.id),
      agent_ids: (session, _args, context) =>
        agentsHidden(context) ? null : (session.agent_ids ?? []),
      resource_opts: (session) => session.resource_opts ?? {},
      scaling_group: (session) => session.scaling_group_name,
      vfolder_mounts: (session) => folderIdsOf(session),
      occupied_slots: (session) => session.occupying_slots,
      image_references: (session) => session.images ?? [],
      num_queries: (session) => session.num_queries ?? 0,
      kernel_nodes: async (session, _args, context) =>
        kernelNodeConnection(await kernelsOf(context, session.id)),
      dependents: relatives('dependents'),
      dependees: relatives('dependees'),
      graph: relatives('graph'),
    },
  },
};
