/** GraphQL fields of the newer schema about kernels. */
import { BackendError } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import { loadDomain } from '../domain/v2-graphql.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import type { ServicePortProtocol } from '../graphql/resolvers.generated.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { v2ListField } from '../graphql/v2-list.ts';
import { imageNodeByName } from '../image/node-graphql.ts';
import { agentsHidden } from './graphql.ts';
import { loadSessionNode } from './node-graphql.ts';
import { allocationOf, ownerOf, projectOf, sessionOf } from './v2-graphql.ts';
import { isReadable, requireReadable } from './v2-history-graphql.ts';
import { kernelTypeDefs } from './v2-schema.ts';
import { type KernelV2Row, selectKernelsV2, selectKernelV2 } from './v2-store.ts';

const TYPE = 'KernelV2';
const idOf = ({ id }: KernelV2Row): string => id;

/** The kernel; null when there is none of a session that the caller sees in lists. */
async function loadKernelV2(context: GraphqlContext, id: string): Promise<KernelV2Row | null> {
  const kernel = isUuid(id) ? await selectKernelV2(context.ctx.sql, id) : null;
  return kernel && (await loadSessionNode(context, kernel.session_id)) ? kernel : null;
}

/** The status under the name that the newer schema has for it. */
function statusOf(status: KernelV2Row['status']) {
  switch (status) {
    case 'PULLING':
      return 'PREPARING';
    case 'BUILDING':
    case 'RESTARTING':
    case 'RESIZING':
    case 'SUSPENDED':
    case 'ERROR':
      return 'CANCELLED';
    default:
      return status;
  }
}

const PROTOCOLS: Readonly<Record<string, ServicePortProtocol | undefined>> = {
  http: 'HTTP',
  tcp: 'TCP',
  preopen: 'PREOPEN',
  internal: 'INTERNAL',
  vnc: 'VNC',
  rdp: 'RDP',
};

/** The ports of services; those whose protocol clients don't know are left out. */
function portEntries(ports: NonNullable<KernelV2Row['service_ports']>) {
  return ports.flatMap((port) => {
    const protocol = PROTOCOLS[port.protocol];
    if (protocol === undefined) return [];
    return [
      {
        name: port.name,
        protocol,
        containerPorts: port.container_ports,
        hostPorts: port.host_ports,
        isInference: port.is_inference,
      },
    ];
  });
}

const imageOf = ({ image, architecture }: KernelV2Row, context: GraphqlContext) =>
  image === null || architecture === null ? null : imageNodeByName(context, image, architecture);

export const kernelV2Graphql: GraphqlModule = {
  typeDefs: kernelTypeDefs,
  nodes: { KernelV2: loadKernelV2 },
  resolvers: {
    Query: {
      kernelV2: async (_root, { id }, context) => {
        const kernel = await selectKernelV2(context.ctx.sql, id);
        if (kernel && (await isReadable(context, kernel.session_id))) return kernel;
        throw new BackendError('KernelNotFound', `There is no kernel ${id} you may see.`);
      },
      sessionKernelsV2: async (_root, args, context, info) => {
        const { sessionId } = args.scope;
        await requireReadable(context, sessionId);
        const scope = { kind: 'session', sessionId } as const;
        return v2ListField<KernelV2Row>(args, info, {
          idOf,
          load: (wish) => selectKernelsV2(context.ctx.sql, scope, args, wish),
        });
      },
      adminKernelsV2: (_root, args, { ctx, caller }, info) => {
        requireAdministrator(caller);
        return v2ListField<KernelV2Row>(args, info, {
          idOf,
          load: (wish) => selectKernelsV2(ctx.sql, { kind: 'all' }, args, wish),
        });
      },
    },
    KernelV2: {
      id: ({ id }) => globalId(TYPE, id),
      imageId: async (kernel, _args, context) => (await imageOf(kernel, context))?.id ?? null,
      startupCommand: (kernel, _args, { caller }) =>
        caller.isSuperadmin || kernel.user_uuid === caller.userId ? kernel.startup_command : null,
      sessionInfo: (kernel) => ({
        sessionId: kernel.session_id,
        creationId: kernel.session_creation_id,
        name: kernel.session_name,
        sessionType: kernel.session_type,
      }),
      userInfo: (kernel) => ({
        userId: kernel.user_uuid,
        accessKey: kernel.access_key,
        domainName: kernel.domain_name,
        groupId: kernel.group_id,
      }),
      network: (kernel) => ({
        servicePorts: kernel.service_ports && { entries: portEntries(kernel.service_ports) },
        preopenPorts: kernel.preopen_ports,
      }),
      cluster: (kernel) => ({
        clusterRole: kernel.cluster_role,
        clusterIdx: kernel.cluster_idx,
        localRank: kernel.local_rank,
        clusterHostname: kernel.cluster_hostname,
      }),
      resource: (kernel, _args, context) => {
        const hidden = agentsHidden(context);
        return {
          agentId: hidden ? null : kernel.agent,
          resourceGroupName: kernel.scaling_group,
          containerId: hidden ? null : kernel.container_id,
          allocation: allocationOf(kernel.requested_slots, kernel.occupied_slots),
          resourceOpts: kernel.resource_opts && {
            entries: Object.entries(kernel.resource_opts).map(([name, value]) => ({
              name,
              value: typeof value === 'string' ? value : JSON.stringify(value),
            })),
          },
        };
      },
      lifecycle: (kernel) => ({
        status: statusOf(kernel.status),
        result: kernel.result,
        createdAt: kernel.created_at,
        terminatedAt: kernel.terminated_at,
        startsAt: kernel.starts_at,
      }),
      image: (kernel, _args, context) => imageOf(kernel, context),
      user: (kernel, _args, context) => ownerOf(context, kernel.user_uuid),
      project: (kernel, _args, context) => projectOf(context, kernel.group_id),
      domain: (kernel, _args, context) => loadDomain(context, kernel.domain_name),
      session: (kernel, _args, context) => sessionOf(context, kernel.session_id),
    },
  },
};
