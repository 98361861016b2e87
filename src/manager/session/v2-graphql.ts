/** GraphQL fields of the newer schema about sessions: lists by scope, one, and its parts. */
import { isUuid } from '../../common/ids.ts';
import type { SlotMap } from '../../common/slots.ts';
import { requirePermission } from '../authz/service.ts';
import { loadDomain } from '../domain/v2-graphql.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import { batched } from '../graphql/loaders.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { v2ListField, wholeV2Connection } from '../graphql/v2-list.ts';
import { imageNodeByName } from '../image/node-graphql.ts';
import type { Image } from '../image/service.ts';
import { type ProjectRecord, projectsById } from '../project/service.ts';
import { type UserRecord, usersById } from '../user/service.ts';
import { isReadable, requireReadable } from './v2-history-graphql.ts';
import { sessionTypeDefs } from './v2-schema.ts';
import {
  type KernelV2Row,
  type SessionV2Row,
  selectKernelsV2OfSessions,
  selectSessionsV2,
  selectSessionsV2ById,
  type V2Scope,
} from './v2-store.ts';

const TYPE = 'SessionV2';
const idOf = ({ id }: SessionV2Row): string => id;

/** Sessions whose visibility has been decided: by their list, their history or their kernel. */
const seenSession = batched<string, SessionV2Row>((ids, { ctx }) =>
  selectSessionsV2ById(ctx.sql, ids),
);
export const sessionOf = (context: GraphqlContext, id: string): Promise<SessionV2Row | null> =>
  seenSession(context, id);

/** Whoever reads a session also reads whose it is, without seeing that person in any list. */
export const ownerOf = batched<string, UserRecord>(async (ids, { ctx }) => {
  const users = await usersById(ctx.sql, ids);
  return new Map(users.map((user) => [user.uuid, user]));
});

/** The project of a session that is read. */
export const projectOf = batched<string, ProjectRecord>(async (ids, { ctx }) => {
  const projects = await projectsById(ctx.sql, ids);
  return new Map(projects.map((project) => [project.id, project]));
});

const kernelsOf = batched<string, KernelV2Row[]>((ids, { ctx }) =>
  selectKernelsV2OfSessions(ctx.sql, ids),
);

/** The session; null when there is none that the caller may read. */
async function loadSessionV2(context: GraphqlContext, id: string): Promise<SessionV2Row | null> {
  return isUuid(id) && (await isReadable(context, id)) ? await sessionOf(context, id) : null;
}

const slotEntries = (slots: SlotMap) => ({
  entries: Object.entries(slots).map(([resourceType, quantity]) => ({ resourceType, quantity })),
});

/** What was asked for, and what is held; null when nothing is. */
export const allocationOf = (requested: SlotMap, held: SlotMap) => ({
  requested: slotEntries(requested),
  used: Object.keys(held).length > 0 ? slotEntries(held) : null,
});

const FOLDED = {
  PULLING: 'PREPARING',
  RESTARTING: 'CANCELLED',
  RUNNING_DEGRADED: 'CANCELLED',
  ERROR: 'CANCELLED',
} as const;

/** The status under the name that the newer schema has for it. */
function statusOf(status: SessionV2Row['status']) {
  switch (status) {
    case 'PULLING':
    case 'RESTARTING':
    case 'RUNNING_DEGRADED':
    case 'ERROR':
      return FOLDED[status];
    default:
      return status;
  }
}

/** Environment and scripts may hold secrets: they are the owner's, and superadmins'. */
const seesContent = ({ caller }: GraphqlContext, session: SessionV2Row): boolean =>
  caller.isSuperadmin || session.user_uuid === caller.userId;

/** The images of a session's kernels, each once. */
async function imagesOf(context: GraphqlContext, session: SessionV2Row): Promise<Image[]> {
  const kernels = (await kernelsOf(context, session.id)) ?? [];
  const found = await Promise.all(
    kernels.map(({ image, architecture }) =>
      image === null || architecture === null
        ? null
        : imageNodeByName(context, image, architecture),
    ),
  );
  return [
    ...new Map(
      found.filter((image) => image !== null).map((image) => [image.id, image] as const),
    ).values(),
  ];
}

const listOf = (context: GraphqlContext, scope: V2Scope) => {
  const { sql } = context.ctx;
  return (
    query: Parameters<typeof selectSessionsV2>[2],
    wish: Parameters<typeof selectSessionsV2>[3],
  ) => selectSessionsV2(sql, scope, query, wish);
};

export const sessionV2Graphql: GraphqlModule = {
  typeDefs: sessionTypeDefs,
  nodes: { SessionV2: loadSessionV2 },
  resolvers: {
    Query: {
      adminSessionsV2: (_root, args, context, info) => {
        requireAdministrator(context.caller);
        const list = listOf(context, { kind: 'all' });
        return v2ListField<SessionV2Row>(args, info, { idOf, load: (wish) => list(args, wish) });
      },
      mySessionsV2: (_root, args, context, info) => {
        const list = listOf(context, { kind: 'user', userId: context.caller.userId });
        return v2ListField<SessionV2Row>(args, info, { idOf, load: (wish) => list(args, wish) });
      },
      projectSessionsV2: async (_root, args, context, info) => {
        const { projectId } = args.scope;
        await requirePermission(context, 'read', 'session', { type: 'project', id: projectId });
        const list = listOf(context, { kind: 'project', projectId });
        return v2ListField<SessionV2Row>(args, info, { idOf, load: (wish) => list(args, wish) });
      },
      sessionV2: async (_root, { id }, context) => {
        await requireReadable(context, id);
        return await sessionOf(context, id);
      },
    },
    SessionSchedulingHistory: {
      session: (entry, _args, context) => sessionOf(context, entry.session_id),
    },
    SessionV2: {
      id: ({ id }) => globalId(TYPE, id),
      imageIds: async (session, _args, context) =>
        (await imagesOf(context, session)).map(({ id }) => id),
      domainName: (session) => session.domain_name,
      userId: (session) => session.user_uuid,
      projectId: (session) => session.group_id,
      metadata: (session) => ({
        creationId: session.creation_id ?? '',
        name: session.name ?? '',
        sessionType: session.session_type,
        accessKey: session.access_key ?? '',
        clusterMode: session.cluster_mode,
        clusterSize: session.cluster_size,
        priority: session.priority,
        isPreemptible: session.is_preemptible,
        tag: session.tag,
      }),
      resource: (session) => ({
        allocation: allocationOf(session.requested_slots, session.occupying_slots),
        resourceGroupName: session.scaling_group_name,
      }),
      lifecycle: (session) => ({
        status: statusOf(session.status),
        result: session.result,
        createdAt: session.created_at,
        terminatedAt: session.terminated_at,
        startsAt: session.starts_at,
        batchTimeout: session.batch_timeout,
      }),
      runtime: (session, _args, context) => {
        const shown = seesContent(context, session);
        const { environ } = session;
        return {
          environ:
            shown && environ
              ? {
                  entries: Object.entries(environ).map(([name, value]) => ({
                    name,
                    value: String(value),
                  })),
                }
              : null,
          bootstrapScript: shown ? session.bootstrap_script : null,
          startupCommand: shown ? session.startup_command : null,
          callbackUrl: shown ? session.callback_url : null,
        };
      },
      network: (session) => ({
        useHostNetwork: session.use_host_network,
        networkType: session.network_type,
        networkId: session.network_id,
      }),
      domain: (session, _args, context) => loadDomain(context, session.domain_name),
      user: (session, _args, context) => ownerOf(context, session.user_uuid),
      project: (session, _args, context) => projectOf(context, session.group_id),
      images: async (session, _args, context) =>
        wholeV2Connection(await imagesOf(context, session), ({ id }) => id),
      kernels: async (session, _args, context) =>
        wholeV2Connection((await kernelsOf(context, session.id)) ?? [], ({ id }) => id),
    },
  },
};
